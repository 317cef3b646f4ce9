"""Requests as futures: what Backend waits for and AsyncBackend awaits."""

from __future__ import annotations

import os
from concurrent.futures import Future
from typing import Any, Callable, Iterable, NoReturn, Optional, TypeVar

from . import _results
from ._link import Link, State
from ._permissions import RevokeMode, SubscriberTarget, disconnection, revocation
from ._reports import OnHandlerError, OnStateChange, Reports
from ._results import Disconnected, History, Item, Published, Reply, Result, Revoked, accepted, unreadable
from ._rules import (
    REQUEST_BYTES, REQUEST_VALUES, TIMEOUT_MAX, Channel, check_count, check_timeout, history_request, kind_of, now_ms, pack,
    pack_request, publication, refuse,
)
from ._runners import Runner
from ._worker import Worker
from .errors import BadInputError, MillraceError, TooLargeError, refused

DEFAULT_ENDPOINT = "tcp://127.0.0.1:7402"
#: Of one publish_many, with room for what is around the items.
ITEMS, ITEMS_BYTES = 1024, 1024 * 1024 - 64
ITEM_KEYS = ("channel", "payload", "publisher", "key", "view", "site", "app")

T = TypeVar("T")


def _raise(error: MillraceError) -> NoReturn:
    raise error


def _then(reply: Future[Reply], read: Callable[[Reply], T], failed: Callable[[MillraceError], T] = _raise) -> Future[T]:
    """A future of read(reply), or of failed(error). To cancel it is to cancel the request, as long as that was
    not sent."""
    result: Future[T] = Future()

    def value(of: Future[Reply]) -> T:
        try:
            return read(of.result())
        except MillraceError as error:
            return failed(error)
        except Exception as error:  # noqa: BLE001 - a reply that makes no sense
            return failed(unreadable(error))

    def done(of: Future[Reply]) -> None:
        if not result.set_running_or_notify_cancel():
            return
        try:
            result.set_result(value(of))
        except MillraceError as error:
            result.set_exception(error)

    def cancelled(of: Future[T]) -> None:
        if of.cancelled():
            reply.cancel()

    result.add_done_callback(cancelled)
    reply.add_done_callback(done)
    return result


class _Batch:
    def __init__(self) -> None:
        self.items: list[bytes] = []
        self.places: list[int] = []
        self.bytes = 0
        self.values = 0
        self.safe = True

    def fits(self, data: bytes, values: int) -> bool:
        return (len(self.items) < ITEMS and self.bytes + len(data) <= ITEMS_BYTES
                and self.values + values <= REQUEST_VALUES)

    def add(self, place: int, data: bytes, values: int, has_key: bool) -> None:
        self.items.append(data)
        self.places.append(place)
        self.bytes += len(data)
        self.values += values
        self.safe = self.safe and has_key

    def pack(self, number: int, seconds: float) -> bytes:
        """{op, id, at, within, items} around items that are msgpack already."""
        head = pack({"op": "publish_many", "id": number, "at": now_ms(), "within": int(seconds * 1000), "items": []})[:-1]  # without the empty array
        return head + b"\xdc" + len(self.items).to_bytes(2, "big") + b"".join(self.items)


def _read_item(place: str, item: Item) -> tuple[bytes, int, bool]:
    if not isinstance(item, dict):
        raise refuse(place, f"must be a dict, not {kind_of(item)}")
    for key in item:
        if key not in ITEM_KEYS:
            raise refuse(place, f"there is no {key!r}, only {', '.join(ITEM_KEYS)}")
    options: dict[str, Any] = {"channel": None, "payload": None, **item}
    try:
        request, values = publication(**options)
        data = pack(request)
    except BadInputError as error:
        raise BadInputError(f"{place}.{error.message}") from None
    if len(data) > ITEMS_BYTES:
        raise TooLargeError(f"{place}: larger than {ITEMS_BYTES} bytes", outcome="not sent")
    return data, values, "key" in request


