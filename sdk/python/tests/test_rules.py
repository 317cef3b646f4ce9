"""What is refused before it is sent, and what arrives as it is."""

import datetime
import decimal
import enum
import unittest
from typing import Any, Mapping

import msgpack

from millrace import BadInputError, TooLargeError
from millrace._rules import history_request, pack, pack_request, publication


def request(channel: Any, payload: Any = None, **options: Any) -> dict[str, Any]:
    return publication(channel, {} if payload is None else payload, **options)[0]


def journey(payload: dict[str, Any]) -> Any:
    """The payload as it is after a journey through msgpack."""
    return msgpack.unpackb(pack(request("c", payload)))["payload"]


def nested(depth: int) -> dict[str, Any]:
    return {} if depth == 1 else {"a": nested(depth - 1)}


class Room:
    pass


class Color(enum.IntEnum):
    RED = 1


class Case(unittest.TestCase):
    def refuses(self, rule: str, channel: Any, payload: Any, **options: Any) -> None:
        with self.assertRaisesRegex(BadInputError, rule) as caught:
            publication(channel, payload, **options)
        error = caught.exception
        self.assertIsInstance(error, ValueError)
        self.assertEqual((error.status, error.code, error.outcome), (400, "bad_input", "refused"))


class Addresses(Case):
    def test_good(self) -> None:
        self.assertEqual(request("chat"), {"channel": "chat", "payload": {}})
        self.assertEqual(request({"name": "chat"}), {"channel": "chat", "payload": {}})
        self.assertEqual(request({"name": "@a_-9", "resourceId": "room 1/2: ä"}),
                         {"channel": "@a_-9", "resource": "room 1/2: ä", "payload": {}})
        for none in ("", None):
            self.assertEqual(request({"name": "chat", "resourceId": none}), {"channel": "chat", "payload": {}})
        request("x" * 140)
        request({"name": "x", "resourceId": "😀" * 139})

    def test_bad(self) -> None:
        bad: list[tuple[Any, str]] = [
            (None, "^channel: must be a str or a mapping with name and resourceId, not None"),
            (5, "^channel: must be a str or a mapping"),
            ({}, r"^channel\.name: must be a str, not None"),
            ({"name": 5}, r"^channel\.name: must be a str, not int"),
            ("", "^channel: the name is empty"),
            ("@", "^channel: the name is empty"),
            ("a b", "^channel: only letters"),
            ("a\n", "^channel: only letters"),
            ("ä", "^channel: only letters"),
            ("a:b", "^channel: only letters"),
            ("x" * 141, "exceed 140 Unicode code points"),
            ({"name": "a", "resourceId": "😀" * 140}, "exceed 140 Unicode code points"),
            ({"name": "a", "resourceId": "x\0"}, r"^channel\.resourceId: the id contains U\+0000"),
            ({"name": "a", "resourceId": "\ud800"}, r"^channel\.resourceId: not valid Unicode"),
            ({"name": "a", "resourceId": 5}, r"^channel\.resourceId: must be a str, not int"),
            ({"name": "a", "resource": "x"}, "^channel: there is no 'resource', only name, resourceId"),
        ]
        for channel, rule in bad:
            with self.subTest(channel=channel):
                self.refuses(rule, channel, {})


class Options(Case):
    def test_good(self) -> None:
        options = {"publisher": "u", "key": "k", "view": "preview", "site": "a.b", "app": "c-d"}
        self.assertEqual(request("c", {}, **options), {"channel": "c", "payload": {}, **options})

    def test_bad(self) -> None:
        bad: list[tuple[Mapping[str, Any], str]] = [
            ({"view": "both"}, "^view: must be 'live' or 'preview'"),
            ({"key": ""}, "^key: must not be empty"),
            ({"key": "ä" * 32 + "x"}, "^key: longer than 64 bytes"),
            ({"key": 7}, "^key: must be a str, not int"),
            ({"publisher": "x" * 257}, "^publisher: longer than 256 bytes"),
            ({"publisher": {"id": "x"}}, "^publisher: must be a str, not dict"),
            ({"site": "a b"}, "^site: must be 1 to 64"),
            ({"app": ""}, "^app: must be 1 to 64"),
        ]
        for options, rule in bad:
            with self.subTest(options=options):
                self.refuses(rule, "c", {}, **options)


