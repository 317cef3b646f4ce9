"""What on_handler_error is told, in a thread of its own: it may wait, and handlers and the link must not."""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import Callable, Deque, Optional

from ._decisions import message_of
from ._permissions import Place, Question
from .errors import HandlerError, MillraceError

#: So many that were not told yet; more are counted only.
WAITING = 1000
#: The thread ends when it has nothing to tell for so long.
IDLE = 1.0

OnHandlerError = Callable[[HandlerError], object]


def log(error: HandlerError) -> None:
    """With the traceback of what the program raised, which the broker does not see; our own errors say it all."""
    cause = error.__cause__
    has_more = cause is not None and not isinstance(cause, MillraceError)
    logging.getLogger("millrace").error("%s", error, exc_info=cause if has_more else None)


def of_check(error: BaseException, question: Optional[Question]) -> HandlerError:
    what = "of the broker" if question is None else f"of {question}"
    return _caused(f"permission check {what}: {message_of(error)}", error)


def of_places(error: BaseException, places: list[Place]) -> HandlerError:
    names = ", ".join(map(str, places[:3])) + (f" and {len(places) - 3} more" if len(places) > 3 else "")
    return _caused(f"registration of permission handlers ({names}): {message_of(error)}", error)


def _caused(message: str, error: BaseException) -> HandlerError:
    told = HandlerError(message)
    told.__cause__ = error
    return told


class Reports:
    def __init__(self, tell: Optional[OnHandlerError]) -> None:
        self._tell = log if tell is None else tell
        self._waiting: Deque[HandlerError] = deque()
        self._changed = threading.Condition()
        self._thread: Optional[threading.Thread] = None
        self._lost = 0
        self._ending = False

    def add(self, error: HandlerError) -> None:
        with self._changed:
            if len(self._waiting) < WAITING:
                self._waiting.append(error)
            else:
                self._lost += 1
            self._changed.notify()
            if self._thread is None:
                self._start()

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._serve, name="millrace-reports", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # the interpreter ends
            self._thread = None

    def flush(self, seconds: float) -> None:
        """Until all is told, at most so long."""
        with self._changed:
            self._ending = True
            self._changed.notify()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(seconds)

    def _serve(self) -> None:
        while (error := self._next()) is not None:
            try:
                self._tell(error)
            except Exception:  # noqa: BLE001 - of the program; there is nobody else to tell
                logging.getLogger("millrace").exception("on_handler_error failed")

    def _next(self) -> Optional[HandlerError]:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ending, IDLE)
            if self._waiting:
                return self._waiting.popleft()
            lost, self._lost = self._lost, 0
            if lost > 0:
                return HandlerError(f"{lost} more errors of permission handlers were not told one by one")
            self._thread = None
            return None
