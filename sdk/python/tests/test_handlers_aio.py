"""Handlers of AsyncBackend, asked by a broker."""

import asyncio
import threading
import time
import unittest
from typing import Any, Callable, TypeVar
from unittest import mock

import millrace
from millrace import AsyncBackend, BadInputError, CheckContext, Decision, HandlerError, Subscriber
from millrace import ChannelAddress

from .broker import PATIENCE, Broker, Map, check, refusal

T = TypeVar("T")


async def off(action: Callable[..., T], *arguments: Any) -> T:
    """What waits, beside the loop."""
    return await asyncio.get_running_loop().run_in_executor(None, action, *arguments)


async def yes(channel: ChannelAddress, subscriber: Subscriber) -> bool:
    return True


class Case(unittest.IsolatedAsyncioTestCase):
    def setUp(self) -> None:
        self.broker = self.enterContext(Broker())
        self.enterContext(mock.patch("millrace._worker.SILENCE", 60.0))  # this broker has no heartbeats
        self.errors: list[HandlerError] = []

    async def asyncSetUp(self) -> None:
        asyncio.get_running_loop().slow_callback_duration = PATIENCE  # it is only said, and of no interest here

    async def backend(self, **settings: Any) -> AsyncBackend:
        backend = AsyncBackend(self.broker.endpoint, on_handler_error=self.errors.append, **settings)
        self.addAsyncCleanup(backend.close, now=True)
        return backend

    async def ask(self, *checks: Map) -> list[Map]:
        return await off(self.broker.ask, *checks)


class Checks(Case):
    async def test_on_the_loop_on_which_it_was_registered(self) -> None:
        seen: list[object] = []

        async def handler(channel: ChannelAddress, subscriber: Subscriber, context: CheckContext) -> Decision:
            await asyncio.sleep(0)
            seen.extend((asyncio.get_running_loop(), threading.current_thread(), channel, context.request_id))
            return Decision(True, 60)

        backend = await self.backend()
        await backend.permissions_router.default(handler)
        self.assertEqual(await self.ask(check()), [{"read": True, "ttl": 60}])
        self.assertEqual(seen, [asyncio.get_running_loop(), threading.current_thread(), {"name": "chat"}, "r1"])

    async def test_plain_functions_too(self) -> None:
        threads: list[threading.Thread] = []

        def handler(channel: ChannelAddress, subscriber: Subscriber) -> dict[str, bool]:
            threads.append(threading.current_thread())
            return {"read": False}

        backend = await self.backend()
        await backend.permissions_router.add("chat", handler)
        self.assertEqual(await self.ask(check()), [{"read": False}])
        self.assertEqual(threads, [threading.current_thread()])

    async def test_checks_of_a_batch_are_decided_together(self) -> None:
        barrier = asyncio.Barrier(100)

        async def handler(channel: ChannelAddress, subscriber: Subscriber) -> bool:
            await barrier.wait()
            return True

        await (await self.backend()).permissions_router.default(handler)
        self.assertEqual(await self.ask(*[check()] * 100), [{"read": True}] * 100)

    async def test_failures_are_answered_one_by_one_and_told(self) -> None:
        async def handler(channel: ChannelAddress, subscriber: Subscriber) -> Any:
            who = subscriber["id"]
            if who == "bad":
                raise BadInputError("no such room")
            if who == "slow":
                await asyncio.sleep(PATIENCE)
            if who == "own":
                raise TimeoutError("database")
            if who == "cancelled":
                raise asyncio.CancelledError
            return 1 / 0 if who == "broken" else who == "yes"

        backend = await self.backend(handler_timeout=0.3)
        await backend.permissions_router.default(handler)
        whos = ("yes", "no", "bad", "slow", "own", "cancelled", "broken")
        answers = await self.ask(*[check(who=who) for who in whos])
        self.assertEqual(answers[:3], [{"read": True}, {"read": False}, {"error": {"status": 400, "message": "no such room"}}])
        self.assertEqual([answer["error"]["status"] for answer in answers[3:]], [503] * 4)
        self.assertEqual([answer["error"]["message"] for answer in answers[3:]],
                         ["the permission handler took longer than 0.3 s", "TimeoutError: database", "CancelledError",
                          "ZeroDivisionError: division by zero"])
        await backend.close()
        self.assertEqual(len(self.errors), 5)

    async def test_a_late_handler_is_cancelled(self) -> None:
        cancelled = asyncio.Event()

        async def handler(channel: ChannelAddress, subscriber: Subscriber) -> bool:
            try:
                await asyncio.sleep(PATIENCE)
            finally:
                cancelled.set()
            return True

        await (await self.backend(handler_timeout=0.1)).permissions_router.default(handler)
        await self.ask(check())
        await asyncio.wait_for(cancelled.wait(), PATIENCE)

    async def test_a_loop_that_is_busy_delays_no_answer(self) -> None:
        await (await self.backend(handler_timeout=0.2)).permissions_router.default(yes)
        worker = self.broker.worker()
        self.broker.check(worker, 1, check())
        self.broker.check(worker, 0)
        time.sleep(0.6)  # this is the loop
        answers = {answer["id"]: answer["answers"] for answer in self.broker.of("answer")}
        self.assertEqual(answers[0], [])
        self.assertEqual(answers[1][0]["error"]["message"], "the permission handler took longer than 0.2 s")

    async def test_a_loop_that_is_gone(self) -> None:
        backend = await self.backend()

        async def register() -> None:
            await backend.permissions_router.default(yes)

        await off(lambda: asyncio.run(register()))
        self.assertEqual((await self.ask(check()))[0]["error"]["message"],
                         "the event loop on which the permission handler was registered is closed")

    async def test_the_cascade_without_the_broker(self) -> None:
        router = (await self.backend(handler_timeout=0.2)).permissions_router
        member: Subscriber = {"id": "u1", "type": "MEMBER"}
        self.assertEqual(await router.check("chat", member), Decision(True))
        await router.default(yes)
        await router.add("chat", lambda channel, subscriber: {"read": False, "ttl": 1})
        self.assertEqual(await router.check("other", member), Decision(True))
        self.assertEqual(await router.check("chat", member), Decision(False, 1))
        self.assertEqual(await off(lambda: asyncio.run(router.check("other", member))), Decision(True))
        await router.remove("chat")
        await router.remove_default()
        self.assertEqual(await router.check("chat", member), Decision(True))
        await router.default(slow)
        with self.assertRaisesRegex(millrace.TimeoutError, "took longer than 0.2 s"):
            await router.check("chat", member)


