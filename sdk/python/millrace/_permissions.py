"""What requests about permissions must obey, and what the broker's checks must look like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Mapping, Optional, TypedDict, Union

from ._rules import Channel, ChannelAddress, kind_of, put_channel, put_id, refuse, short_text, text_of
from .errors import MillraceError

CHECKS = 256
SUBSCRIBER_BYTES = 256
REASON_BYTES = 100
UINT64_MAX = 2**64 - 1
TYPES = ("ADMIN", "MEMBER", "VISITOR")

SubscriberType = Literal["ADMIN", "MEMBER", "VISITOR"]
RevokeMode = Literal["recheck", "deny"]


class Subscriber(TypedDict):
    """Who wants to read. The id of a visitor may be empty."""

    id: str
    type: SubscriberType


class _SubscriberId(TypedDict):
    id: str


class SubscriberFilter(_SubscriberId, total=False):
    """Whom a request means; without a type, the id whatever its type."""

    type: Optional[SubscriberType]


#: The same, or only the id.
SubscriberTarget = Union[str, Subscriber, SubscriberFilter]


@dataclass(frozen=True)
class CheckContext:
    """request_id names the attempt, for logs. app: whose channel it is, empty: the site's own.
    requesting_app: whose code subscribes, where that is known."""

    request_id: str
    site: str
    app: str = ""
    requesting_app: Optional[str] = None


@dataclass(frozen=True)
class Place:
    """Where a handler stands. `level` is {channel?, resource?} as the broker reads it: empty for the default
    handler. The site is only for the broker: a connection acts for one."""

    level: Mapping[str, str]
    site: Optional[str] = None
    app: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        return self.app, self.level.get("channel", ""), self.level.get("resource", "")

    def __str__(self) -> str:
        return address_text(self.level["channel"], self.level.get("resource", "")) if self.level else "default"


def address_text(name: str, resource: str) -> str:
    return f"{name}:{resource}" if resource else name


def channel_address(name: str, resource: str) -> ChannelAddress:
    return {"name": name, "resourceId": resource} if resource else {"name": name}


def place(channel: Optional[Channel], site: Optional[str], app: Optional[str]) -> Place:
    """channel None: the default handler's."""
    level: dict[str, str] = {}
    if channel is not None:
        put_channel(level, channel)
    target: dict[str, str] = {}
    put_id(target, "site", site)
    put_id(target, "app", app)
    return Place(level, site, app or "")


# --- requests ---


def _subscriber_type(value: object, where: str) -> SubscriberType:
    for name in TYPES:
        if value == name:
            return name  # type: ignore[return-value]
    raise refuse(where, f"must be {', '.join(map(repr, TYPES))}")


def _subscriber(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise refuse(where, f"must be a mapping with id and type, not {kind_of(value)}")
    for key in value:
        if key not in ("id", "type"):
            raise refuse(where, f"there is no {key!r}, only id, type")
    return value


def subscriber_of(value: object) -> Subscriber:
    subscriber = _subscriber(value, "subscriber")
    return {"id": short_text(subscriber.get("id"), "subscriber.id", SUBSCRIBER_BYTES),
            "type": _subscriber_type(subscriber.get("type"), "subscriber.type")}


def _put_subscriber(request: dict[str, Any], value: SubscriberTarget) -> None:
    subscriber: Mapping[str, Any] = {"id": value} if isinstance(value, str) else _subscriber(value, "subscriber")
    request["subscriber"] = {"id": short_text(subscriber.get("id"), "subscriber.id", SUBSCRIBER_BYTES)}
    if subscriber.get("type") is not None:
        request["subscriber"]["type"] = _subscriber_type(subscriber["type"], "subscriber.type")


def revocation(channel: Optional[Channel], subscriber: Optional[SubscriberTarget], mode: RevokeMode,
               site: Optional[str], app: Optional[str]) -> dict[str, Any]:
    """{channel?, resource?, subscriber?, mode, site?, app?}. A channel without a resourceId is the channel
    with all its resources; with an empty one it is the channel alone."""
    if channel is None and subscriber is None:
        raise refuse("revoke", "a channel or a subscriber must be given")
    if mode not in ("recheck", "deny"):
        raise refuse("mode", "must be 'recheck' or 'deny'")
    request: dict[str, Any] = {"mode": mode}
    if channel is not None:
        put_channel(request, channel)
        if isinstance(channel, Mapping) and channel.get("resourceId") == "":
            request["resource"] = ""
    if subscriber is not None:
        _put_subscriber(request, subscriber)
    put_id(request, "site", site)
    put_id(request, "app", app)
    return request


def disconnection(subscriber: SubscriberTarget, reason: Optional[str], site: Optional[str]) -> dict[str, Any]:
    """{subscriber, reason?, site?}"""
    request: dict[str, Any] = {}
    _put_subscriber(request, subscriber)
    if reason is not None:
        if reason == "":
            raise refuse("reason", "must not be empty")
        request["reason"] = short_text(reason, "reason", REASON_BYTES)
    put_id(request, "site", site)
    return request


# --- what the broker asks ---


@dataclass(frozen=True)
class Question:
    """One check of the broker, as a handler sees it."""

    channel: ChannelAddress
    subscriber: Subscriber
    context: CheckContext

    @property
    def resource(self) -> str:
        return self.channel.get("resourceId") or ""

    def __str__(self) -> str:
        address = address_text(self.channel["name"], self.resource)
        return f"{address!r} for {self.subscriber['type']} {self.subscriber['id']!r}"


def _unreadable(error: MillraceError) -> MillraceError:
    return MillraceError(f"the broker's check cannot be read: {error.message}", status=503, code="unreadable")


def checks_of(frame: Mapping[str, Any]) -> tuple[int, list[Any]]:
    """The id and the checks of a frame; each may still be unreadable in itself."""
    number, checks = frame.get("id"), frame.get("checks")
    try:
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= UINT64_MAX:
            raise refuse("id", f"must be an unsigned integer, not {kind_of(number)}")
        if not isinstance(checks, list):
            raise refuse("checks", f"must be an array, not {kind_of(checks)}")
        if len(checks) > CHECKS:
            raise refuse("checks", f"more than {CHECKS}")
    except MillraceError as error:
        raise _unreadable(error) from None
    return number, checks


def _optional(check: Mapping[str, Any], key: str) -> str:
    value = check.get(key)
    return "" if value is None else text_of(value, key)


def question_of(check: object) -> Question:
    try:
        if not isinstance(check, dict):
            raise refuse("check", f"must be a map, not {kind_of(check)}")
        name = text_of(check.get("channel"), "channel")
        who, about = check.get("subscriber"), check.get("context")
        subscriber: Subscriber = {
            "id": text_of(who.get("id"), "subscriber.id"),
            "type": _subscriber_type(who.get("type"), "subscriber.type"),
        } if isinstance(who, dict) else subscriber_of(who)
        requesting_app = check.get("requesting_app")
        context = CheckContext(
            _optional(about, "request_id") if isinstance(about, dict) else "", _optional(check, "site"),
            _optional(check, "app"), None if requesting_app is None else text_of(requesting_app, "requesting_app"))
        return Question(channel_address(name, _optional(check, "resource")), subscriber, context)
    except MillraceError as error:
        raise _unreadable(error) from None
