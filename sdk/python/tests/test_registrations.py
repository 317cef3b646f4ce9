"""How handlers come to the broker, stay there whatever happens to the connection, and go again."""

import pathlib
import subprocess
import sys
import threading
import time
import unittest
from typing import Any, Optional
from unittest import mock

import millrace
from millrace import Backend, BadInputError, ChannelAddress, ClosedError, DisconnectedError, MillraceError, Subscriber
from millrace import OverloadedError

from .broker import PATIENCE, Broker, Map, check, refusal
from .test_handlers import Case


def yes(channel: ChannelAddress, subscriber: Subscriber) -> bool:
    return True


def no(channel: ChannelAddress, subscriber: Subscriber) -> bool:
    return False


class Outcome(threading.Thread):
    def __init__(self, action: Any) -> None:
        super().__init__(daemon=True)
        self._action = action
        self.error: Optional[BaseException] = None

    def run(self) -> None:
        try:
            self._action()
        except BaseException as error:  # noqa: BLE001 - for the test to look at
            self.error = error

    def wait(self) -> Optional[BaseException]:
        self.join(PATIENCE)
        assert not self.is_alive()
        return self.error


def in_thread(action: Any) -> Outcome:
    outcome = Outcome(action)
    outcome.start()
    return outcome


class Registering(Case):
    def test_returns_when_the_broker_has_stored_it(self) -> None:
        go = threading.Event()
        self.addCleanup(go.set)

        def reply(request: Map) -> Map:
            go.wait(PATIENCE)
            return {"ok": True}

        self.broker.reply = reply
        router = self.backend().permissions_router
        adding = in_thread(lambda: router.add({"name": "chat", "resourceId": "room"}, yes, site="s", app="a"))
        adding.join(0.2)
        self.assertTrue(adding.is_alive())
        go.set()
        self.assertIsNone(adding.wait())
        request = self.broker.wait("handle")
        self.assertEqual({key: value for key, value in request.items() if key != "id"},
                         {"op": "handle", "handlers": [{"channel": "chat", "resource": "room"}], "site": "s", "app": "a"})

    def test_as_decorators(self) -> None:
        router = self.backend().permissions_router

        @router.add("chat")
        @router.add({"name": "other"}, timeout=2)
        @router.default
        def first(channel: ChannelAddress, subscriber: Subscriber) -> bool:
            return True

        @router.default(app="a")
        def second(channel: ChannelAddress, subscriber: Subscriber) -> bool:
            return False

        self.assertEqual([request["handlers"] for request in self.broker.of("handle")],
                         [[{}], [{"channel": "other"}], [{"channel": "chat"}], [{}]])
        self.assertTrue(first({"name": "chat"}, {"id": "u", "type": "MEMBER"}))
        self.assertEqual(self.broker.ask(check(), check(app="a")), [{"read": True}, {"read": False}])

    def test_another_handler_for_the_same_place_needs_no_request(self) -> None:
        router = self.backend().permissions_router
        router.add("chat", no)
        router.add("chat", yes)
        self.assertEqual(len(self.broker.of("handle")), 1)
        self.assertEqual(self.broker.ask(check()), [{"read": True}])

    def test_what_is_refused_is_given_up(self) -> None:
        self.broker.reply = lambda request: refusal(403, "forbidden", "site: not yours")
        router = self.backend().permissions_router
        with self.assertRaisesRegex(millrace.ForbiddenError, "site: not yours"):
            router.add("chat", no, site="other")
        self.assertIn("registration of permission handlers (chat): site: not yours", str(self.error()))
        self.assertTrue(router.check("chat", {"id": "u", "type": "MEMBER"}).read)
        self.broker.drop_connections()
        self.broker.reply = lambda request: {"ok": True}
        router.add("other", yes)
        self.assertEqual([request["handlers"] for request in self.broker.of("handle")],
                         [[{"channel": "chat"}], [{"channel": "other"}]])

    def test_what_the_store_could_not_take_is_tried_again(self) -> None:
        self.broker.reply = lambda request: refusal(503, "unavailable", "handlers: could not be stored")
        router = self.backend().permissions_router
        with self.assertRaises(OverloadedError):
            router.add("chat", yes)
        self.broker.reply = lambda request: {"ok": True}
        self.broker.wait("handle", 2)
        self.assertEqual(self.broker.ask(check()), [{"read": True}])

    def test_whoever_asks_again_does_not_wait_for_the_next_try(self) -> None:
        self.broker.reply = lambda request: refusal(503, "unavailable", "handlers: could not be stored")
        router = self.backend().permissions_router
        with mock.patch("millrace._registrations.RETRY", 30.0):
            with self.assertRaises(OverloadedError):
                router.add("chat", yes)
            self.broker.reply = lambda request: {"ok": True}
            router.add("chat", yes)

    def test_refused_before_it_is_sent(self) -> None:
        router = self.backend().permissions_router
        bad: list[tuple[Any, str]] = [
            (lambda: router.add("a b", yes), "^channel: only letters"),
            (lambda: router.add(None, yes), r"^channel: must be given; default\(\)"),  # type: ignore[call-overload]
            (lambda: router.remove(None), "^channel: must be given"),  # type: ignore[arg-type]
            (lambda: router.default(5), "^handler: must be a function, not int"),  # type: ignore[call-overload]
            (lambda: router.default(yes, site="a b"), "^site: must be 1 to 64"),
            (lambda: router.default(yes, timeout=0), "^timeout: must be a number of seconds"),
        ]
        for action, rule in bad:
            with self.subTest(rule=rule), self.assertRaisesRegex(BadInputError, rule):
                action()
        self.assertEqual(self.broker.requests, [])

    def test_a_broker_that_is_away(self) -> None:
        self.broker.stop()
        router = self.backend().permissions_router
        with self.assertRaisesRegex(millrace.TimeoutError, "has not confirmed this handler within 0.2 s") as caught:
            router.add("chat", yes, timeout=0.2)
        self.assertIn("chat", str(self.error()))
        self.assertIn(caught.exception.outcome, ("not sent", "unknown"))
        self.broker.start("a")  # the connection goes on trying, as it said
        self.broker.wait("handle")
        self.assertEqual(self.broker.ask(check()), [{"read": True}])

    def test_at_most_1024_in_a_request(self) -> None:
        router = self.backend().permissions_router
        for number in range(1300):
            router.add(f"c{number}", yes)
        before = len(self.broker.of("handle"))
        self.broker.drop_connections()
        self.broker.wait("handle", before + 2)
        sizes = [len(request["handlers"]) for request in self.broker.of("handle")[before:]]
        self.assertEqual(sizes, [1024, 276])


