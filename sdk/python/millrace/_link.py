"""Requests on their way over one ZeroMQ DEALER socket: many at a time, each with a deadline.

ZeroMQ connects, and connects again, by itself. What it does with messages in between is bounded by
the socket's options: without a connection it takes none (IMMEDIATE), and what it held for a
connection that broke is gone with it. So a request is in one of these places:

  queue   not handed to ZeroMQ: whatever happens, the broker will not see it
  sent    handed over on the connection that we have: it may have arrived
  held    it has an idempotency key, and the connection on which it was sent broke. It is sent again
          when the broker at the other end is the one that knows the key. Or the broker has refused it
          because it is stopping: then it is sent to the next one, with a key or without

That a connection broke is seen when there is nothing to receive and the socket takes nothing any
more: then all replies of that connection were read, and those that are not there will not come.
ZeroMQ waits RECONNECT_MS before it connects again, and we look each SLICE_MS.

ZeroMQ gives up for ever when what it read made no sense, as a network may garble it, and does not say
so: what has not been connected for REDIAL seconds is connected anew.

One thread owns the socket and all of this. Callers put requests into its inbox and wake it.

A listener is for what the broker says unasked. While there is one, we are connected or try to be, and look
each slice whether the connection is still there, also when nothing is under way. What it says without
being answered (a note) belongs to one connection: when that broke, it is dropped.

A broker that hangs keeps its connections. While something is waited for, we ask whether it is there (_heart.py);
when it hangs nothing more is sent, so that what waits may still say that it was not. A connection of which nothing
is waited for is not looked at.
"""

from __future__ import annotations

import atexit
import os
import socket
import threading
import time
import weakref
from collections import deque
from concurrent.futures import Future
from functools import partial
from typing import Any, Callable, Deque, Iterator, Literal, Optional, Protocol

import zmq

from . import errors
from ._heart import Heart
from ._results import Reply
from ._rules import now_ms, pack, unpack
from .errors import BadInputError, ClosedError, DisconnectedError, MillraceError, OverloadedError, Outcome

SLICE_MS = 50
RECONNECT_MS = 250
REDIAL = 3.0
HEARTBEAT_MS = 2000
HEARTBEAT_TIMEOUT_MS = 6000
#: A reply that has not come by then is not waited for any longer, not even to be thrown away.
FORGOTTEN = 60.0
IDLE = 1.0
ID_MAX = 2**32 - 1
#: So many sends before replies are looked at again.
BURST = 256

QUEUED, SENT, HELD, DONE = range(4)

#: hung: the connection is there, and the broker has said nothing for 4 seconds while something was waited for.
State = Literal["connecting", "connected", "hung", "closed"]


def _is_stopping(reply: Reply) -> bool:
    error = reply.get("error")
    return reply.get("ok") is False and isinstance(error, dict) and error.get("code") == "stopping"


class Listener(Protocol):
    """Its methods are called by the link's thread and must not wait for anything."""

    def greeted(self) -> None:
        """The connection is a new one."""

    def received(self, frame: Reply) -> None:
        """Something that is no reply."""

    def tick(self) -> None:
        """Each slice, and more often."""

    def ended(self) -> None:
        """There will be no connection any more."""


class Request:
    __slots__ = ("number", "data", "size", "timeout", "deadline", "safe", "state", "instance",
                 "started", "future", "is_urgent", "is_beat")

    def __init__(self, number: int, data: bytes, timeout: float, safe: bool, greeting: bool = False) -> None:
        self.number = number
        self.data = data
        self.size = len(data)
        self.timeout = timeout
        self.deadline = time.monotonic() + timeout
        self.safe = safe
        self.state = QUEUED
        self.instance: Optional[str] = None
        self.is_urgent = False  # goes before the others
        self.is_beat = False  # a ping for the heart
        self.started = False  # the future cannot be cancelled any more
        self.future: Optional[Future[Reply]] = None if greeting else Future()

    @property
    def is_cancelled(self) -> bool:
        return not self.started and self.future is not None and self.future.cancelled()


