"""What a request must obey, as far as it can be seen before the broker sees it. The rules are the
broker's own (docs/protocol.md); a payload's size in JSON is a setting of the broker and left to it."""

from __future__ import annotations

import math
import re
import time
from typing import Any, Mapping, Optional, TypedDict, Union

import msgpack

from .errors import BadInputError, TooLargeError

ADDRESS_CHARACTERS = 140
PUBLISHER_BYTES = 256
KEY_BYTES = 64
DEPTH = 16
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
UINT32_MAX = 2**32 - 1
#: The broker reads requests of up to 131,072 msgpack values; the rest is for what is around a payload.
REQUEST_VALUES = 131072 - 64
PAYLOAD_VALUES = REQUEST_VALUES - 64
REQUEST_BYTES = 2 * 1024 * 1024
HISTORY_LIMIT = 300
#: Far below the time for which the broker remembers idempotency keys.
TIMEOUT_MAX = 60.0

_CHANNEL = re.compile(r"@?[A-Za-z0-9_-]+")
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_WORD = re.compile(r"[A-Za-z0-9_-]{1,64}")


class _ChannelName(TypedDict):
    name: str


class ChannelAddress(_ChannelName, total=False):
    """A channel, or one resource of it (a room)."""

    resourceId: Optional[str]


#: A channel's name, or {"name": ..., "resourceId": ...}.
Channel = Union[str, ChannelAddress]


def refuse(place: str, rule: str) -> BadInputError:
    return BadInputError(f"{place}: {rule}")


def kind_of(value: object) -> str:
    return "None" if value is None else f"{type(value).__name__}"


