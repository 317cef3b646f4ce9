"""Which handlers this connection has, and what the broker knows of them.

A program says what it wants; we bring the broker there, a request at a time, on every connection anew. A
handler is one of

  wanted      and not known     handle
  not wanted  and known         unhandle
              and maybe stored  handle: whoever takes the last worker off ends a registration
              and neither       forgotten

What fails is tried again, later and later, except a first registration that the broker refuses: that handler
is given up. The future of set() or remove() is about its own time only.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import CancelledError, Future
from functools import partial
from typing import Any, Callable, Iterable, Optional, Protocol

from . import errors
from ._decisions import Registered
from ._permissions import Place
from ._results import Reply, accepted, unreadable
from .errors import ClosedError, DisconnectedError, MillraceError

#: In a request.
HANDLERS = 1024
RETRY, RETRY_MAX = 0.5, 30.0

Key = tuple[str, str, str]


class Broker(Protocol):
    @property
    def endpoint(self) -> str: ...

    def ask(self, op: str, request: dict[str, Any]) -> Future[Reply]: ...

    def report(self, error: MillraceError, places: list[Place]) -> None: ...

    def changed(self) -> None:
        """There are handlers now, or none any more."""


class Waiter:
    __slots__ = ("future", "timeout", "deadline", "registration", "is_removal")

    def __init__(self, registration: Registration, is_removal: bool, timeout: float) -> None:
        self.future: Future[None] = Future()
        self.timeout = timeout
        self.deadline = time.monotonic() + timeout
        self.registration = registration
        self.is_removal = is_removal


class Registration:
    __slots__ = ("place", "handler", "is_wanted", "is_known", "is_maybe", "is_asked", "retry_at", "failures", "waiters")

    def __init__(self, place: Place, handler: Registered) -> None:
        self.place = place
        self.handler = handler
        self.is_wanted = True
        self.is_known = False  # the broker has told this connection so
        self.is_maybe = False  # the broker may have it, from this connection or one before
        self.is_asked = False
        self.retry_at = 0.0
        self.failures = 0
        self.waiters: list[Waiter] = []

    def step(self) -> Optional[str]:
        """What to ask of the broker, if anything."""
        if self.is_known:
            return None if self.is_wanted else "unhandle"
        return "handle" if self.is_wanted or self.is_maybe else None


def _is_final(error: MillraceError) -> bool:
    """The broker has decided, and will not decide otherwise a moment later."""
    return error.outcome == "refused" and error.status < 500 and error.status != 429


class _Asking:
    """One request, until it is decided."""

    def __init__(self, op: str, first: Registration) -> None:
        self.op = op
        self.place = first.place
        self.was_maybe = first.is_maybe
        self.registrations: list[Registration] = []
        self.future: Optional[Future[Reply]] = None

    def takes(self, at: Registration) -> bool:
        """Those that are new are not refused because of others that are not, nor the other way round."""
        return (len(self.registrations) < HANDLERS and at.step() == self.op and at.is_maybe == self.was_maybe
                and (at.place.site, at.place.app) == (self.place.site, self.place.app))

    def request(self) -> dict[str, Any]:
        request: dict[str, Any] = {"handlers": [at.place.level for at in self.registrations]}
        if self.place.site is not None:
            request["site"] = self.place.site
        if self.place.app:
            request["app"] = self.place.app
        return request


class Registrations:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._lock = threading.Lock()
        self._none_left = threading.Condition(self._lock)
        self._all: dict[Key, Registration] = {}
        self._due: dict[Key, Registration] = {}  # to be looked at, in this order
        self._waiters: list[Waiter] = []
        self._expiry = float("inf")  # not after the first deadline of the waiters
        self._retry_at = float("inf")
        self._asking: Optional[_Asking] = None
        self._ending = False
        self._effects: list[Callable[[], object]] = []  # to be done without the lock

    def __len__(self) -> int:
        return len(self._all)

    def find(self, app: str, channel: str, resource: str) -> Optional[Registered]:
        """The most specific handler."""
        for key in ((app, channel, resource), (app, channel, ""), (app, "", "")):
            registration = self._all.get(key)
            if registration is not None:
                return registration.handler
        return None

    # --- what the program wants ---

    def set(self, place: Place, handler: Registered, timeout: float) -> Future[None]:
        with self._lock:
            if self._ending:
                raise ClosedError("the connection is closed", outcome="not sent")
            at = self._all.get(place.key)
            if at is None:
                at = self._all[place.key] = Registration(place, handler)
            at.place, at.handler, at.is_wanted = place, handler, True
            self._decide(at, True, None)  # that it is off: overtaken
            future = self._wait(at, False, timeout)
            if at.is_known:
                self._look(at)
            self._effects.append(self._broker.changed)
        self._advance()
        return future

    def remove(self, place: Place, timeout: float) -> Future[None]:
        with self._lock:
            at = self._all.get(place.key)
            if at is None:
                done: Future[None] = Future()
                done.set_result(None)
                return done
            at.is_wanted = False
            self._decide(at, False, MillraceError("the handler was removed before it was registered", status=409,
                                                  code="removed", outcome="unknown"))
            future = self._wait(at, True, timeout)
        self._advance()
        return future

    def end(self, timeout: float) -> list[Place]:
        """Takes all off the broker; returns those of which that is not known after this time."""
        deadline = time.monotonic() + timeout
        with self._lock:
            self._ending = True
            for at in self._all.values():
                at.is_wanted = False
                self._decide(at, False, ClosedError("the connection was closed before the handler was registered",
                                                    outcome="unknown"))
                self._due[at.place.key] = at
            under_way = self._asking.future if self._asking is not None else None
        if under_way is not None:
            under_way.cancel()  # as long as it was not sent
        self._advance()
        with self._none_left:
            while self._all and (left := deadline - time.monotonic()) > 0:
                self._none_left.wait(left)
            places = [at.place for at in self._all.values()]
        self.drop(ClosedError("the connection was closed before the broker had answered", outcome="unknown"))
        return places

    def drop(self, error: MillraceError) -> None:
        """There is no connection any more, nor will there be one."""
        with self._lock:
            self._ending = True
            for at in list(self._all.values()):
                self._forget(at, error)
        self._advance()

    def _wait(self, at: Registration, is_removal: bool, timeout: float) -> Future[None]:
        waiter = Waiter(at, is_removal, timeout)
        at.waiters.append(waiter)
        at.retry_at = 0.0  # somebody waits: at once
        self._waiters.append(waiter)
        self._expiry = min(self._expiry, waiter.deadline)
        self._due[at.place.key] = at
        return waiter.future

    # --- under the lock ---

    def _decide(self, at: Registration, is_removal: bool, error: Optional[MillraceError]) -> None:
        """Those who wait for this are told."""
        decided = [waiter for waiter in at.waiters if waiter.is_removal is is_removal]
        at.waiters = [waiter for waiter in at.waiters if waiter.is_removal is not is_removal]
        for waiter in decided:
            self._effects.append(partial(_settle, waiter.future, error))

    def _forget(self, at: Registration, error: Optional[MillraceError] = None) -> None:
        self._decide(at, False, error)
        self._decide(at, True, error)
        self._due.pop(at.place.key, None)
        if self._all.get(at.place.key) is at:
            del self._all[at.place.key]
        if not self._all:
            self._none_left.notify_all()
        self._effects.append(self._broker.changed)

    def _look(self, at: Registration) -> bool:
        """Is there anything to ask about it? If not, it is where the program wants it, or waits for its time."""
        if at.is_asked:
            return False  # it is looked at when that is decided
        if at.step() is None:
            if at.is_wanted:
                self._decide(at, False, None)
            else:
                self._forget(at)
            return False
        if at.retry_at > time.monotonic():
            self._retry_at = min(self._retry_at, at.retry_at)
            return False
        return True

    def _next(self) -> Optional[_Asking]:
        if self._asking is not None:
            return None
        asking: Optional[_Asking] = None
        for key, at in list(self._due.items()):
            if not self._look(at):
                self._due.pop(key, None)
                continue
            if asking is None:
                asking = _Asking(at.step() or "", at)
            if asking.takes(at):
                asking.registrations.append(at)
                at.is_asked = at.is_maybe = True
                del self._due[key]
        self._asking = asking
        return asking

    # --- the broker ---

    def _advance(self) -> None:
        with self._lock:
            asking = self._next()
            effects, self._effects = self._effects, []
        for effect in effects:
            effect()
        if asking is not None:
            asking.future = self._broker.ask(asking.op, asking.request())
            asking.future.add_done_callback(partial(self._decided, asking))

    def _decided(self, asking: _Asking, future: Future[Reply]) -> None:
        error: Optional[MillraceError] = None
        try:
            accepted(future.result())
        except CancelledError:
            pass
        except MillraceError as raised:
            error = raised
        except Exception as raised:  # noqa: BLE001 - a reply that makes no sense
            error = unreadable(raised)
        with self._lock:
            self._asking = None
            for at in asking.registrations:
                at.is_asked = False
                if self._all.get(at.place.key) is not at:
                    continue
                self._due[at.place.key] = at
                if future.cancelled():
                    at.is_maybe = asking.was_maybe
                elif error is None:
                    at.is_known = at.is_maybe = asking.op == "handle"
                    at.failures = 0
                else:
                    self._failed(asking, at, error)
            if error is not None and _is_news(error):
                self._effects.append(partial(self._broker.report, error, [at.place for at in asking.registrations]))
        self._advance()

    def _failed(self, asking: _Asking, at: Registration, error: MillraceError) -> None:
        if error.outcome != "unknown":
            at.is_maybe = asking.was_maybe
        if isinstance(error, ClosedError):
            self._forget(at, error)
            return
        if error.outcome == "refused":
            self._decide(at, asking.op == "unhandle", error)
            if _is_final(error) and (self._ending or not at.is_maybe):
                self._forget(at, error)
                return
        at.retry_at = time.monotonic() + min(RETRY * 2**min(at.failures, 16), RETRY_MAX)
        at.failures += 1

    # --- for the thread of the link ---

    def renew(self) -> None:
        """Nothing that the broker was told before counts any more."""
        with self._lock:
            for at in self._all.values():
                at.is_known = False
                at.retry_at, at.failures = 0.0, 0
                self._due[at.place.key] = at
        self._advance()

    def tick(self, now: float) -> None:
        if now < self._expiry and now < self._retry_at:
            return
        with self._lock:
            if now >= self._retry_at:
                self._retry_at = float("inf")
                self._due.update(self._all)
            if now >= self._expiry:
                self._expire(now)
        self._advance()

    def _expire(self, now: float) -> None:
        waiting = [waiter for waiter in self._waiters if not waiter.future.done()]
        late = [waiter for waiter in waiting if waiter.deadline <= now]
        self._waiters = [waiter for waiter in waiting if waiter.deadline > now]
        self._expiry = min((waiter.deadline for waiter in self._waiters), default=float("inf"))
        late = [waiter for waiter in late if waiter in waiter.registration.waiters]  # not decided in this moment
        for waiter in late:
            at = waiter.registration
            at.waiters.remove(waiter)
            self._effects.append(partial(_settle, waiter.future, self._late_error(at, waiter)))
        self._report_late(waiter.registration for waiter in late)

    def _late_error(self, at: Registration, waiter: Waiter) -> MillraceError:
        what = "taken this handler off" if waiter.is_removal else "confirmed this handler"
        return errors.TimeoutError(
            f"the broker at {self._broker.endpoint} has not {what} within {waiter.timeout:g} s; the connection goes on "
            "trying", outcome="unknown" if at.is_maybe else "not sent")

    def _report_late(self, late: Iterable[Registration]) -> None:
        """Thousands may be late together: told at once."""
        places = [at.place for at in late]
        if places:
            error = errors.TimeoutError(f"the broker at {self._broker.endpoint} has not confirmed it in time; the "
                                        "connection goes on trying", outcome="unknown")
            self._effects.append(partial(self._broker.report, error, places))


def _is_news(error: MillraceError) -> bool:
    """The connection says itself when there is another one; close() says itself what it has left behind."""
    return error.outcome != "not sent" and not isinstance(error, (DisconnectedError, ClosedError))


def _settle(future: Future[None], error: Optional[MillraceError]) -> None:
    if future.done() or not future.set_running_or_notify_cancel():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
