"""permissions_router as programs use it: blocking, and for asyncio."""

from __future__ import annotations

import asyncio
import inspect
import uuid
from concurrent.futures import Future
from typing import Any, Callable, Generator, Generic, Optional, TypeVar, overload

from ._checks import late_error
from ._decisions import AsyncHandler, Decision, Handler, Registered, decision_of
from ._permissions import CheckContext, Question, Subscriber, channel_address, place, subscriber_of
from ._rules import TIMEOUT_MAX, Channel, check_timeout, refuse
from ._worker import Worker

F = TypeVar("F", bound=Handler)
A = TypeVar("A", bound=AsyncHandler)


def _seconds(timeout: Optional[float]) -> Optional[float]:
    return None if timeout is None else check_timeout(timeout, TIMEOUT_MAX)


def _must_be_given(channel: object) -> None:
    if channel is None:
        raise refuse("channel", "must be given; default() and remove_default() are for the default handler")


def _question(channel: Channel, subscriber: Subscriber, site: Optional[str], app: Optional[str]) -> Question:
    _must_be_given(channel)
    level = place(channel, site, app).level
    return Question(channel_address(level["channel"], level.get("resource", "")), subscriber_of(subscriber),
                    CheckContext(str(uuid.uuid4()), site or "", app or ""))


class PermissionsRouter:
    """Who may read: of the handlers for the resource, for its channel and the default one, the first decides."""

    def __init__(self, worker: Callable[[], Worker]) -> None:
        self._worker = worker

    @overload
    def default(self, handler: F, *, site: Optional[str] = None, app: Optional[str] = None,
                timeout: Optional[float] = None) -> F: ...

    @overload
    def default(self, handler: None = None, *, site: Optional[str] = None, app: Optional[str] = None,
                timeout: Optional[float] = None) -> Callable[[F], F]: ...

    def default(self, handler: Optional[F] = None, *, site: Optional[str] = None, app: Optional[str] = None,
                timeout: Optional[float] = None) -> Any:
        """Returns when the broker has stored it; what it returns is the handler, so it is a decorator too."""
        return self._register(None, handler, site, app, timeout)

    @overload
    def add(self, channel: Channel, handler: F, *, site: Optional[str] = None, app: Optional[str] = None,
            timeout: Optional[float] = None) -> F: ...

    @overload
    def add(self, channel: Channel, handler: None = None, *, site: Optional[str] = None, app: Optional[str] = None,
            timeout: Optional[float] = None) -> Callable[[F], F]: ...

    def add(self, channel: Channel, handler: Optional[F] = None, *, site: Optional[str] = None,
            app: Optional[str] = None, timeout: Optional[float] = None) -> Any:
        """The same for a channel, or one resource of it. Replaces the handler that this connection had there."""
        _must_be_given(channel)
        return self._register(channel, handler, site, app, timeout)

    def remove(self, channel: Channel, *, site: Optional[str] = None, app: Optional[str] = None,
               timeout: Optional[float] = None) -> None:
        """Returns when this connection is not asked any more; until then the handler decides."""
        _must_be_given(channel)
        self._worker().unregister(place(channel, site, app), _seconds(timeout)).result()

    def remove_default(self, *, site: Optional[str] = None, app: Optional[str] = None,
                       timeout: Optional[float] = None) -> None:
        self._worker().unregister(place(None, site, app), _seconds(timeout)).result()

    def check(self, channel: Channel, subscriber: Subscriber, *, site: Optional[str] = None,
              app: Optional[str] = None) -> Decision:
        """The decision of this connection's own handlers, in this thread and without the broker; without a handler
        Decision(read=True). Raises what the handler raises."""
        question = _question(channel, subscriber, site, app)
        handler = self._worker().find(question)
        return Decision(True) if handler is None else decision_of(handler.ask(question))

    def _register(self, channel: Optional[Channel], handler: Optional[Handler], site: Optional[str],
                  app: Optional[str], timeout: Optional[float]) -> Any:
        where, seconds = place(channel, site, app), _seconds(timeout)

        def register(function: F) -> F:
            self._worker().register(where, Registered(function), seconds).result()
            return function

        return register if handler is None else register(handler)