class Link:
    def __init__(self, endpoint: str, max_pending: int, max_queued_bytes: int,
                 changed: Callable[[State, State], object] = lambda state, before: None) -> None:
        self._endpoint = endpoint
        self._max_pending = max_pending
        self._max_bytes = max_queued_bytes
        self._pid = os.getpid()

        # Shared with callers, under the lock.
        self._lock = threading.Lock()
        self._last_id = 0
        self._inbox: Deque[Request] = deque()
        self._bytes = 0
        self._live = 0  # requests that are not decided, those in the inbox too
        self._asleep = False
        self._closing = False
        self._abandoning = False
        self._listener: Optional[Listener] = None
        self._notes: Deque[tuple[int, bytes]] = deque()  # with their connection

        # The thread's own.
        self._queue: Deque[Request] = deque()
        self._sent: dict[int, Request] = {}
        self._held: list[Request] = []
        self._instance: Optional[str] = None  # of the broker, once this connection's greeting was answered
        self._must_greet = True
        self._connection = 0  # counts them
        self._dialed = time.monotonic()  # or when it was last seen to be connected
        self._blocked = False  # ZeroMQ took nothing the last time
        self._heard = 0.0
        self._is_heard = False  # on this connection
        self._heart = Heart()
        self._beat: Optional[Request] = None  # the last ping
        self._must_beat = False
        self._state: State = "connecting"
        self._changed = changed
        self._next_deadline = float("inf")

        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._open()
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._readable = self._poller(zmq.POLLIN)
        self._any = self._poller(zmq.POLLIN | zmq.POLLOUT)
        self._thread = threading.Thread(target=self._main, name="millrace", daemon=True)
        self._thread.start()
        _close_at_exit(self)

    def _open(self) -> zmq.Socket[bytes]:
        dealer: zmq.Socket[bytes] = self._context.socket(zmq.DEALER)
        for option, value in (
            (zmq.IMMEDIATE, 1),
            (zmq.LINGER, 0),
            (zmq.SNDHWM, 0),  # max_pending and max_queued_bytes are the bounds
            (zmq.RCVHWM, 0),
            (zmq.RECONNECT_IVL, RECONNECT_MS),
            (zmq.HEARTBEAT_IVL, HEARTBEAT_MS),
            (zmq.HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS),
            (zmq.IPV6, int("[" in self._endpoint)),
        ):
            dealer.setsockopt(option, value)
        try:
            dealer.connect(self._endpoint)
        except zmq.ZMQError as error:
            dealer.close()
            self._context.term()
            raise BadInputError(f"endpoint: ZeroMQ cannot connect to {self._endpoint!r}: {error}") from None
        return dealer

    def _poller(self, events: int) -> zmq.Poller:
        poller = zmq.Poller()
        poller.register(self._wake_in.fileno(), zmq.POLLIN)
        poller.register(self._socket, events)
        return poller

    # --- for callers ---

    def next_id(self) -> int:
        with self._lock:
            self._last_id = self._last_id % ID_MAX + 1
            return self._last_id

    def must_be_ours(self) -> None:
        if os.getpid() != self._pid:
            raise ClosedError("this connection was made before a fork: make one in the child process",
                              outcome="not sent")

    def request(self, number: int, data: bytes, timeout: float, safe: bool, urgent: bool = False) -> Future[Reply]:
        """The reply to a request with this id, or an error. safe: it may be sent again to the same broker.
        urgent: it goes before what waits."""
        self.must_be_ours()
        request = Request(number, data, timeout, safe)
        request.is_urgent = urgent
        assert request.future is not None
        with self._lock:
            refusal = self._refusal(request)
            if refusal is None:
                self._bytes += request.size
                self._live += 1
                self._inbox.append(request)
                self._wake()
        if refusal is not None:
            request.future.set_exception(refusal)
        return request.future

    def _refusal(self, request: Request) -> Optional[MillraceError]:
        if self._closing:
            return ClosedError("the connection is closed", outcome="not sent")
        if self._bytes + request.size <= self._max_bytes:
            return None
        return OverloadedError(f"more than {self._max_bytes} bytes are waiting for the broker at {self._endpoint}",
                               status=429, code="queue_full", outcome="not sent")

    @property
    def endpoint(self) -> str:
        return self._endpoint

    @property
    def state(self) -> State:
        return self._state

    @property
    def connection(self) -> int:
        """Which of those that there were so far."""
        return self._connection

    @property
    def is_greeted(self) -> bool:
        return not self._must_greet

    @property
    def is_own_thread(self) -> bool:
        return threading.current_thread() is self._thread

    def listen(self, listener: Optional[Listener]) -> None:
        with self._lock:
            self._listener = listener
            self._wake()

    def note(self, connection: int, data: bytes) -> None:
        """To be sent on this connection, or not at all."""
        with self._lock:
            self._notes.append((connection, data))
            self._wake()

    def close(self, now: bool) -> None:
        """Ends all: with what is under way, or after it."""
        if os.getpid() != self._pid:
            return
        with self._lock:
            self._closing = True
            self._abandoning = self._abandoning or now
            self._wake()
        if not self.is_own_thread:
            self._thread.join()

    def _wake(self) -> None:
        if not self._asleep:
            return
        self._asleep = False
        try:
            self._wake_out.send(b"\0")
        except OSError:  # full: it wakes anyway; closed: nobody is there
            pass

    # --- the thread ---

    def _main(self) -> None:
        try:
            while self._turn():
                pass
        except BaseException as error:  # noqa: BLE001 - nobody may wait for ever
            why = f"the thread of this connection failed: {error!r}"
            self._end_all(lambda outcome: MillraceError(why, outcome=outcome))
            raise
        finally:
            if self._listener is not None:
                self._listener.ended()
            self._see("closed")
            self._socket.close()
            self._context.term()
            self._wake_in.close()
            self._wake_out.close()

    def _turn(self) -> bool:
        self._take_inbox()
        self._send_all()
        if self._abandoning:
            self._end_all(lambda outcome: ClosedError(
                "the connection was closed before the answer came", outcome=outcome))
        if self._closing and self._live == 0:
            return False
        self._wait()
        self._receive_all()
        self._look()
        self._expire()
        if self._listener is not None:
            self._listener.tick()
        return True

    def _take_inbox(self) -> None:
        while self._inbox:
            request = self._inbox.popleft()
            if request.is_urgent:
                self._queue.appendleft(request)
            else:
                self._queue.append(request)
            self._next_deadline = min(self._next_deadline, request.deadline)

    def _wait(self) -> None:
        """Until there is something to receive, to send or to expire, or a slice is over."""
        can_send = self._peek() is not None
        with self._lock:
            sleeps = not self._inbox and not (self._closing and self._live == 0) and not self._abandoning
            self._asleep = sleeps
            idle = self._live == 0 and self._listener is None
            can_send = can_send or bool(self._notes)
        left_ms = (self._next_deadline - time.monotonic()) * 1000 + 1
        timeout = None if idle else int(max(0.0, min(float(SLICE_MS), left_ms)))
        if not sleeps or (can_send and not self._blocked):
            timeout = 0
        (self._any if can_send and self._blocked else self._readable).poll(timeout)
        with self._lock:
            self._asleep = False
        try:
            while self._wake_in.recv(4096):
                pass
        except OSError:
            pass

    # --- how it is ---

    def _see(self, closed: Optional[State] = None) -> None:
        """The change is told by a thread of its own."""
        opened: State = "hung" if self._heart.is_hung else "connected" if self._is_heard else "connecting"
        before, self._state = self._state, closed or opened
        if self._state != before:
            self._changed(self._state, before)

    def _look(self) -> None:
        """Nothing came; is it time to ask?"""
        with self._lock:
            waits = bool(self._sent or self._held) or self._listener is not None or (
                self._heart.is_hung and self._live > 0)
        if waits and not self._must_greet and self._heart.beat(time.monotonic(), self._heard):
            self._must_beat = True
            self._see()

    # --- ends of requests ---

    def _settle(self, request: Request) -> bool:
        if request.state == DONE:
            return False
        request.state = DONE
        request.data = b""
        with self._lock:
            self._bytes -= request.size
            self._live -= 1
        return True

    def _start(self, request: Request) -> bool:
        """From here on it cannot be cancelled. False: it was."""
        assert request.future is not None
        if request.started:
            return True
        request.started = True
        if request.future.set_running_or_notify_cancel():
            return True
        self._settle(request)
        return False

    def _fail(self, request: Request, error: MillraceError) -> None:
        future = request.future
        if future is not None and request.state != DONE and self._start(request) and self._settle(request):
            future.set_exception(error)

    def _fail_as_it_is(self, request: Request, error_of: Callable[[Outcome], MillraceError]) -> None:
        """What is queued to be sent again may have arrived the first time."""
        is_new = request.state != SENT and request.instance is None
        self._fail(request, error_of("not sent" if is_new else "unknown"))

    def _end_all(self, error_of: Callable[[Outcome], MillraceError]) -> None:
        with self._lock:
            self._closing = True
        self._take_inbox()
        for request in list(self._undecided()):
            self._fail_as_it_is(request, error_of)
        self._held = []

    def _undecided(self) -> Iterator[Request]:
        yield from self._queue
        yield from self._sent.values()
        yield from self._held

    def _timeout_error(self, request: Request, outcome: Outcome) -> MillraceError:
        broker, within = f"the broker at {self._endpoint}", f"within {request.timeout:g} s"
        if outcome == "unknown":
            why = f"{broker} has not answered {within}; whether the request arrived is not known"
        elif self._heart.is_hung:
            why = f"{broker} hangs, so this request was not sent {within}"
        elif self._sent:
            why = f"{broker} has not answered earlier requests, so this one was not sent {within}"
        else:
            why = f"no connection to {broker} {within}; the request was not sent"
        return errors.TimeoutError(why, outcome=outcome)

    def _expire(self) -> None:
        now = time.monotonic()
        if now < self._next_deadline:
            return
        self._next_deadline = float("inf")
        for request in list(self._undecided()):
            if request.state == DONE or request.future is None:
                continue
            if request.deadline > now:
                self._next_deadline = min(self._next_deadline, request.deadline)
                continue
            self._fail_as_it_is(request, partial(self._timeout_error, request))
        self._held = [request for request in self._held if request.state != DONE]
        for number, request in list(self._sent.items()):  # room of those whom nobody waits for any more
            if request.state == DONE and now - request.deadline > FORGOTTEN:
                del self._sent[number]

    # --- out ---

    def _peek(self) -> Optional[Request]:
        """The next request for ZeroMQ; it stays where it is."""
        listens = self._listener is not None
        if self._live == 0:
            self._queue.clear()
            return self._greeting() if self._must_greet and listens else None
        request = self._first()
        if self._must_greet:
            return self._greeting() if request or self._held or listens else None
        if self._heart.is_hung:
            return None
        if request is None or self._held or len(self._sent) >= self._max_pending:
            return None
        if self._is_stale(request):
            self._instance = None
            return self._greeting()
        return request

    def _first(self) -> Optional[Request]:
        """Of the queue, without those that were cancelled or are decided."""
        while self._queue:
            request = self._queue[0]
            if request.state == QUEUED and not request.is_cancelled:
                return request
            self._queue.popleft()
            if request.state == QUEUED:
                self._start(request)
        return None

    def _is_stale(self, request: Request) -> bool:
        """ZeroMQ may have connected to another broker while nothing was under way."""
        return (request.safe and self._instance is not None and not self._sent
                and time.monotonic() - self._heard > IDLE)

    def _greeting(self) -> Request:
        number = self.next_id()
        return Request(number, pack({"op": "ping", "id": number, "at": now_ms()}), 0.0, False, greeting=True)

    def _send_all(self) -> None:
        if not self._send_beat() or not self._send_notes():
            return
        for _ in range(BURST):
            request = self._peek()
            if request is None or not self._send(request):
                return

    def _send_beat(self) -> bool:
        """The one before is not waited for any longer."""
        if not self._must_beat:
            return True
        ping = self._greeting()
        ping.is_beat = True
        if not self._hand_over(ping.data):
            return False
        self._must_beat = False
        ping.state = SENT
        if self._beat is not None:
            self._sent.pop(self._beat.number, None)
        self._beat = self._sent[ping.number] = ping
        return True

    def _send_notes(self) -> bool:
        while self._notes:
            connection, data = self._notes[0]
            if connection == self._connection and not self._hand_over(data):
                return False
            self._notes.popleft()
        return True

    def _hand_over(self, data: bytes) -> bool:
        """To ZeroMQ, if it takes anything."""
        try:
            self._socket.send(data, zmq.DONTWAIT)
        except zmq.Again:
            self._block()
            return False
        self._blocked = False
        self._dialed = time.monotonic()
        return True

    def _block(self) -> None:
        """Without a connection the socket takes nothing. One that we still count on is seen to be lost first: the
        next one must not be taken for it."""
        self._blocked = True
        now = time.monotonic()
        if now - self._dialed < REDIAL or (not self._must_greet and self._is_expecting()):
            return
        self._dialed = now
        try:
            self._socket.disconnect(self._endpoint)
        except zmq.ZMQError:
            pass  # it was forgotten indeed
        self._socket.connect(self._endpoint)

    def _send(self, request: Request) -> bool:
        if not self._events() & zmq.POLLOUT:
            self._block()
            return False
        if request.future is not None and not self._start(request):
            return True  # cancelled in this moment
        if not self._hand_over(request.data):
            return False
        request.state = SENT
        self._sent[request.number] = request
        if request.future is None:
            self._greeted()
        else:
            self._queue.popleft()
        return True

    def _greeted(self) -> None:
        is_new, self._must_greet = self._must_greet, False
        if is_new and self._listener is not None:
            self._listener.greeted()

    # --- in ---

    def _receive_all(self) -> None:
        """All replies that are there; without any, is the connection still there?"""
        if not self._sent and not self._held and self._listener is None and not self._heart.is_hung:
            return
        for _ in range(4 * BURST):
            try:
                frames = self._socket.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                break
            self._take(frames[0])
        else:
            return
        if self._is_expecting() and not self._events() & (zmq.POLLIN | zmq.POLLOUT):
            self._lost()

    def _is_expecting(self) -> bool:
        """A loss of the connection will be seen."""
        waits_for_loss = not self._must_greet and (
            self._listener is not None or bool(self._held) or self._heart.is_hung)
        return bool(self._sent) or waits_for_loss

    def _events(self) -> int:
        events = self._socket.getsockopt(zmq.EVENTS)
        assert isinstance(events, int)
        return events

    def _take(self, data: bytes) -> None:
        self._heard = time.monotonic()
        self._is_heard = True
        self._heart.heard()
        self._see()
        reply = unpack(data)
        if isinstance(reply, dict) and "op" in reply:
            if self._listener is not None:
                self._listener.received(reply)
            return
        number = reply.get("id") if isinstance(reply, dict) else None
        request = self._sent.pop(number, None) if isinstance(number, int) else None
        if request is None:
            return
        if request.is_beat:
            self._beat = None
        elif request.future is None:
            self._welcome(reply.get("instance"))
        elif _is_stopping(reply):
            self._stopping(request)
        elif self._settle(request):
            request.future.set_result(reply)

    def _stopping(self, request: Request) -> None:
        """Nothing more is sent on this connection; its end will be seen."""
        if request.state == DONE:
            return
        if request.is_urgent:
            self._disconnected(request, f"the broker at {self._endpoint} is stopping")
            return
        request.state = HELD
        self._held.append(request)

    # --- another connection ---

    def _disconnected(self, request: Request, why: str) -> None:
        self._fail(request, DisconnectedError(f"{why}; whether the request arrived is not known", outcome="unknown"))

    def _lost(self) -> None:
        self._dialed = time.monotonic()
        for request in self._sent.values():
            if request.state == DONE or request.future is None:
                continue
            if not request.safe or self._instance is None:
                self._disconnected(request, f"the connection to the broker at {self._endpoint} broke before it answered")
                continue
            request.state = HELD
            request.instance = self._instance
            self._held.append(request)
        self._sent.clear()
        self._instance = None
        self._must_greet = True
        self._must_beat = self._is_heard = False
        self._heart.heard()
        self._see()
        self._connection += 1

    def _welcome(self, instance: Optional[str]) -> None:
        """What was held goes out first, in its order, if this broker is the one that it was sent to."""
        self._instance = instance
        again = []
        for request in self._held:
            if request.state == DONE:
                continue
            if request.instance in (None, instance):
                request.state = QUEUED
                again.append(request)
            else:
                self._disconnected(request, f"the broker at {self._endpoint} was started anew before it answered, "
                                            "and has forgotten the keys")
        self._held = []
        self._queue.extendleft(reversed(again))


def _close_at_exit(link: Link) -> None:
    """Nothing is under way any more when the interpreter goes away, as in other languages."""
    reference = weakref.ref(link)

    def finish() -> None:
        left = reference()
        if left is not None:
            left.close(False)

    atexit.register(finish)
    weakref.finalize(link, atexit.unregister, finish)
