"""What on_handler_error and on_state_change are told, in a thread of its own: it may wait, and handlers and the link must not."""

from __future__ import annotations

import logging
import threading
from collections import deque
from functools import partial
from typing import Callable, Deque, Optional

from ._decisions import message_of
from ._link import State
from ._permissions import Place, Question
from .errors import HandlerError, MillraceError

#: So many that were not told yet; more are counted only.
WAITING = 1000
#: The thread ends when it has nothing to tell for so long.
IDLE = 1.0

OnHandlerError = Callable[[HandlerError], object]
OnStateChange = Callable[[State, State], object]


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


def log_state(state: State, before: State) -> None:
    """That the broker hangs, and the end of that."""
    if state == "hung":
        logging.getLogger("millrace").warning("the broker hangs: it has said nothing for 4 seconds")
    elif before == "hung" and state != "closed":
        logging.getLogger("millrace").warning("the broker hung; now the connection is %s", state)


class Reports:
    def __init__(self, tell: Optional[OnHandlerError], tell_state: Optional[OnStateChange] = None) -> None:
        self._tell = log if tell is None else tell
        self._tell_state = log_state if tell_state is None else tell_state
        self._waiting: Deque[partial[object]] = deque()
        self._changed = threading.Condition()
        self._thread: Optional[threading.Thread] = None
        self._lost = 0
        self._ending = False

    def add(self, error: HandlerError) -> None:
        self._add(partial(self._tell, error))

    def state_changed(self, state: State, before: State) -> None:
        if self._tell_state is not log_state or "hung" in (state, before):
            self._add(partial(self._tell_state, state, before))

    def _add(self, telling: partial[object]) -> None:
        with self._changed:
            if len(self._waiting) < WAITING:
                self._waiting.append(telling)
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
        while (telling := self._next()) is not None:
            try:
                telling()
            except Exception:  # noqa: BLE001 - of the program; there is nobody else to tell
                name = "on_handler_error" if telling.func is self._tell else "on_state_change"
                logging.getLogger("millrace").exception("%s failed", name)

    def _next(self) -> Optional[partial[object]]:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ending, IDLE)
            if self._waiting:
                return self._waiting.popleft()
            lost, self._lost = self._lost, 0
            if lost > 0:
                error = HandlerError(f"{lost} more errors of permission handlers were not told one by one")
                return partial(self._tell, error)
            self._thread = None
            return None