class Payloads(Case):
    def test_good(self) -> None:
        payload: dict[str, Any] = {"n": None, "t": True, "i": -5, "d": 1.5, "s": "ä😀", "a": [1, [2, {}]], "o": {"a b": {"c": []}},
                   "max": 2**63 - 1, "min": -(2**63), "color": Color.RED}
        self.assertEqual(journey(payload), payload)
        self.assertEqual(journey({"pair": (1, 2)}), {"pair": [1, 2]})
        self.assertEqual(journey(nested(16)), nested(16))

    def test_must_be_a_dict(self) -> None:
        payloads: list[Any] = [None, "hello", 5, True, [1], b"x", Room(), datetime.datetime.now()]
        for payload in payloads:
            with self.subTest(payload=payload):
                self.refuses("^payload: must be a dict, not ", "c", payload)

    def test_bad(self) -> None:
        cycle: dict[str, Any] = {}
        cycle["self"] = [cycle]
        bad: list[tuple[dict[Any, Any], str]] = [
            ({"a": [1, float("nan")]}, r"^payload\.a\[1\]: NaN and infinities have no JSON form"),
            ({"a b": float("-inf")}, r"^payload\['a b'\]: NaN and infinities"),
            ({"a": {"b": b"x"}}, r"^payload\.a\.b: bytes has no JSON form"),
            ({"a": datetime.datetime.now()}, r"^payload\.a: datetime has no JSON form"),
            ({"a": decimal.Decimal(1)}, r"^payload\.a: Decimal has no JSON form"),
            ({"a": {1}}, r"^payload\.a: set has no JSON form"),
            ({"a": Room()}, r"^payload\.a: Room has no JSON form"),
            ({"a": {1: 2}}, r"^payload\.a: a key is int, not str"),
            ({"a": 2**63}, r"^payload\.a: integers beyond 64 bits"),
            ({"a": -(2**63) - 1}, r"^payload\.a: integers beyond 64 bits"),
            ({"a": "x\udc00"}, r"^payload\.a: not valid Unicode"),
            ({"a": {"\ud800": 1}}, r"^payload\.a: a key is not valid Unicode"),
            (nested(17), r"^payload(\.a){16}: nested deeper than 16"),
            (cycle, r"^payload(\.self\[0\]){8}: nested deeper than 16"),
            ({"a": [0] * 131000}, r"^payload: holds more than \d+ values"),
        ]
        for payload, rule in bad:
            with self.subTest(rule=rule):
                self.refuses(rule, "c", payload)

    def test_a_request_above_2_mib(self) -> None:
        with self.assertRaisesRegex(TooLargeError, "larger than 2097152 bytes") as caught:
            pack_request("publish", 1, request("c", {"t": "x" * 2**21}))
        self.assertEqual(caught.exception.outcome, "not sent")


class History(Case):
    def test_good(self) -> None:
        self.assertEqual(history_request("c", 300, None, None, None, None), {"channel": "c", "limit": 300})
        self.assertEqual(history_request("c", 0, ("e", 2**40), "preview", None, None),
                         {"channel": "c", "limit": 0, "since": {"epoch": "e", "offset": 2**40}, "view": "preview"})

    def test_bad(self) -> None:
        bad: list[tuple[Any, Any, str]] = [
            (-1, None, "^limit: must be an integer"), (1.5, None, "^limit: "), (True, None, "^limit: "),
            (2**32, None, "^limit: "), (1, 5, "^since: must be a tuple of epoch and offset"),
            (1, (5, 5), "^since: epoch: must be a str"), (1, ("e", -1), "^since: offset: must be an integer"),
        ]
        for limit, since, rule in bad:
            with self.subTest(limit=limit, since=since), self.assertRaisesRegex(BadInputError, rule):
                history_request("c", limit, since, None, None, None)


if __name__ == "__main__":
    unittest.main()
