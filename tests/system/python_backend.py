"""The Python package under command of a test: python_backend.py blocking|asyncio, then one JSON object a line
on standard input: {"id", "op", "arguments"}, first {"op": "connect"}. Prints {"id", "value"} or {"id", "error"}
as each is decided. The end of the input ends the connection."""
import asyncio
import dataclasses
import json
import sys
import threading

import millrace

lock = threading.Lock()


def say(number, **what):
    with lock:
        print(json.dumps({"id": number, **what}), flush=True)


def plain(value):
    if isinstance(value, millrace.MillraceError):
        return {"error": told(value)}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) else value


def told(error):
    return {"name": type(error).__name__, "status": error.status, "code": error.code, "message": str(error),
            "outcome": error.outcome}


def decided(number, action):
    try:
        say(number, value=plain(action()))
    except millrace.MillraceError as error:
        say(number, error=told(error))


def commands():
    for line in sys.stdin:
        yield json.loads(line)


def call(backend, command):
    if command["op"] == "state":
        return backend.state
    return getattr(backend, command["op"])(*command["arguments"], **command["options"])


def blocking():
    stream = commands()
    first = next(stream)
    with millrace.Backend(**first["options"]) as backend:
        say(first["id"], value=None)
        for command in stream:
            number = command["id"]
            if command["op"] == "publish":  # as many as wanted at a time, in their order
                command["op"] = "submit"
                try:
                    future = call(backend, command)
                except millrace.MillraceError as error:
                    say(number, error=told(error))
                    continue
                future.add_done_callback(lambda of, number=number: decided(number, of.result))
            elif command["op"] == "close":
                decided(number, lambda: call(backend, command))
            else:
                threading.Thread(target=decided, args=(number, lambda command=command: call(backend, command))).start()


async def aio():
    stream = commands()
    loop = asyncio.get_running_loop()
    first = await loop.run_in_executor(None, next, stream)
    tasks = set()

    async def one(command):
        try:
            result = call(backend, command)
            say(command["id"], value=plain(await result if asyncio.iscoroutine(result) else result))
        except millrace.MillraceError as error:
            say(command["id"], error=told(error))

    async with millrace.AsyncBackend(**first["options"]) as backend:
        say(first["id"], value=None)
        while (command := await loop.run_in_executor(None, next, stream, None)) is not None:
            task = loop.create_task(one(command))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)


if sys.argv[1] == "blocking":
    blocking()
else:
    asyncio.run(aio())