def _is_valid(text: str) -> bool:
    """No half of a surrogate pair."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def text_of(value: object, place: str) -> str:
    if not isinstance(value, str):
        raise refuse(place, f"must be a str, not {kind_of(value)}")
    if not _is_valid(value):
        raise refuse(place, "not valid Unicode: half of a surrogate pair")
    return value


def short_text(value: object, place: str, size: int) -> str:
    text = text_of(value, place)
    if len(text.encode()) > size:
        raise refuse(place, f"longer than {size} bytes")
    return text


def check_count(value: object, place: str, most: int, least: int = 0) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise refuse(place, f"must be an integer from {least} to {most}")
    return value


def check_timeout(value: object, most: float, place: str = "timeout") -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.001 <= value <= most:
        raise refuse(place, f"must be a number of seconds from 0.001 to {most:g}")
    return float(value)


# --- addresses and options ---


def put_channel(request: dict[str, Any], channel: Channel) -> None:
    if isinstance(channel, str):
        name, resource = text_of(channel, "channel"), None
        place = "channel"
    elif isinstance(channel, Mapping):
        for key in channel:
            if key not in ("name", "resourceId"):
                raise refuse("channel", f"there is no {key!r}, only name, resourceId")
        place = "channel.name"
        name, resource = text_of(channel.get("name"), place), channel.get("resourceId")
    else:
        raise refuse("channel", f"must be a str or a mapping with name and resourceId, not {kind_of(channel)}")
    if name in ("", "@"):
        raise refuse(place, "the name is empty")
    if not _CHANNEL.fullmatch(name):
        raise refuse(place, "only letters, digits, '_' and '-' are allowed, with an optional leading '@'")
    request["channel"] = name
    if resource is not None and resource != "":
        if "\0" in text_of(resource, "channel.resourceId"):
            raise refuse("channel.resourceId", "the id contains U+0000")
        request["resource"] = resource
    if len(name) + len(resource or "") > ADDRESS_CHARACTERS:
        raise refuse("channel", f"name and resourceId together exceed {ADDRESS_CHARACTERS} Unicode code points")


def put_id(request: dict[str, Any], option: str, value: Optional[str]) -> None:
    if value is None:
        return
    if not _ID.fullmatch(text_of(value, option)):
        raise refuse(option, "must be 1 to 64 letters, digits, '.', '_' or '-'")
    request[option] = value


def _put_target(request: dict[str, Any], channel: Channel, view: Optional[str], site: Optional[str],
                app: Optional[str]) -> None:
    put_channel(request, channel)
    if view is not None:
        if view not in ("live", "preview"):
            raise refuse("view", "must be 'live' or 'preview'")
        request["view"] = view
    put_id(request, "site", site)
    put_id(request, "app", app)


# --- payloads ---


def _place(path: list[object]) -> str:
    place = "payload"
    for key in path:
        if isinstance(key, int):
            place += f"[{key}]"
        elif isinstance(key, str) and _WORD.fullmatch(key):
            place += f".{key}"
        else:
            place += f"[{str(key)[:64]!r}]"
    return place


class _Payload:
    """Checks a payload. `path` is where we are; it becomes text only for an error."""

    def __init__(self) -> None:
        self.path: list[object] = []
        self.values = 0

    def refuse(self, rule: str) -> BadInputError:
        return refuse(_place(self.path), rule)

    def count(self, more: int) -> None:
        self.values += more
        if self.values > PAYLOAD_VALUES:
            raise refuse("payload", f"holds more than {PAYLOAD_VALUES} values")

    def check(self, value: object) -> None:
        if value is None or isinstance(value, bool):
            return
        if isinstance(value, str):
            if not _is_valid(value):
                raise self.refuse("not valid Unicode: half of a surrogate pair")
        elif isinstance(value, int):
            if not INT64_MIN <= value <= INT64_MAX:
                raise self.refuse("integers beyond 64 bits are not supported")
        elif isinstance(value, float):
            if not math.isfinite(value):
                raise self.refuse("NaN and infinities have no JSON form")
        elif isinstance(value, dict):
            self.check_dict(value)
        elif isinstance(value, (list, tuple)):
            self.check_list(value)
        else:
            raise self.refuse(f"{kind_of(value)} has no JSON form")

    def check_depth(self) -> None:
        if len(self.path) >= DEPTH:
            raise self.refuse(f"nested deeper than {DEPTH}")

    def check_dict(self, value: dict[Any, Any]) -> None:
        self.check_depth()
        self.count(2 * len(value))
        for key, member in value.items():
            if not isinstance(key, str):
                raise self.refuse(f"a key is {kind_of(key)}, not str")
            if not _is_valid(key):
                raise self.refuse("a key is not valid Unicode: half of a surrogate pair")
            self.path.append(key)
            self.check(member)
            self.path.pop()

    def check_list(self, value: Union[list[Any], tuple[Any, ...]]) -> None:
        self.check_depth()
        self.count(len(value))
        for index, item in enumerate(value):
            self.path.append(index)
            self.check(item)
            self.path.pop()


# --- requests ---


def publication(channel: Channel, payload: Mapping[str, Any], *, publisher: Optional[str] = None,
                key: Optional[str] = None, view: Optional[str] = None, site: Optional[str] = None,
                app: Optional[str] = None) -> tuple[dict[str, Any], int]:
    """{channel, resource?, payload, publisher?, key?, view?, site?, app?}, and how many values that is."""
    request: dict[str, Any] = {}
    _put_target(request, channel, view, site, app)
    if publisher is not None:
        request["publisher"] = short_text(publisher, "publisher", PUBLISHER_BYTES)
    if key is not None:
        if key == "":
            raise refuse("key", "must not be empty")
        request["key"] = short_text(key, "key", KEY_BYTES)
    if not isinstance(payload, dict):
        raise refuse("payload", f"must be a dict, not {kind_of(payload)}")
    checked = _Payload()
    checked.check(payload)
    request["payload"] = payload
    return request, checked.values + 2 * len(request) + 1


def history_request(channel: Channel, limit: int, since: Optional[tuple[str, int]], view: Optional[str],
                    site: Optional[str], app: Optional[str]) -> dict[str, Any]:
    """{channel, resource?, limit, since?, view?, site?, app?}"""
    request: dict[str, Any] = {}
    _put_target(request, channel, view, site, app)
    request["limit"] = check_count(limit, "limit", UINT32_MAX)
    if since is not None:
        if not isinstance(since, tuple) or len(since) != 2:
            raise refuse("since", "must be a tuple of epoch and offset")
        request["since"] = {"epoch": text_of(since[0], "since: epoch"),
                            "offset": check_count(since[1], "since: offset", INT64_MAX)}
    return request


# --- msgpack ---


def pack(value: object) -> bytes:
    data = msgpack.packb(value)
    assert isinstance(data, bytes)
    return data


def now_ms() -> int:
    """What a request says of when it was made: a clock of this process alone."""
    return int(time.monotonic() * 1000)


def pack_request(op: str, number: int, request: Mapping[str, Any]) -> bytes:
    data = pack({"op": op, "id": number, **request})
    if len(data) > REQUEST_BYTES:
        raise TooLargeError(f"request: larger than {REQUEST_BYTES} bytes", outcome="not sent")
    return data


def unpack(data: bytes) -> Any:
    """A reply; None for what is no msgpack."""
    try:
        return msgpack.unpackb(data)
    except Exception:  # noqa: BLE001 - whatever a broker sends, the thread that reads it goes on
        return None
