"""Permission handlers of the Python package under command of a test: handling_backend.py blocking|asyncio ENDPOINT.
Registers, prints {"ready": true}, then obeys one word a line: revoke ID, disconnect ID, close. Prints what came of it."""
import asyncio
import dataclasses
import json
import sys
import time

import millrace


def say(value):
    print(json.dumps(value), flush=True)


def plain(value):
    return dataclasses.asdict(value)


def decide(channel, subscriber):
    room = channel.get("resourceId", "")
    if room == "broken":
        raise RuntimeError("the secret of the handler")
    if room == "wrong":
        raise millrace.BadInputError("no such room")
    return {"read": subscriber["type"] == "ADMIN" or room == "lobby"}


def blocking(endpoint):
    backend = millrace.Backend(endpoint, handler_timeout=0.5, on_handler_error=lambda *_: None)
    router = backend.permissions_router
    router.add({"name": "chat"}, decide)

    @router.add({"name": "chat", "resourceId": "slow"})
    def slow(channel, subscriber):
        time.sleep(2)
        return True

    say({"ready": True})
    for line in sys.stdin:
        word, *rest = line.split()
        if word == "revoke":
            say(plain(backend.revoke({"name": "chat"}, {"id": rest[0]}, mode="deny")))
        elif word == "disconnect":
            say(plain(backend.disconnect({"id": rest[0]}, "spam")))
        else:
            backend.close()
            say({"closed": True})
            return


async def asynchronous(endpoint):
    backend = millrace.AsyncBackend(endpoint, handler_timeout=0.5, on_handler_error=lambda *_: None)
    router = backend.permissions_router

    async def later(channel, subscriber):
        await asyncio.sleep(0)
        return decide(channel, subscriber)

    async def slow(channel, subscriber):
        await asyncio.sleep(2)
        return True

    await router.add({"name": "chat"}, later)
    await router.add({"name": "chat", "resourceId": "slow"}, slow)
    say({"ready": True})
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        word, *rest = line.split()
        if word == "revoke":
            say(plain(await backend.revoke({"name": "chat"}, {"id": rest[0]}, mode="deny")))
        elif word == "disconnect":
            say(plain(await backend.disconnect({"id": rest[0]}, "spam")))
        else:
            await backend.close()
            say({"closed": True})
            return


if sys.argv[1] == "blocking":
    blocking(sys.argv[2])
else:
    asyncio.run(asynchronous(sys.argv[2]))