class Registration(Generic[A]):
    """Await it: the broker has stored the handler then. It can be called like the handler, which a decorated
    function remains."""

    def __init__(self, handler: A, stored: list[Future[None]]) -> None:
        self.handler = handler
        self._stored = stored

    def __call__(self, *arguments: Any) -> Any:
        function: Callable[..., Any] = self.handler
        return function(*arguments)

    def __await__(self) -> Generator[Any, None, None]:
        for stored in self._stored:
            # Whoever stops waiting does not take the registration back.
            yield from asyncio.shield(asyncio.wrap_future(stored)).__await__()


class AsyncPermissionsRouter:
    """PermissionsRouter for asyncio. Handlers run on the loop on which they were registered: coroutine functions as
    tasks, plain functions as they are, so they must not wait."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    @overload
    def default(self, handler: A, *, site: Optional[str] = None, app: Optional[str] = None,
                timeout: Optional[float] = None) -> Registration[A]: ...

    @overload
    def default(self, handler: None = None, *, site: Optional[str] = None, app: Optional[str] = None,
                timeout: Optional[float] = None) -> Callable[[A], Registration[A]]: ...

    def default(self, handler: Optional[A] = None, *, site: Optional[str] = None, app: Optional[str] = None,
                timeout: Optional[float] = None) -> Any:
        return self._register(None, handler, site, app, timeout)

    @overload
    def add(self, channel: Channel, handler: A, *, site: Optional[str] = None, app: Optional[str] = None,
            timeout: Optional[float] = None) -> Registration[A]: ...

    @overload
    def add(self, channel: Channel, handler: None = None, *, site: Optional[str] = None, app: Optional[str] = None,
            timeout: Optional[float] = None) -> Callable[[A], Registration[A]]: ...

    def add(self, channel: Channel, handler: Optional[A] = None, *, site: Optional[str] = None,
            app: Optional[str] = None, timeout: Optional[float] = None) -> Any:
        _must_be_given(channel)
        return self._register(channel, handler, site, app, timeout)

    async def remove(self, channel: Channel, *, site: Optional[str] = None, app: Optional[str] = None,
                     timeout: Optional[float] = None) -> None:
        _must_be_given(channel)
        await asyncio.wrap_future(self._worker.unregister(place(channel, site, app), _seconds(timeout)))

    async def remove_default(self, *, site: Optional[str] = None, app: Optional[str] = None,
                             timeout: Optional[float] = None) -> None:
        await asyncio.wrap_future(self._worker.unregister(place(None, site, app), _seconds(timeout)))

    async def check(self, channel: Channel, subscriber: Subscriber, *, site: Optional[str] = None,
                    app: Optional[str] = None) -> Decision:
        """The decision of this connection's own handlers, without the broker, within handler_timeout."""
        question = _question(channel, subscriber, site, app)
        handler = self._worker.find(question)
        if handler is None:
            return Decision(True)
        decision = _decide(handler, question, self._worker.handler_timeout)
        if handler.loop is None or handler.loop is asyncio.get_running_loop():
            return await decision
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(decision, handler.loop))

    def _register(self, channel: Optional[Channel], handler: Any, site: Optional[str], app: Optional[str],
                  timeout: Optional[float]) -> Any:
        where, seconds = place(channel, site, app), _seconds(timeout)

        def register(given: Any) -> Registration[Any]:
            function, before = (given.handler, given._stored) if isinstance(given, Registration) else (given, [])
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                raise refuse("handler", "must be registered where an event loop runs; it runs there too") from None
            return Registration(function, [*before, self._worker.register(where, Registered(function, loop), seconds)])

        return register if handler is None else register(handler)


async def _decide(handler: Registered, question: Question, timeout: float) -> Decision:
    value = handler.ask(question)
    if inspect.isawaitable(value):
        try:
            async with asyncio.timeout(timeout) as limit:
                value = await value
        except TimeoutError:
            if limit.expired():
                raise late_error(timeout) from None
            raise
    return decision_of(value)