async def slow(channel: ChannelAddress, subscriber: Subscriber) -> bool:
    await asyncio.sleep(PATIENCE)
    return True


class Registering(Case):
    async def test_as_decorators(self) -> None:
        backend = await self.backend()

        @backend.permissions_router.default
        async def first(channel: ChannelAddress, subscriber: Subscriber) -> bool:
            return True

        @backend.permissions_router.add("chat")
        @backend.permissions_router.add("other", app="a")
        def second(channel: ChannelAddress, subscriber: Subscriber) -> bool:
            return False

        await first
        await second
        self.assertEqual(await self.ask(check("x"), check(), check("other", app="a")),
                         [{"read": True}, {"read": False}, {"read": False}])
        self.assertTrue(await first({"name": "x"}, {"id": "u", "type": "MEMBER"}))
        self.assertFalse(second.handler({"name": "x"}, {"id": "u", "type": "MEMBER"}))

    async def test_many_at_once_are_few_requests(self) -> None:
        router = (await self.backend()).permissions_router
        await asyncio.gather(*[router.add(f"c{n}", yes) for n in range(3000)])
        requests = self.broker.of("handle")
        sizes = [len(request["handlers"]) for request in requests]
        self.assertEqual(len({at["channel"] for request in requests for at in request["handlers"]}), 3000)
        self.assertLessEqual(max(sizes), 1024)
        self.assertLess(len(sizes), 1000)

    async def test_refusals(self) -> None:
        self.broker.reply = lambda request: refusal(403, "forbidden", "not here")
        backend = await self.backend()
        with self.assertRaisesRegex(millrace.ForbiddenError, "not here"):
            await backend.permissions_router.default(yes)
        await backend.close()
        self.assertIn("registration of permission handlers (default): not here", str(self.errors[0]))

    async def test_needs_a_loop(self) -> None:
        router = (await self.backend()).permissions_router
        with self.assertRaisesRegex(BadInputError, "^handler: must be registered where an event loop runs"):
            await off(router.default, yes)

    async def test_whoever_stops_waiting_takes_nothing_back(self) -> None:
        self.broker.reply = lambda request: None
        router = (await self.backend()).permissions_router
        with self.assertRaises(asyncio.TimeoutError):
            await asyncio.wait_for(router.default(yes), 0.1)
        self.broker.reply = lambda request: {"ok": True}
        self.broker.drop_connections()
        await off(self.broker.wait, "handle", 2)
        self.assertEqual(await self.ask(check()), [{"read": True}])

    async def test_again_by_itself_and_close(self) -> None:
        backend = await self.backend()
        await backend.permissions_router.default(yes)
        self.broker.drop_connections()
        await off(self.broker.wait, "handle", 2)
        self.assertEqual(await self.ask(check()), [{"read": True}])
        await backend.close()
        self.assertEqual(self.broker.of("unhandle")[0]["handlers"], [{}])


class Requests(Case):
    async def test_revoke_and_disconnect(self) -> None:
        self.broker.reply = lambda request: {"ok": True, "affected": 3, "ended": 2, "unconfirmed": 1}
        backend = await self.backend()
        self.assertEqual(await backend.revoke("chat", "u1", "deny"), millrace.Revoked(3, 2, 1))
        self.assertEqual(await backend.disconnect({"id": "u1"}), millrace.Disconnected(3, 1))
        self.assertEqual([request["op"] for _, request in self.broker.requests], ["revoke", "disconnect"])


if __name__ == "__main__":
    unittest.main()