class Connections(Case):
    def test_registered_again_by_itself_after_a_lost_connection(self) -> None:
        self.backend().permissions_router.add("chat", yes)
        for count in (2, 3):
            self.broker.drop_connections()
            self.assertEqual(self.broker.wait("handle", count)["handlers"], [{"channel": "chat"}])
            self.assertEqual(self.broker.ask(check()), [{"read": True}])

    def test_and_after_a_restart_of_the_broker_while_idle(self) -> None:
        router = self.backend().permissions_router
        router.default(yes, app="a")
        router.add("chat", yes)
        self.broker.stop()
        time.sleep(0.5)
        self.broker.start("b")
        self.broker.wait("handle", 4)
        again = [(request["handlers"], request.get("app")) for request in self.broker.of("handle")[2:]]
        self.assertCountEqual(again, [([{}], "a"), ([{"channel": "chat"}], None)])

    def test_before_what_else_is_waiting(self) -> None:
        backend = self.backend()
        backend.permissions_router.default(yes)
        self.broker.stop()
        time.sleep(0.3)
        waiting = [backend.submit("chat", {"n": n}) for n in range(2000)]
        self.broker.reply = lambda request: {"ok": True, "epoch": "e", "offset": 1}
        self.broker.start("b")
        self.broker.wait("handle", 2)
        self.assertLess(len(self.broker.of("publish")), 2000)
        for future in waiting:
            future.result(PATIENCE)

    def test_a_silent_broker_is_told_again(self) -> None:
        with mock.patch("millrace._worker.SILENCE", 0.3):
            self.backend().permissions_router.default(yes)
            self.broker.wait("handle", 3)

    def test_nothing_is_noticed_or_asked_without_handlers(self) -> None:
        backend = self.backend()
        backend.permissions_router.default(yes)
        backend.permissions_router.remove_default()
        self.broker.drop_connections()
        time.sleep(0.6)
        backend.ping()
        self.assertEqual(len(self.broker.requests), 2)

    def test_a_request_that_was_lost_with_its_connection(self) -> None:
        self.broker.reply = lambda request: None
        router = self.backend().permissions_router
        adding = in_thread(lambda: router.add("chat", yes))
        self.broker.wait("handle")
        self.broker.reply = lambda request: {"ok": True}
        self.broker.drop_connections()
        self.assertIsNone(adding.wait())
        self.assertEqual(len(self.broker.of("handle")), 2)

    def test_keeps_what_is_under_way_on_a_connection_apart(self) -> None:
        """A publish without a key fails with its connection, as without handlers."""
        backend = self.backend()
        backend.permissions_router.default(yes)
        self.broker.reply = lambda request: None
        future = backend.submit("chat", {})
        self.broker.wait("publish")
        self.broker.reply = lambda request: {"ok": True}
        self.broker.drop_connections()
        with self.assertRaises(DisconnectedError):
            future.result(PATIENCE)


