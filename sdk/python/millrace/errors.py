"""What can go wrong. Every error of this package is a MillraceError."""

from __future__ import annotations

import builtins
from typing import Any, Literal, Mapping, Type

__all__ = [
    "BadInputError", "ClosedError", "ConflictError", "DisconnectedError", "ForbiddenError",
    "HandlerError", "MillraceError", "NotFoundError", "Outcome", "OverloadedError", "TimeoutError", "TooLargeError",
]

#: "refused": the broker, or the check before it, said no: nothing was published.
#: "not sent": the request never left this process: nothing was published.
#: "unknown": it was sent and no answer came: it may have been published, or not.
Outcome = Literal["refused", "not sent", "unknown"]


class MillraceError(Exception):
    """`status` as in HTTP, `code` a stable word for programs, `message` what and where,
    `outcome` whether something was published."""

    status: int = 500
    code: str = "internal"

    def __init__(self, message: str, *, outcome: Outcome = "refused",
                 status: int | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.outcome: Outcome = outcome
        if status is not None:
            self.status = status
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        return self.message


class BadInputError(MillraceError, ValueError):
    """A rule is broken; the message says which, and where."""

    status, code = 400, "bad_input"


class ForbiddenError(MillraceError):
    """This endpoint may not do that: another site, app or view, or the operation."""

    status, code = 403, "forbidden"


class NotFoundError(MillraceError):
    status, code = 404, "not_found"


class ConflictError(MillraceError):
    """The key was used for another publication; or a position is one of another epoch."""

    status, code = 409, "conflict"


class TooLargeError(MillraceError):
    """The payload or the whole request is larger than allowed."""

    status, code = 413, "too_large"


class OverloadedError(MillraceError):
    """Too much at once (429), at the broker or in this process, or the broker has no room (503), or its disk (507)."""

    status, code = 503, "unavailable"


class TimeoutError(MillraceError, builtins.TimeoutError):
    """No answer in time."""

    status, code = 504, "timeout"


class DisconnectedError(MillraceError, ConnectionError):
    """The connection broke before the answer came."""

    status, code = 503, "disconnected"


class ClosedError(MillraceError):
    """close() was called, or the process was forked."""

    status, code = 503, "closed"


class HandlerError(MillraceError):
    """A permission handler failed, or could not be registered. It goes to on_handler_error; `__cause__` is
    what was raised."""

    status, code = 503, "handler"


_BY_STATUS: dict[int, Type[MillraceError]] = {
    400: BadInputError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    413: TooLargeError,
    429: OverloadedError,
    503: OverloadedError,
    507: OverloadedError,
}


def refused(error: Mapping[str, Any]) -> MillraceError:
    """The error of a reply: {status, code, message}."""
    kind = _BY_STATUS.get(error["status"], MillraceError)
    # The broker's store has failed, and cannot tell.
    outcome: Outcome = "unknown" if error["code"] == "in_doubt" else "refused"
    return kind(error["message"], status=error["status"], code=error["code"], outcome=outcome)
