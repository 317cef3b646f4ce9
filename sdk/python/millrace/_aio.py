"""The asyncio side. The socket has a thread of its own here too, so that any event loop will do and a busy one
delays nothing but itself."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Iterable, Optional, Type

from ._permissions import RevokeMode, SubscriberTarget
from ._link import State
from ._reports import OnHandlerError, OnStateChange
from ._requests import Requests, in_order
from ._results import Disconnected, History, Item, Published, Result, Revoked
from ._router import AsyncPermissionsRouter
from ._rules import HISTORY_LIMIT, Channel
from ._runners import Loops


class AsyncBackend:
    """Backend for asyncio: the same calls and guarantees. A call that is cancelled before it was sent is not sent."""

    def __init__(self, endpoint: Optional[str] = None, *, timeout: float = 5.0, max_pending: int = 4096,
                 max_queued_bytes: int = 64 * 1024 * 1024, handler_timeout: float = 2.5,
                 on_handler_error: Optional[OnHandlerError] = None,
                 on_state_change: Optional[OnStateChange] = None) -> None:
        self._requests = Requests(endpoint, timeout, max_pending, max_queued_bytes, Loops, handler_timeout,
                                  on_handler_error, on_state_change)
        self.permissions_router = AsyncPermissionsRouter(self._requests.worker)

    @property
    def state(self) -> State:
        """As Backend.state."""
        return self._requests.state

    async def publish(self, channel: Channel, payload: dict[str, Any], *, publisher: Optional[str] = None,
                      key: Optional[str] = None, view: Optional[str] = None, site: Optional[str] = None,
                      app: Optional[str] = None, timeout: Optional[float] = None) -> Published:
        return await asyncio.wrap_future(
            self._requests.publish(channel, payload, publisher, key, view, site, app, timeout))

    async def publish_many(self, items: Iterable[Item], *, timeout: Optional[float] = None) -> list[Result]:
        """One result for each item, in order: Published, or the error (which is not raised)."""
        parts = self._requests.publish_many(items, timeout)
        return in_order(await asyncio.gather(*[asyncio.wrap_future(part) for part in parts]))

    async def history(self, channel: Channel, *, limit: int = HISTORY_LIMIT,
                      since: Optional[tuple[str, int]] = None, view: Optional[str] = None, site: Optional[str] = None,
                      app: Optional[str] = None, timeout: Optional[float] = None) -> History:
        """What is kept of a channel, at most `limit` (never more than 300) from behind `since` (epoch, offset)."""
        return await asyncio.wrap_future(
            self._requests.history(channel, limit, since, view, site, app, timeout))

    async def ping(self, *, timeout: Optional[float] = None) -> None:
        await asyncio.wrap_future(self._requests.ping(timeout))

    async def revoke(self, channel: Optional[Channel] = None, subscriber: Optional[SubscriberTarget] = None,
                     mode: RevokeMode = "recheck", *, site: Optional[str] = None, app: Optional[str] = None,
                     timeout: Optional[float] = None) -> Revoked:
        """As Backend.revoke."""
        return await asyncio.wrap_future(self._requests.revoke(channel, subscriber, mode, site, app, timeout))

    async def disconnect(self, subscriber: SubscriberTarget, reason: Optional[str] = None, *,
                         site: Optional[str] = None, timeout: Optional[float] = None) -> Disconnected:
        """Closes the connections of a subscriber for good; the reason is what the client is told."""
        return await asyncio.wrap_future(self._requests.disconnect(subscriber, reason, site, timeout))

    async def close(self, *, now: bool = False) -> None:
        """Takes the handlers off the broker, then waits for what is under way, unless `now`."""
        await asyncio.get_running_loop().run_in_executor(None, self._requests.close, now)

    async def __aenter__(self) -> AsyncBackend:
        return self

    async def __aexit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                        trace: Optional[TracebackType]) -> None:
        await self.close()
