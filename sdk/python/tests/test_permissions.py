"""What a handler may return, what becomes of it, and what requests about permissions must obey."""

import unittest
from typing import Any, Iterator, Mapping

from millrace import BadInputError, CheckContext, Decision, MillraceError
from millrace._decisions import Registered, answer_of, decision_of, error_answer, message_of
from millrace._permissions import Question, checks_of, disconnection, place, question_of, revocation, subscriber_of

from .broker import check


class Decisions(unittest.TestCase):
    def test_good(self) -> None:
        good: list[tuple[object, dict[str, object]]] = [
            (True, {"read": True}), (False, {"read": False}), ({"read": False}, {"read": False}),
            (Decision(True), {"read": True}), (Decision(True, 0), {"read": True, "ttl": 0}),
            ({"read": True, "ttl": 2_592_000}, {"read": True, "ttl": 2_592_000}),
            ({"read": True, "ttl": 0.5}, {"read": True, "ttl": 0.5}),
        ]
        for value, answer in good:
            with self.subTest(value=value):
                self.assertEqual(answer_of(decision_of(value)), answer)

    def test_bad(self) -> None:
        bad: list[tuple[object, str]] = [
            (None, "it must return a Decision, a mapping with read, or a bool, not None"),
            (1, "not int"), ("yes", "not str"), ([True], "not list"),
            ({}, "read must be a bool, not None"), ({"read": 1}, "read must be a bool, not int"),
            (Decision("yes"), "read must be a bool, not str"),  # type: ignore[arg-type]
            ({"read": True, "tll": 5}, "there is no 'tll', only read, ttl"),
        ]
        ttls: list[object] = [-1, 2_592_001, float("nan"), float("inf"), True, "60", None, 10**400]
        bad += [({"read": True, "ttl": ttl}, "ttl must be a number of seconds from 0 to 2592000") for ttl in ttls]
        bad += [(Decision(True, -0.1), "ttl must be"), (Decision(False, float("nan")), "ttl must be")]
        for value, rule in bad:
            with self.subTest(value=value), self.assertRaisesRegex(MillraceError, rule) as caught:
                decision_of(value)
            self.assertEqual(error_answer(caught.exception)["error"]["status"], 503)

    def test_messages_are_short_and_a_line(self) -> None:
        self.assertEqual(error_answer(ValueError("one\ntwo")), {"error": {"status": 503, "message": "ValueError: one"}})
        self.assertEqual(error_answer(KeyError()), {"error": {"status": 503, "message": "KeyError"}})
        self.assertEqual(error_answer(BadInputError("not here")), {"error": {"status": 400, "message": "not here"}})
        self.assertEqual(message_of(BadInputError("x" * 255 + "ä")), "x" * 255)
        self.assertEqual(message_of(BadInputError("a\ud800")), "a?")
        self.assertEqual(error_answer(BadInputError("\n"))["error"]["message"], "the permission handler failed")

    def test_an_error_that_cannot_be_looked_at(self) -> None:
        class Strange(Exception):
            def __str__(self) -> str:
                raise RuntimeError

        self.assertEqual(message_of(Strange()), "Strange")


class Handlers(unittest.TestCase):
    def asked(self, function: object) -> Any:
        return Registered(function).ask(Question({"name": "c"}, {"id": "u", "type": "MEMBER"}, CheckContext("r", "s")))

    def test_with_and_without_context(self) -> None:
        class Callable:
            def __call__(self, channel: object, subscriber: object) -> bool:
                return True

        self.assertEqual(self.asked(lambda channel, subscriber: (channel, subscriber["id"])), ({"name": "c"}, "u"))
        self.assertEqual(self.asked(lambda a, b, c: c.request_id), "r")
        self.assertEqual(self.asked(lambda *all: len(all)), 3)
        self.assertEqual(self.asked(lambda a, b, context=None: context.site), "s")
        self.assertEqual(self.asked(lambda a, b, database="d": database), "d")
        self.assertIs(self.asked(Callable()), True)

    def test_bad(self) -> None:
        async def later(channel: object, subscriber: object) -> bool:
            return True

        bad: list[tuple[object, str]] = [
            (None, "^handler: must be a function, not None"), (5, "^handler: must be a function, not int"),
            (lambda: True, r"^handler: must take \(channel, subscriber\) or"), (lambda a: True, "^handler: must take"),
            (lambda a, b, c, d: True, "^handler: must take"), (lambda a, b, *, c: True, "^handler: must take"),
            (later, "^handler: a coroutine function needs AsyncBackend"),
        ]
        for function, rule in bad:
            with self.subTest(rule=rule), self.assertRaisesRegex(BadInputError, rule):
                Registered(function)


