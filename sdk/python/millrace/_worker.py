"""The side of a connection that is asked: takes the broker's checks, lets handlers decide, answers.

While a handler is registered this listens on the link. An answer belongs to the connection on which the check
came: when that broke, the broker has asked somebody else.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from itertools import takewhile
from typing import Any, Optional

from ._checks import Batch, Call, late_error
from ._decisions import Registered
from ._link import Link
from ._permissions import Place, Question, checks_of, question_of
from ._registrations import Registrations
from ._reports import Reports, of_check, of_places
from ._results import Reply
from ._rules import pack, pack_request
from ._runners import Runner
from .errors import ClosedError, MillraceError

#: The broker sends an empty check every second. After so long a silence it does not
#: know this connection as the one that registered: ZeroMQ may have made another one unnoticed.
SILENCE = 5.0
#: For close(now=True): enough for the broker to be told, where it is there.
HASTE = 0.25


class Worker:
    def __init__(self, link: Link, runner: Runner, timeout: float, handler_timeout: float,
                 reports: Reports) -> None:
        self._link = link
        self._runner = runner
        self._timeout = timeout
        self._handler_timeout = handler_timeout
        self._reports = reports
        self._registrations = Registrations(self)
        self._lock = threading.Lock()
        self._none_open = threading.Condition(self._lock)
        self._batches: dict[Batch, None] = {}  # that are not decided; their deadlines are in this order
        self._listens = False
        self._has_answered = False
        self._asked_at = 0.0

    # --- for the program ---

    def register(self, place: Place, handler: Registered, timeout: Optional[float]) -> Future[None]:
        self._link.must_be_ours()
        self._runner.start()
        return self._registrations.set(place, handler, self._timeout if timeout is None else timeout)

    def unregister(self, place: Place, timeout: Optional[float]) -> Future[None]:
        self._link.must_be_ours()
        return self._registrations.remove(place, self._timeout if timeout is None else timeout)

    def find(self, question: Question) -> Optional[Registered]:
        self._link.must_be_ours()
        return self._find(question)

    def _find(self, question: Question) -> Optional[Registered]:
        return self._registrations.find(question.context.app, question.channel["name"], question.resource)

    @property
    def handler_timeout(self) -> float:
        return self._handler_timeout

    def close(self, now: bool) -> None:
        """Off the broker, then all that it has asked is answered. now: only the first, in haste. The link's own
        thread waits for nothing: what it asks here it sends before it ends."""
        own = self._link.is_own_thread
        left = self._registrations.end(0.0 if own else HASTE if now else self._timeout)
        if left and not own:
            self.report(MillraceError(
                f"the broker at {self.endpoint} has not confirmed that they are off; it may go on refusing what they "
                "would decide", status=503, code="unavailable", outcome="unknown"), left)
        if not now and not own:
            self._finish()
        self._link.listen(None)
        self._runner.stop()
        self._reports.flush(0.0 if own else HASTE)

    def _finish(self) -> None:
        with self._none_open:
            self._none_open.wait_for(lambda: not self._batches, self._handler_timeout + 1)
        if self._has_answered and self._link.is_greeted:
            try:  # there is no reply to an answer; one to what is sent behind it says that it has arrived
                self.ask("ping", {}).result()
            except MillraceError:
                pass

    # --- for the registrations ---

    @property
    def endpoint(self) -> str:
        return self._link.endpoint

    def ask(self, op: str, request: dict[str, Any]) -> Future[Reply]:
        number = self._link.next_id()
        return self._link.request(number, pack_request(op, number, request), self._timeout, False, urgent=True)

    def report(self, error: MillraceError, places: list[Place]) -> None:
        self._reports.add(of_places(error, places))

    def changed(self) -> None:
        with self._lock:
            self._listen_or_not()

    def _listen_or_not(self) -> None:
        wanted = len(self._registrations) > 0 or bool(self._batches)
        if wanted == self._listens:
            return
        self._listens = wanted
        self._asked_at = time.monotonic()
        self._link.listen(self if wanted else None)

    # --- for the link ---

    def greeted(self) -> None:
        self._asked_at = time.monotonic()
        self._registrations.renew()

    def tick(self) -> None:
        now = time.monotonic()
        self._registrations.tick(now)
        self._expire(now)
        if self._link.is_greeted and now - self._asked_at > SILENCE:
            self.greeted()

    def ended(self) -> None:
        self._registrations.drop(ClosedError("the connection is closed", outcome="unknown"))

    def received(self, frame: Reply) -> None:
        if frame.get("op") != "check":
            return
        self._asked_at = time.monotonic()
        try:
            number, checks = checks_of(frame)
        except MillraceError as error:
            self._reports.add(of_check(error, None))
            return
        self._begin(number, checks)

    # --- checks ---

    def _begin(self, number: int, checks: list[object]) -> None:
        batch = Batch(number, self._link.connection, len(checks), time.monotonic() + self._handler_timeout,
                      self._answered, lambda error, question: self._reports.add(of_check(error, question)))
        if not checks:
            return
        with self._lock:
            self._batches[batch] = None
        calls = [call for place, check in enumerate(checks) if (call := self._read(batch, place, check)) is not None]
        if calls:
            self._runner.run(calls)

    def _read(self, batch: Batch, place: int, check: object) -> Optional[Call]:
        """One that cannot be read, or that nobody here is to decide, fails alone."""
        question: Optional[Question] = None
        try:
            question = question_of(check)
            handler = self._find(question)
            if handler is None:
                raise MillraceError("no permission handler is registered here for this channel", status=503,
                                    code="no_handler")
        except MillraceError as error:
            batch.fail(place, error, question)
            return None
        batch.questions[place] = question
        return Call(batch, place, handler, question)

    def _answered(self, batch: Batch) -> None:
        self._link.note(batch.connection, pack({"op": "answer", "id": batch.number, "answers": batch.answers}))
        with self._none_open:
            self._has_answered = True
            self._batches.pop(batch, None)
            if not self._batches:
                self._none_open.notify_all()
                self._listen_or_not()

    def _expire(self, now: float) -> None:
        with self._lock:
            late = list(takewhile(lambda batch: batch.deadline <= now, self._batches))
        for batch in late:
            error = late_error(self._handler_timeout)
            for place, answer in enumerate(batch.answers):
                if answer is None:
                    batch.fail(place, error, batch.questions[place])
