"""The blocking side."""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Iterable, Optional, Type

from ._permissions import RevokeMode, SubscriberTarget
from ._link import State
from ._reports import OnHandlerError, OnStateChange
from ._requests import Requests, in_order
from ._results import Disconnected, History, Item, Published, Result, Revoked
from ._router import PermissionsRouter
from ._rules import HISTORY_LIMIT, Channel, check_count
from ._runners import Pool
from ._worker import Worker


class Backend:
    """A connection to the broker, for any number of threads. Each call waits for its answer, at most
    `timeout` seconds; submit() does not wait. Without an endpoint it is the one in the environment variable
    MILLRACE_BACKENDS, or tcp://127.0.0.1:7402.

    permissions_router takes handlers that decide who may read. They run in `handler_threads` threads, each check for
    at most `handler_timeout` seconds; on_handler_error is told of those that fail, in a thread of its own.

    A broker that hangs is noticed within 6 seconds: on_state_change(state, before) is told each change of `state`, in a
    thread of its own; without one the logger "millrace" gets a warning."""

    def __init__(self, endpoint: Optional[str] = None, *, timeout: float = 5.0, max_pending: int = 4096,
                 max_queued_bytes: int = 64 * 1024 * 1024, handler_threads: int = 8, handler_timeout: float = 2.5,
                 on_handler_error: Optional[OnHandlerError] = None,
                 on_state_change: Optional[OnStateChange] = None) -> None:
        check_count(handler_threads, "handler_threads", 256, 1)
        self._requests = Requests(endpoint, timeout, max_pending, max_queued_bytes, lambda _: Pool(handler_threads),
                                  handler_timeout, on_handler_error, on_state_change)
        self.permissions_router = PermissionsRouter(lambda: self._requests.worker)

    @property
    def state(self) -> State:
        """"connecting", "connected", "hung" or "closed", as it was when something was waited for last: without requests
        and handlers nobody looks."""
        return self._requests.state

    def publish(self, channel: Channel, payload: dict[str, Any], *, publisher: Optional[str] = None,
                key: Optional[str] = None, view: Optional[str] = None, site: Optional[str] = None,
                app: Optional[str] = None, timeout: Optional[float] = None) -> Published:
        return self._requests.publish(channel, payload, publisher, key, view, site, app, timeout).result()

    def submit(self, channel: Channel, payload: dict[str, Any], *, publisher: Optional[str] = None,
               key: Optional[str] = None, view: Optional[str] = None, site: Optional[str] = None,
               app: Optional[str] = None, timeout: Optional[float] = None) -> Future[Published]:
        """As publish, and returns at once: many may be under way. Cancelled before it was sent, it is not sent."""
        return self._requests.publish(channel, payload, publisher, key, view, site, app, timeout)

    def publish_many(self, items: Iterable[Item], *, timeout: Optional[float] = None) -> list[Result]:
        """One result for each item, in order: Published, or the error (which is not raised)."""
        return in_order([part.result() for part in self._requests.publish_many(items, timeout)])

    def history(self, channel: Channel, *, limit: int = HISTORY_LIMIT, since: Optional[tuple[str, int]] = None,
                view: Optional[str] = None, site: Optional[str] = None, app: Optional[str] = None,
                timeout: Optional[float] = None) -> History:
        """What is kept of a channel, at most `limit` (never more than 300) from behind `since` (epoch, offset)."""
        return self._requests.history(channel, limit, since, view, site, app, timeout).result()

    def ping(self, *, timeout: Optional[float] = None) -> None:
        self._requests.ping(timeout).result()

    def revoke(self, channel: Optional[Channel] = None, subscriber: Optional[SubscriberTarget] = None,
               mode: RevokeMode = "recheck", *, site: Optional[str] = None, app: Optional[str] = None,
               timeout: Optional[float] = None) -> Revoked:
        """Takes back what was granted, of a channel, of a subscriber, or of one on the other. "deny" ends the
        subscriptions; "recheck" delivers nothing more to them until they were asked about again. A channel without
        a resourceId means all its resources too, with an empty one it means itself alone."""
        return self._requests.revoke(channel, subscriber, mode, site, app, timeout).result()

    def disconnect(self, subscriber: SubscriberTarget, reason: Optional[str] = None, *, site: Optional[str] = None,
                   timeout: Optional[float] = None) -> Disconnected:
        """Closes the connections of a subscriber for good; the reason is what the client is told."""
        return self._requests.disconnect(subscriber, reason, site, timeout).result()

    def close(self, *, now: bool = False) -> None:
        """Takes the handlers off the broker, then waits for what is under way, unless `now`."""
        self._requests.close(now)

    def __enter__(self) -> Backend:
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        self.close()


_lock = threading.Lock()
_shared: Optional[Backend] = None


def _common() -> Backend:
    """The connection of publish(). A process that was forked makes its own."""
    global _shared
    with _lock:
        if _shared is None or _shared._requests.pid != os.getpid():
            _shared = Backend()
        return _shared


def publish(channel: Channel, payload: dict[str, Any], *, publisher: Optional[str] = None,
            key: Optional[str] = None, view: Optional[str] = None, site: Optional[str] = None,
            app: Optional[str] = None, timeout: Optional[float] = None) -> Published:
    """Backend().publish on a connection that all of the program shares."""
    return _common().publish(channel, payload, publisher=publisher, key=key, view=view, site=site, app=app,
                             timeout=timeout)


def revoke(channel: Optional[Channel] = None, subscriber: Optional[SubscriberTarget] = None,
           mode: RevokeMode = "recheck", *, site: Optional[str] = None, app: Optional[str] = None,
           timeout: Optional[float] = None) -> Revoked:
    """Backend().revoke on the same connection."""
    return _common().revoke(channel, subscriber, mode, site=site, app=app, timeout=timeout)


def disconnect(subscriber: SubscriberTarget, reason: Optional[str] = None, *, site: Optional[str] = None,
               timeout: Optional[float] = None) -> Disconnected:
    """Backend().disconnect on the same connection."""
    return _common().disconnect(subscriber, reason, site=site, timeout=timeout)


def _common_worker() -> Worker:
    return _common()._requests.worker


#: Backend().permissions_router of the same connection.
permissions_router = PermissionsRouter(_common_worker)
