"""The blocking side."""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Iterable, Optional, Type

from ._requests import Requests, in_order
from ._results import History, Item, Published, Result
from ._rules import HISTORY_LIMIT, Channel


class Backend:
    """A connection to the broker, for any number of threads. Each call waits for its answer, at most
    `timeout` seconds; submit() does not wait. Without an endpoint it is the one in the environment variable
    MILLRACE_BACKENDS, or tcp://127.0.0.1:7402."""

    def __init__(self, endpoint: Optional[str] = None, *, timeout: float = 5.0, max_pending: int = 4096,
                 max_queued_bytes: int = 64 * 1024 * 1024) -> None:
        self._requests = Requests(endpoint, timeout, max_pending, max_queued_bytes)

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

    def close(self, *, now: bool = False) -> None:
        """Waits for what is under way, unless `now`."""
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
