"""Publish to Millrace channels from Python, and decide who may read them.

    from millrace import publish
    publish({"name": "chat", "resourceId": "room"}, {"text": "hello"})

    from millrace import permissions_router
    permissions_router.add("chat", lambda channel, subscriber: subscriber["type"] != "VISITOR")

Backend is a connection of its own, AsyncBackend the same for asyncio. See README.md.
"""

from ._aio import AsyncBackend
from ._backend import Backend, disconnect, permissions_router, publish, revoke
from ._decisions import AsyncHandler, Decision, Handler, Verdict
from ._link import State
from ._permissions import CheckContext, RevokeMode, Subscriber, SubscriberFilter, SubscriberTarget, SubscriberType
from ._results import Disconnected, History, HistoryPublication, Item, Published, Result, Revoked
from ._router import AsyncPermissionsRouter, PermissionsRouter, Registration
from ._rules import Channel, ChannelAddress
from .errors import (
    BadInputError, ClosedError, ConflictError, DisconnectedError, ForbiddenError, HandlerError, MillraceError,
    NotFoundError, Outcome, OverloadedError, TimeoutError, TooLargeError,
)

__version__ = "0.1.0"

__all__ = [
    "AsyncBackend", "AsyncHandler", "AsyncPermissionsRouter", "Backend", "BadInputError", "Channel", "ChannelAddress",
    "CheckContext", "ClosedError", "ConflictError", "Decision", "Disconnected", "DisconnectedError", "ForbiddenError",
    "Handler", "HandlerError", "History", "HistoryPublication", "Item", "MillraceError", "NotFoundError", "Outcome",
    "OverloadedError", "PermissionsRouter", "Published", "Registration", "Result", "RevokeMode", "Revoked", "State", "Subscriber",
    "SubscriberFilter", "SubscriberTarget", "SubscriberType", "TimeoutError", "TooLargeError", "Verdict", "disconnect",
    "permissions_router", "publish", "revoke",
]