class Ending(Case):
    def test_remove(self) -> None:
        backend = self.backend()
        router = backend.permissions_router
        router.default(no)
        router.add("chat", yes)
        router.remove("chat")
        self.assertEqual(self.broker.of("unhandle")[0]["handlers"], [{"channel": "chat"}])
        self.assertEqual(self.broker.ask(check()), [{"read": False}])
        router.remove("chat")  # there is none
        self.assertEqual(len(self.broker.of("unhandle")), 1)
        self.broker.drop_connections()
        self.assertEqual(self.broker.wait("handle", 3)["handlers"], [{}])

    def test_until_it_is_removed_it_decides(self) -> None:
        router = self.backend().permissions_router
        router.default(yes)
        self.broker.reply = lambda request: None
        removing = in_thread(router.remove_default)
        self.broker.wait("unhandle")
        self.assertEqual(self.broker.ask(check()), [{"read": True}])
        self.broker.reply = lambda request: {"ok": True}
        self.broker.drop_connections()  # it was asked, and not answered: registered, perhaps
        self.assertIsNone(removing.wait())
        self.assertEqual([request["op"] for _, request in self.broker.requests if request["op"] != "answer"],
                         ["handle", "unhandle", "handle", "unhandle"])

    def test_close_takes_off_what_it_registered(self) -> None:
        backend = self.backend()
        backend.permissions_router.default(yes)
        backend.permissions_router.add("chat", yes, app="a")
        backend.close()
        self.assertCountEqual([(request["handlers"], request.get("app")) for request in self.broker.of("unhandle")],
                              [([{}], None), ([{"channel": "chat"}], "a")])
        with self.assertRaisesRegex(ClosedError, "the connection is closed"):
            backend.permissions_router.add("chat", yes)
        backend.close()

    def test_close_answers_what_it_was_asked(self) -> None:
        backend = self.backend()
        asked = threading.Event()

        def slow(channel: ChannelAddress, subscriber: Subscriber) -> bool:
            asked.set()
            time.sleep(0.3)
            return True

        backend.permissions_router.default(slow)
        self.broker.check(self.broker.worker(), 1, check())
        self.assertTrue(asked.wait(PATIENCE))
        backend.close()
        self.assertEqual(self.broker.of("answer")[0]["answers"], [{"read": True}])

    def test_close_now_takes_off_and_waits_for_nothing_else(self) -> None:
        backend = self.backend(handler_timeout=PATIENCE)
        release = threading.Event()
        self.addCleanup(release.set)
        backend.permissions_router.default(lambda channel, subscriber: release.wait(PATIENCE))
        self.broker.check(self.broker.worker(), 1, check())
        began = time.monotonic()
        backend.close(now=True)
        self.assertLess(time.monotonic() - began, 1)
        self.assertEqual(len(self.broker.of("unhandle")), 1)

    def test_close_without_a_broker(self) -> None:
        backend = self.backend(timeout=0.5)
        backend.permissions_router.default(yes)
        self.broker.stop()
        backend.close()
        self.assertIn("has not confirmed that they are off", str(self.error()))

    def test_close_without_a_broker_that_ever_knew_of_them(self) -> None:
        self.broker.stop()
        backend = self.backend()
        adding = in_thread(lambda: backend.permissions_router.default(yes))
        time.sleep(0.2)
        began = time.monotonic()
        backend.close()
        self.assertLess(time.monotonic() - began, 1)
        self.assertIsInstance(adding.wait(), ClosedError)

    def test_removed_before_it_was_registered(self) -> None:
        self.broker.reply = lambda request: None
        router = self.backend().permissions_router
        adding = in_thread(lambda: router.add("chat", yes))
        self.broker.wait("handle")
        removing = in_thread(lambda: router.remove("chat"))
        error = adding.wait()
        self.assertIsInstance(error, MillraceError)
        self.assertRegex(str(error), "was removed before it was registered")
        self.broker.reply = lambda request: {"ok": True}
        self.broker.drop_connections()
        self.assertIsNone(removing.wait())

    def test_a_connection_that_ends_lets_nobody_wait(self) -> None:
        self.broker.reply = lambda request: None
        backend = self.backend()
        adding = in_thread(lambda: backend.permissions_router.add("chat", yes))
        self.broker.wait("handle")
        backend._requests._link.close(True)
        self.assertIsInstance(adding.wait(), ClosedError)
        with self.assertRaises(ClosedError):
            backend.permissions_router.default(yes)

    def test_a_program_that_ends_leaves_its_registrations_behind(self) -> None:
        """Or its restart would open what its handlers refuse. A handler that hangs does not keep it from ending."""
        code = f"""if True:
            import threading, time, millrace
            asked = threading.Event()
            def handler(channel, subscriber):
                asked.set()
                time.sleep(1000)
            millrace.Backend({self.broker.endpoint!r}).permissions_router.default(handler)
            assert asked.wait({PATIENCE})"""
        program = subprocess.Popen([sys.executable, "-c", code], cwd=pathlib.Path(__file__).parent.parent)
        self.addCleanup(program.kill)
        self.broker.wait("handle", 1, 6 * PATIENCE)
        self.broker.check(self.broker.worker(), 1, check())
        self.assertEqual(program.wait(6 * PATIENCE), 0)
        self.assertEqual(self.broker.of("unhandle"), [])

    def test_close_by_a_callback_in_the_thread_of_the_link(self) -> None:
        backend = self.backend()
        backend.permissions_router.default(yes)
        closed = threading.Event()

        def close(_: object) -> None:
            backend.close()
            closed.set()

        self.broker.reply = lambda request: {"ok": True, "epoch": "e", "offset": 1}
        backend.submit("chat", {}).add_done_callback(close)
        self.assertTrue(closed.wait(PATIENCE))
        self.broker.wait("unhandle")


if __name__ == "__main__":
    unittest.main()
