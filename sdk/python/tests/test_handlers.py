"""Handlers of the blocking Backend, asked by a broker."""

import logging
import multiprocessing
import os
import threading
import time
import unittest
from typing import Any, Callable, Optional
from unittest import mock

import millrace
from millrace import Backend, BadInputError, CheckContext, ClosedError, Decision, HandlerError, MillraceError, Subscriber
from millrace import ChannelAddress
from millrace._reports import WAITING, Reports

from .broker import PATIENCE, Broker, Map, check, refusal


class Case(unittest.TestCase):
    def setUp(self) -> None:
        self.broker = self.enterContext(Broker())
        self.enterContext(mock.patch("millrace._worker.SILENCE", 60.0))  # this broker has no heartbeats
        self.errors: list[HandlerError] = []
        self.told = threading.Condition()

    def tell(self, error: HandlerError) -> None:
        with self.told:
            self.errors.append(error)
            self.told.notify_all()

    def error(self, count: int = 1) -> HandlerError:
        with self.told:
            self.assertTrue(self.told.wait_for(lambda: len(self.errors) >= count, PATIENCE))
            return self.errors[count - 1]

    def backend(self, **settings: Any) -> Backend:
        backend = Backend(self.broker.endpoint, on_handler_error=self.tell, **settings)
        self.addCleanup(lambda: backend.close(now=True))
        return backend


