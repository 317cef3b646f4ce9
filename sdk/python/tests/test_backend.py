"""What needs no broker: settings, errors, results, and that the types are right."""

import asyncio
import builtins
import pathlib
import subprocess
import sys
import unittest
from typing import Any

from millrace import (
    AsyncBackend, Backend, BadInputError, ClosedError, ConflictError, DisconnectedError, ForbiddenError,
    MillraceError, NotFoundError, OverloadedError, TimeoutError, TooLargeError,
)
from millrace._results import history
from millrace._rules import unpack
from millrace.errors import refused

ENDPOINT = "inproc://nobody"


class Settings(unittest.TestCase):
    def test_bad(self) -> None:
        bad: list[tuple[dict[str, Any], str]] = [
            ({"endpoint": "here"}, "^endpoint: ZeroMQ cannot connect to 'here'"),
            ({"endpoint": 5}, "^endpoint: must be a str"),
            ({"timeout": 0}, "^timeout: must be a number of seconds from 0.001 to 60"),
            ({"timeout": 61}, "^timeout: "), ({"timeout": "1"}, "^timeout: "),
            ({"max_pending": 0}, "^max_pending: must be an integer"),
            ({"max_queued_bytes": 1}, "^max_queued_bytes: must be an integer"),
        ]
        for settings, rule in bad:
            with self.subTest(settings=settings), self.assertRaisesRegex(BadInputError, rule):
                Backend(**settings)


class Errors(unittest.TestCase):
    def test_each_status_has_its_class(self) -> None:
        kinds = {400: BadInputError, 403: ForbiddenError, 404: NotFoundError, 409: ConflictError, 413: TooLargeError,
                 429: OverloadedError, 500: MillraceError, 503: OverloadedError, 418: MillraceError}
        for status, kind in kinds.items():
            error = refused({"status": status, "code": "word", "message": "text"})
            self.assertIs(type(error), kind)
            self.assertEqual((error.status, error.code, str(error), error.outcome), (status, "word", "text", "refused"))

    def test_they_are_what_python_calls_them_too(self) -> None:
        self.assertTrue(issubclass(TimeoutError, builtins.TimeoutError))
        self.assertTrue(issubclass(DisconnectedError, ConnectionError))


class Results(unittest.TestCase):
    def test_history(self) -> None:
        reply = {"epoch": "e", "offset": 2, "publications": [
            {"offset": 1, "payload": {"n": 1}}, {"offset": 2, "payload": {"n": 2}, "publisher": {"id": "p"}}]}
        self.assertEqual([(at.offset, at.payload, at.publisher) for at in history(reply).publications],
                         [(1, {"n": 1}, None), (2, {"n": 2}, "p")])

    def test_what_is_no_reply(self) -> None:
        for data in (b"", b"\xc1", b"\x81\xa2id", b"\xd9\x01\xff"):
            self.assertIsNone(unpack(data))


class Closed(unittest.TestCase):
    def test_blocking(self) -> None:
        with Backend(ENDPOINT) as backend:
            for wrong in (5, "x", {"channel": "c"}):
                with self.assertRaisesRegex(BadInputError, "^items: must be a list"):
                    backend.publish_many(wrong)  # type: ignore[arg-type]
            bad: list[Any] = [5, {"channel": "c"}, {"channel": "c", "payload": {}, "id": 1}]
            self.assertEqual([str(error) for error in backend.publish_many(bad)], [
                "items[0]: must be a dict, not int", "items[1].payload: must be a dict, not None",
                "items[2]: there is no 'id', only channel, payload, publisher, key, view, site, app"])
            with self.assertRaisesRegex(BadInputError, "^timeout: "):
                backend.publish("c", {}, timeout=1e9)
        backend.close()
        with self.assertRaises(ClosedError) as caught:
            backend.publish("c", {})
        self.assertEqual((caught.exception.outcome, caught.exception.code), ("not sent", "closed"))

    def test_asyncio(self) -> None:
        async def main() -> None:
            async with AsyncBackend(ENDPOINT) as backend:
                with self.assertRaisesRegex(BadInputError, "^channel: only letters"):
                    await backend.publish("a b", {})
            with self.assertRaises(ClosedError):
                await backend.publish("c", {})

        asyncio.run(main())


class Types(unittest.TestCase):
    def test_mypy(self) -> None:
        folder = pathlib.Path(__file__).parent.parent
        done = subprocess.run([sys.executable, "-m", "mypy", "--cache-dir=/dev/null"], cwd=folder,
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
