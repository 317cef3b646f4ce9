"""What requests return."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping, Optional, TypedDict, Union

from ._rules import Channel
from .errors import MillraceError, refused

Reply = dict[str, Any]


@dataclass(frozen=True)
class Published:
    """Where a message stands in its channel. The epoch (16 hexadecimal digits) says which life of the
    stream; positions of two epochs cannot be compared. duplicate: the key was used before for this
    message; it was published then, and not again now."""

    epoch: str
    offset: int
    duplicate: bool = False


@dataclass(frozen=True)
class HistoryPublication:
    offset: int
    payload: dict[str, Any]
    publisher: Optional[str] = None


@dataclass(frozen=True)
class History:
    publications: list[HistoryPublication]
    epoch: str
    offset: int


class _Item(TypedDict):
    channel: Channel
    payload: dict[str, Any]


class Item(_Item, total=False):
    """One of publish_many."""

    publisher: Optional[str]
    key: Optional[str]
    view: Optional[str]
    site: Optional[str]
    app: Optional[str]


#: Of each item of publish_many.
Result = Union[Published, MillraceError]


@dataclass(frozen=True)
class Revoked:
    """How many subscriptions it concerned, how many of them ended, and how many gateways have not confirmed
    in time: with 0 it holds everywhere."""

    affected: int
    ended: int
    unconfirmed: int


@dataclass(frozen=True)
class Disconnected:
    """How many connections were closed, and how many gateways have not confirmed in time."""

    affected: int
    unconfirmed: int


def accepted(reply: Reply) -> Reply:
    if not reply["ok"]:
        raise refused(reply["error"])
    return reply


def unreadable(error: Exception) -> MillraceError:
    return MillraceError(f"the broker's reply cannot be read: {error!r}", code="unreadable", outcome="unknown")


def published(reply: Mapping[str, Any]) -> Published:
    return Published(reply["epoch"], reply["offset"], reply.get("duplicate", False))


def history(reply: Mapping[str, Any]) -> History:
    publications = [
        HistoryPublication(at["offset"], at["payload"], at["publisher"]["id"] if "publisher" in at else None)
        for at in reply["publications"]
    ]
    return History(publications, reply["epoch"], reply["offset"])


def revoked(reply: Mapping[str, Any]) -> Revoked:
    return Revoked(reply["affected"], reply["ended"], reply["unconfirmed"])


def disconnected(reply: Mapping[str, Any]) -> Disconnected:
    return Disconnected(reply["affected"], reply["unconfirmed"])