class Checks(Case):
    def test_what_a_handler_is_told(self) -> None:
        seen: list[tuple[ChannelAddress, Subscriber, CheckContext]] = []

        def handler(channel: ChannelAddress, subscriber: Subscriber, context: CheckContext) -> Decision:
            seen.append((channel, subscriber, context))
            return Decision(True, ttl=60)

        self.backend().permissions_router.default(handler)
        self.assertEqual(self.broker.ask(check("chat", "room", requesting_app="a")), [{"read": True, "ttl": 60}])
        self.assertEqual(seen, [({"name": "chat", "resourceId": "room"}, {"id": "u1", "type": "MEMBER"},
                                 CheckContext("r1", "main", "", "a"))])

    def test_the_most_specific_handler_decides(self) -> None:
        router = self.backend().permissions_router
        router.default(lambda channel, subscriber: {"read": True, "ttl": 1})
        router.add("chat", lambda channel, subscriber: {"read": True, "ttl": 2})
        router.add({"name": "chat", "resourceId": "room"}, lambda channel, subscriber: {"read": True, "ttl": 3})
        router.add("chat", lambda channel, subscriber: {"read": True, "ttl": 4}, app="a")
        answers = self.broker.ask(check("other"), check("chat"), check("chat", "x"), check("chat", "room"),
                                  check("chat", "room", app="a"))
        self.assertEqual([answer["ttl"] for answer in answers], [1, 2, 2, 3, 4])

    def test_an_empty_check_is_answered_by_an_empty_answer(self) -> None:
        self.backend().permissions_router.default(lambda channel, subscriber: True)
        self.assertEqual(self.broker.ask(number=0), [])

    def test_what_nobody_here_is_to_decide_is_no_yes(self) -> None:
        self.backend().permissions_router.add("chat", lambda channel, subscriber: True)
        message = "no permission handler is registered here for this channel"
        self.assertEqual(self.broker.ask(check("other"), check()),
                         [{"error": {"status": 503, "message": message}}, {"read": True}])
        self.assertIn(message, str(self.error()))

    def test_failures_are_answered_one_by_one_and_told(self) -> None:
        def handler(channel: ChannelAddress, subscriber: Subscriber) -> Any:
            who = subscriber["id"]
            if who == "bad":
                raise BadInputError("no such room")
            if who == "exit":
                raise SystemExit(1)
            return {"broken": 1 / 0 if who == "broken" else None, "strange": "yes", "ttl": {"read": True, "ttl": -1},
                    "no": False, "yes": True}[who] if who != "broken" else 1 / 0

        self.backend().permissions_router.add("chat", handler)
        answers = self.broker.ask(*[check(who=who) for who in ("yes", "broken", "strange", "ttl", "bad", "no", "exit")],
                                  "no check")
        errors = [answer.get("error", {}).get("status") for answer in answers]
        self.assertEqual(errors, [None, 503, 503, 503, 400, None, 503, 503])
        self.assertEqual((answers[0], answers[5]), ({"read": True}, {"read": False}))
        self.assertEqual(answers[1]["error"]["message"], "ZeroDivisionError: division by zero")
        self.assertEqual(answers[4]["error"]["message"], "no such room")
        self.error(6)
        told = {str(error): error for error in self.errors}
        error = told["permission check of 'chat' for MEMBER 'broken': ZeroDivisionError: division by zero"]
        self.assertIsInstance(error.__cause__, ZeroDivisionError)

    def test_a_late_check_fails_alone(self) -> None:
        release = threading.Event()
        self.addCleanup(release.set)

        def handler(channel: ChannelAddress, subscriber: Subscriber) -> bool:
            if subscriber["id"] == "slow":
                release.wait(PATIENCE)
            return True

        self.backend(handler_timeout=0.2).permissions_router.default(handler)
        began = time.monotonic()
        answers = self.broker.ask(check(), check(who="slow"), check())
        self.assertLess(time.monotonic() - began, 2)
        late = "the permission handler took longer than 0.2 s"
        self.assertEqual(answers, [{"read": True}, {"error": {"status": 503, "message": late}}, {"read": True}])
        self.assertIn(late, str(self.error()))
        release.set()
        self.assertEqual(self.broker.ask(check()), [{"read": True}])
        self.assertEqual(len(self.broker.of("answer")), 2)

    def test_batches_are_independent_and_the_link_does_not_wait(self) -> None:
        release = threading.Event()
        self.addCleanup(release.set)

        def handler(channel: ChannelAddress, subscriber: Subscriber) -> bool:
            return subscriber["id"] != "slow" or release.wait(PATIENCE)

        backend = self.backend(handler_threads=2, handler_timeout=PATIENCE)
        backend.permissions_router.default(handler)
        self.broker.check(self.broker.worker(), 1, check(who="slow"), check())
        self.assertEqual(self.broker.ask(check(), number=2), [{"read": True}])
        backend.ping()
        release.set()
        self.assertEqual(self.broker.wait("answer", 2)["id"], 1)

    def test_handlers_run_in_several_threads(self) -> None:
        barrier = threading.Barrier(3)

        def handler(channel: ChannelAddress, subscriber: Subscriber) -> bool:
            barrier.wait(PATIENCE)
            return True

        self.backend(handler_threads=3, handler_timeout=PATIENCE).permissions_router.default(handler)
        self.assertEqual(self.broker.ask(check(), check(), check()), [{"read": True}] * 3)

    def test_a_handler_may_use_its_connection(self) -> None:
        self.broker.reply = lambda request: {"ok": True, "epoch": "e", "offset": 1}
        backend = self.backend()
        backend.permissions_router.default(lambda channel, subscriber: backend.publish("log", {}).offset == 1)
        self.assertEqual(self.broker.ask(check()), [{"read": True}])

    def test_a_check_that_cannot_be_read_is_told_and_harms_nobody(self) -> None:
        self.backend().permissions_router.default(lambda channel, subscriber: True)
        self.broker.send(self.broker.worker(), {"op": "check", "id": "x", "checks": []})
        self.assertIn("id: must be an unsigned integer", str(self.error()))
        self.broker.send(self.broker.worker(), b"\xc1")
        self.broker.send(self.broker.worker(), {"op": "dance"})
        self.assertEqual(self.broker.ask(check()), [{"read": True}])

    def test_answers_for_a_connection_that_broke_are_dropped(self) -> None:
        asked, release = threading.Event(), threading.Event()
        self.addCleanup(release.set)

        def handler(channel: ChannelAddress, subscriber: Subscriber) -> bool:
            asked.set()
            return release.wait(PATIENCE)

        self.backend(handler_timeout=PATIENCE).permissions_router.default(handler)
        self.broker.check(self.broker.worker(), 1, check())
        self.assertTrue(asked.wait(PATIENCE))
        self.broker.drop_connections()
        self.broker.wait("handle", 2)
        release.set()
        self.assertEqual(self.broker.ask(check(), number=2), [{"read": True}])
        self.assertEqual([answer["id"] for answer in self.broker.of("answer")], [2])


