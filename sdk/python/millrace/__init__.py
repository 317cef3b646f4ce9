"""Publish to Millrace channels from Python.

    from millrace import publish
    publish({"name": "chat", "resourceId": "room"}, {"text": "hello"})

Backend is a connection of its own, AsyncBackend the same for asyncio. See README.md.
"""

from ._aio import AsyncBackend
from ._backend import Backend, publish
from ._results import History, HistoryPublication, Item, Published, Result
from ._rules import Channel, ChannelAddress
from .errors import (
    BadInputError, ClosedError, ConflictError, DisconnectedError, ForbiddenError, MillraceError, NotFoundError,
    Outcome, OverloadedError, TimeoutError, TooLargeError,
)

__version__ = "0.1.0"

__all__ = [
    "AsyncBackend", "Backend", "BadInputError", "Channel", "ChannelAddress", "ClosedError", "ConflictError",
    "DisconnectedError", "ForbiddenError", "History", "HistoryPublication", "Item", "MillraceError", "NotFoundError",
    "Outcome", "OverloadedError", "Published", "Result", "TimeoutError", "TooLargeError", "publish",
]