class Questions(unittest.TestCase):
    def test_good(self) -> None:
        question = question_of(check("chat", "room", requesting_app="a", app="b"))
        self.assertEqual((question.channel, question.subscriber), ({"name": "chat", "resourceId": "room"},
                                                                   {"id": "u1", "type": "MEMBER"}))
        self.assertEqual(question.context, CheckContext("r1", "main", "b", "a"))
        self.assertEqual(question_of(check(who="", kind="VISITOR")).channel, {"name": "chat"})
        self.assertEqual(str(question), "'chat:room' for MEMBER 'u1'")

    def test_unreadable(self) -> None:
        bad: list[object] = [5, {}, check(kind="ROOT"), {**check(), "channel": 5}, {**check(), "subscriber": None},
                             {**check(), "resource": 5}]
        for value in bad:
            with self.subTest(value=value), self.assertRaisesRegex(MillraceError, "^the broker's check cannot be read: "):
                question_of(value)
        frames: list[Mapping[str, Any]] = [{}, {"id": -1, "checks": []}, {"id": 1}, {"id": True, "checks": []},
                                           {"id": 1, "checks": [0] * 257}]
        for frame in frames:
            with self.subTest(frame=frame), self.assertRaisesRegex(MillraceError, "cannot be read"):
                checks_of(frame)


class Requests(unittest.TestCase):
    def test_places(self) -> None:
        self.assertEqual(place({"name": "c", "resourceId": "r"}, "s", "a").level, {"channel": "c", "resource": "r"})
        self.assertEqual(place("c", None, None).level, {"channel": "c"})
        self.assertEqual(place({"name": "c", "resourceId": ""}, None, None).key, ("", "c", ""))
        self.assertEqual(place(None, None, "a").level, {})

    def test_revocations(self) -> None:
        good: list[tuple[Any, Any, dict[str, object]]] = [
            ("c", None, {"channel": "c"}), ({"name": "c"}, None, {"channel": "c"}),
            ({"name": "c", "resourceId": None}, None, {"channel": "c"}),
            ({"name": "c", "resourceId": ""}, None, {"channel": "c", "resource": ""}),
            ({"name": "c", "resourceId": "r"}, "u", {"channel": "c", "resource": "r", "subscriber": {"id": "u"}}),
            (None, {"id": "", "type": "VISITOR"}, {"subscriber": {"id": "", "type": "VISITOR"}}),
            (None, {"id": "u", "type": None}, {"subscriber": {"id": "u"}}),
        ]
        for channel, subscriber, request in good:
            with self.subTest(channel=channel, subscriber=subscriber):
                self.assertEqual(revocation(channel, subscriber, "deny", None, None), {**request, "mode": "deny"})
        self.assertEqual(revocation("c", None, "recheck", "s", "a"),
                         {"channel": "c", "mode": "recheck", "site": "s", "app": "a"})

    def test_bad(self) -> None:
        def bad() -> Iterator[tuple[str, Any]]:
            yield "^revoke: a channel or a subscriber must be given", lambda: revocation(None, None, "deny", None, None)
            yield "^mode: must be 'recheck' or 'deny'", lambda: revocation("c", None, "no", None, None)  # type: ignore
            yield "^channel: only letters", lambda: revocation("a b", None, "deny", None, None)
            yield "^site: must be 1 to 64", lambda: revocation("c", None, "deny", "", None)
            for subscriber, rule in (
                (5, "^subscriber: must be a mapping with id and type, not int"),
                ({}, r"^subscriber\.id: must be a str, not None"),
                ({"id": "x" * 257}, r"^subscriber\.id: longer than 256 bytes"),
                ({"id": "x", "type": "ROOT"}, r"^subscriber\.type: must be 'ADMIN', 'MEMBER', 'VISITOR'"),
                ({"id": "x", "kind": "ADMIN"}, "^subscriber: there is no 'kind', only id, type"),
            ):
                yield rule, lambda subscriber=subscriber: disconnection(subscriber, None, None)
            yield r"^subscriber\.type: must be", lambda: subscriber_of({"id": "x"})
            yield "^reason: must not be empty", lambda: disconnection("u", "", None)
            yield "^reason: longer than 100 bytes", lambda: disconnection("u", "ä" * 51, None)

        for rule, action in bad():
            with self.subTest(rule=rule), self.assertRaisesRegex(BadInputError, rule):
                action()


if __name__ == "__main__":
    unittest.main()