class Reporting(Case):
    def test_by_default_it_is_logged_with_the_traceback(self) -> None:
        backend = Backend(self.broker.endpoint)
        self.addCleanup(backend.close)
        backend.permissions_router.default(lambda channel, subscriber: {"read": 1 / 0})
        with self.assertLogs("millrace", logging.ERROR) as logs:
            self.broker.ask(check())
            backend.close()
        self.assertIn("permission check of 'chat' for MEMBER 'u1': ZeroDivisionError", logs.output[0])
        self.assertIn("Traceback", logs.output[0])

    def test_a_reporter_that_fails_or_hangs_harms_nobody(self) -> None:
        release = threading.Event()
        self.addCleanup(release.set)

        def tell(error: HandlerError) -> None:
            release.wait(PATIENCE)
            raise RuntimeError("reporter")

        backend = Backend(self.broker.endpoint, on_handler_error=tell)
        self.addCleanup(backend.close)
        backend.permissions_router.default(lambda channel, subscriber: {"read": 5})
        with self.assertLogs("millrace", logging.ERROR) as logs:
            for _ in range(3):
                self.assertEqual(self.broker.ask(check())[0]["error"]["status"], 503)
            release.set()
            backend.close()
        self.assertIn("on_handler_error failed", logs.output[0])

    def test_too_many_are_counted(self) -> None:
        release = threading.Event()

        def tell(error: HandlerError) -> None:
            release.wait(PATIENCE)
            self.tell(error)

        reports = Reports(tell)
        for number in range(WAITING + 50):
            reports.add(HandlerError(f"{number}"))
        release.set()
        reports.flush(PATIENCE)
        self.assertLessEqual(len(self.errors), WAITING + 2)
        self.assertRegex(str(self.errors[-1]), r"^(49|50) more errors of permission handlers were not told one by one")

    def test_settings(self) -> None:
        bad: list[tuple[dict[str, Any], str]] = [
            ({"handler_threads": 0}, "^handler_threads: must be an integer from 1 to 256"),
            ({"handler_timeout": 0}, "^handler_timeout: must be a number of seconds from 0.001 to 60"),
            ({"on_handler_error": 5}, "^on_handler_error: must be a function, not int"),
        ]
        for settings, rule in bad:
            with self.subTest(settings=settings), self.assertRaisesRegex(BadInputError, rule):
                Backend(self.broker.endpoint, **settings)


class LocalChecks(Case):
    def test_the_cascade_without_the_broker(self) -> None:
        router = self.backend().permissions_router
        member: Subscriber = {"id": "u1", "type": "MEMBER"}
        self.assertEqual(router.check("chat", member), Decision(True))
        router.default(lambda channel, subscriber: False)
        router.add("chat", lambda channel, subscriber: {"read": True, "ttl": 5})
        router.add({"name": "chat", "resourceId": "room"}, lambda channel, subscriber, context: context.app == "a")
        self.assertEqual(router.check("other", member), Decision(False))
        self.assertEqual(router.check({"name": "chat", "resourceId": "x"}, member), Decision(True, 5))
        self.assertEqual(router.check({"name": "chat", "resourceId": "room"}, member), Decision(False))
        self.assertEqual(router.check("chat", member, app="b"), Decision(True))
        router.remove("chat")
        self.assertEqual(router.check("chat", member), Decision(False))
        router.remove_default()
        self.assertEqual(router.check("chat", member), Decision(True))

    def test_failures_are_raised(self) -> None:
        router = self.backend().permissions_router
        router.default(lambda channel, subscriber: {"read": 1 / 0})
        with self.assertRaises(ZeroDivisionError):
            router.check("chat", {"id": "u1", "type": "MEMBER"})
        router.default(lambda channel, subscriber: {"read": 5})
        with self.assertRaisesRegex(MillraceError, "read must be a bool, not int"):
            router.check("chat", {"id": "u1", "type": "MEMBER"})
        with self.assertRaisesRegex(BadInputError, r"^subscriber\.type: must be"):
            router.check("chat", {"id": "u1"})  # type: ignore[typeddict-item]


