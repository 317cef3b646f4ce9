"""The broker's checks while handlers decide them: batches, each answered as a whole when all its checks are
decided."""

from __future__ import annotations

import threading
from typing import Callable, Optional

from . import errors
from ._decisions import Answer, Registered, answer_of, decision_of, error_answer
from ._permissions import Question

#: Of a check that failed: what was asked, if that could be read.
Failed = Callable[[BaseException, Optional[Question]], object]


class Batch:
    """Of `count` checks; `answered` is called once, by whoever decides the last."""

    def __init__(self, number: int, connection: int, count: int, deadline: float,
                 answered: Callable[[Batch], object], failed: Failed) -> None:
        self.number = number
        self.connection = connection
        self.deadline = deadline
        self.answers: list[Optional[Answer]] = [None] * count
        self.questions: list[Optional[Question]] = [None] * count
        self._open = count
        self._answered = answered
        self._failed = failed
        self._lock = threading.Lock()
        if count == 0:
            answered(self)

    def settle(self, place: int, answer: Answer) -> bool:
        """False: it was decided before."""
        with self._lock:
            if self.answers[place] is not None:
                return False
            self.answers[place] = answer
            self._open -= 1
            is_last = self._open == 0
        if is_last:
            self._answered(self)
        return True

    def fail(self, place: int, error: BaseException, question: Optional[Question]) -> None:
        if self.settle(place, error_answer(error)):
            self._failed(error, question)


class Call:
    """One check that a handler of ours is to decide."""

    __slots__ = ("batch", "place", "handler", "question")

    def __init__(self, batch: Batch, place: int, handler: Registered, question: Question) -> None:
        self.batch = batch
        self.place = place
        self.handler = handler
        self.question = question

    @property
    def is_decided(self) -> bool:
        return self.batch.answers[self.place] is not None

    def accept(self, value: object) -> None:
        try:
            answer = answer_of(decision_of(value))
        except BaseException as error:  # noqa: BLE001 - a mapping of the program may do anything
            self.fail(error)
        else:
            self.batch.settle(self.place, answer)

    def fail(self, error: BaseException) -> None:
        self.batch.fail(self.place, error, self.question)

    def run(self) -> None:
        """In this thread."""
        if self.is_decided:
            return  # too late
        try:
            value = self.handler.ask(self.question)
        except BaseException as error:  # noqa: BLE001 - not even SystemExit may leave a check undecided
            self.fail(error)
        else:
            self.accept(value)


def late_error(seconds: float) -> errors.TimeoutError:
    return errors.TimeoutError(f"the permission handler took longer than {seconds:g} s", outcome="unknown")