class Requests:
    def __init__(self, endpoint: Optional[str], timeout: float, max_pending: int, max_queued_bytes: int,
                 runner_of: Callable[[float], Runner], handler_timeout: float,
                 on_handler_error: Optional[OnHandlerError], on_state_change: Optional[OnStateChange]) -> None:
        if endpoint is None:
            endpoint = os.environ.get("MILLRACE_BACKENDS") or DEFAULT_ENDPOINT
        if not isinstance(endpoint, str):
            raise refuse("endpoint", f"must be a str, not {kind_of(endpoint)}")
        self._timeout = check_timeout(timeout, TIMEOUT_MAX)
        check_count(max_pending, "max_pending", 1_000_000, 1)
        check_count(max_queued_bytes, "max_queued_bytes", 2**40, REQUEST_BYTES)
        handler_seconds = check_timeout(handler_timeout, TIMEOUT_MAX, "handler_timeout")
        for name, told in (("on_handler_error", on_handler_error), ("on_state_change", on_state_change)):
            if told is not None and not callable(told):
                raise refuse(name, f"must be a function, not {kind_of(told)}")
        runner = runner_of(handler_seconds)
        self.pid = os.getpid()
        reports = Reports(on_handler_error, on_state_change)
        self._link = Link(endpoint, max_pending, max_queued_bytes, reports.state_changed)
        self.worker = Worker(self._link, runner, self._timeout, handler_seconds, reports)

    @property
    def state(self) -> State:
        return self._link.state

    def _ask(self, op: str, request: dict[str, Any], timeout: Optional[float], safe: bool) -> Future[Reply]:
        seconds = self._timeout if timeout is None else check_timeout(timeout, TIMEOUT_MAX)
        number = self._link.next_id()
        timed = {"at": now_ms(), "within": int(seconds * 1000), **request}
        return self._link.request(number, pack_request(op, number, timed), seconds, safe)

    def publish(self, channel: Channel, payload: dict[str, Any], publisher: Optional[str], key: Optional[str],
                view: Optional[str], site: Optional[str], app: Optional[str],
                timeout: Optional[float]) -> Future[Published]:
        request, _ = publication(channel, payload, publisher=publisher, key=key, view=view, site=site, app=app)
        reply = self._ask("publish", request, timeout, key is not None)
        return _then(reply, lambda reply: _results.published(accepted(reply)))

    def publish_many(self, items: Iterable[Item], timeout: Optional[float]) -> list[Future[list[tuple[int, Result]]]]:
        """Futures of results with their places."""
        seconds = self._timeout if timeout is None else check_timeout(timeout, TIMEOUT_MAX)
        if isinstance(items, (str, bytes, dict)) or not hasattr(items, "__iter__"):
            raise refuse("items", f"must be a list, not {kind_of(items)}")
        wrong: list[tuple[int, Result]] = []
        batches: list[_Batch] = []
        for place, item in enumerate(items):
            try:
                data, values, has_key = _read_item(f"items[{place}]", item)
            except MillraceError as error:
                wrong.append((place, error))
                continue
            if not batches or not batches[-1].fits(data, values):
                batches.append(_Batch())
            batches[-1].add(place, data, values, has_key)
        locally: Future[list[tuple[int, Result]]] = Future()
        locally.set_result(wrong)
        return [locally] + [self._publish_batch(batch, seconds) for batch in batches]

    def _publish_batch(self, batch: _Batch, seconds: float) -> Future[list[tuple[int, Result]]]:
        def read(reply: Reply) -> list[tuple[int, Result]]:
            return [(place, _results.published(at) if at["ok"] else refused(at["error"]))
                    for place, at in zip(batch.places, accepted(reply)["results"], strict=True)]

        def failed(error: MillraceError) -> list[tuple[int, Result]]:
            return [(place, error) for place in batch.places]

        number = self._link.next_id()
        return _then(self._link.request(number, batch.pack(number, seconds), seconds, batch.safe), read, failed)

    def history(self, channel: Channel, limit: int, since: Optional[tuple[str, int]], view: Optional[str],
                site: Optional[str], app: Optional[str], timeout: Optional[float]) -> Future[History]:
        request = history_request(channel, limit, since, view, site, app)
        reply = self._ask("history", request, timeout, True)
        return _then(reply, lambda reply: _results.history(accepted(reply)))

    def ping(self, timeout: Optional[float]) -> Future[None]:
        def read(reply: Reply) -> None:
            accepted(reply)

        return _then(self._ask("ping", {}, timeout, True), read)

    def revoke(self, channel: Optional[Channel], subscriber: Optional[SubscriberTarget], mode: RevokeMode,
               site: Optional[str], app: Optional[str], timeout: Optional[float]) -> Future[Revoked]:
        reply = self._ask("revoke", revocation(channel, subscriber, mode, site, app), timeout, False)
        return _then(reply, lambda reply: _results.revoked(accepted(reply)))

    def disconnect(self, subscriber: SubscriberTarget, reason: Optional[str], site: Optional[str],
                   timeout: Optional[float]) -> Future[Disconnected]:
        reply = self._ask("disconnect", disconnection(subscriber, reason, site), timeout, False)
        return _then(reply, lambda reply: _results.disconnected(accepted(reply)))

    def close(self, now: bool) -> None:
        if self.pid == os.getpid():
            self.worker.close(now)
            self._link.close(now)


def in_order(parts: Iterable[list[tuple[int, Result]]]) -> list[Result]:
    places = {place: result for part in parts for place, result in part}
    return [places[place] for place in range(len(places))]