class Requests(Case):
    def test_revoke_and_disconnect(self) -> None:
        self.broker.reply = lambda request: {"ok": True, "affected": 3, "ended": 2, "unconfirmed": 1}
        backend = self.backend()
        self.assertEqual(backend.revoke({"name": "chat", "resourceId": ""}, {"id": "u1", "type": "MEMBER"}, "deny"),
                         millrace.Revoked(affected=3, ended=2, unconfirmed=1))
        self.assertEqual(self.without_id("revoke"), {"channel": "chat", "resource": "", "mode": "deny",
                                                     "subscriber": {"id": "u1", "type": "MEMBER"}})
        backend.revoke("chat", site="s", app="a")
        self.assertEqual(self.without_id("revoke"), {"channel": "chat", "mode": "recheck", "site": "s", "app": "a"})
        self.assertEqual(backend.disconnect("u1", "bye"), millrace.Disconnected(affected=3, unconfirmed=1))
        self.assertEqual(self.without_id("disconnect"), {"subscriber": {"id": "u1"}, "reason": "bye"})
        with self.assertRaisesRegex(BadInputError, "^revoke: a channel or a subscriber must be given"):
            backend.revoke()

    def test_errors(self) -> None:
        backend = self.backend()
        self.broker.reply = lambda request: refusal(403, "forbidden", "not here")
        with self.assertRaisesRegex(millrace.ForbiddenError, "not here"):
            backend.revoke("chat")
        self.broker.reply = lambda request: {"ok": True}
        with self.assertRaisesRegex(MillraceError, "cannot be read"):
            backend.disconnect("u1")

    def without_id(self, op: str) -> Map:
        request = self.broker.of(op)[-1]
        self.assertLessEqual(request["at"], time.monotonic() * 1000)
        self.assertEqual(request["within"], 5000)
        return {key: value for key, value in request.items() if key not in ("op", "id", "at", "within")}


def _in_child(backend: Backend, results: Any) -> None:
    """What a forked child may do with the connection of its parent, and with the shared one."""
    member: Subscriber = {"id": "u1", "type": "MEMBER"}
    outcome: list[Optional[str]] = []
    actions: list[Callable[[], object]] = [
        lambda: backend.permissions_router.default(lambda channel, subscriber: True),
        lambda: backend.permissions_router.remove("chat"),
        lambda: backend.permissions_router.check("chat", member), lambda: backend.revoke("chat"),
    ]
    for action in actions:
        try:
            action()
            outcome.append(None)
        except ClosedError as error:
            outcome.append(error.code)
    backend.close()
    outcome.append(str(millrace.permissions_router.check("chat", member).read))
    results.put(outcome)
    results.close()
    results.join_thread()
    os._exit(0)  # as servers that fork do


class Shared(Case):
    def setUp(self) -> None:
        super().setUp()
        self.enterContext(mock.patch.dict(os.environ, {"MILLRACE_BACKENDS": self.broker.endpoint}))
        self.enterContext(mock.patch("millrace._backend._shared", None))

    def test_on_the_connection_of_publish(self) -> None:
        self.broker.reply = lambda request: {"ok": True, "affected": 0, "ended": 0, "unconfirmed": 0, "removed": 1}

        @millrace.permissions_router.add("chat")
        def may_read(channel: ChannelAddress, subscriber: Subscriber) -> bool:
            return subscriber["type"] == "ADMIN"

        self.assertEqual(self.broker.ask(check(), check(kind="ADMIN")), [{"read": False}, {"read": True}])
        self.assertFalse(may_read({"name": "chat"}, {"id": "", "type": "VISITOR"}))
        self.assertEqual(millrace.revoke("chat"), millrace.Revoked(0, 0, 0))
        self.assertEqual(millrace.disconnect("u1"), millrace.Disconnected(0, 0))
        self.assertEqual(len({who for who, _ in self.broker.requests}), 1)
        millrace._backend._common().close()

    def test_a_forked_child_has_no_handlers(self) -> None:
        backend = self.backend()
        backend.permissions_router.default(lambda channel, subscriber: False)
        millrace.permissions_router.default(lambda channel, subscriber: False)
        fork = multiprocessing.get_context("fork")
        results = fork.Queue()
        child = fork.Process(target=_in_child, args=(backend, results))
        child.start()
        self.assertEqual(results.get(timeout=PATIENCE), ["closed", "closed", "closed", "closed", "True"])
        child.join(PATIENCE)
        self.assertEqual(len(self.broker.of("handle")), 2)
        self.assertEqual(self.broker.ask(check()), [{"read": False}])
        millrace._backend._common().close()


if __name__ == "__main__":
    unittest.main()
