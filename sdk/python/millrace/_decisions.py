"""Permission handlers, what they may decide, and the answers that this becomes."""

from __future__ import annotations

import inspect
from asyncio import AbstractEventLoop
from dataclasses import dataclass
from typing import Any, Awaitable, Callable, Mapping, Optional, Union

from ._permissions import CheckContext, Question, Subscriber
from ._rules import ChannelAddress, kind_of, refuse
from .errors import BadInputError, MillraceError

TTL_MAX = 30 * 86400
MESSAGE_BYTES = 256


@dataclass(frozen=True)
class Decision:
    """May they read, and for how many seconds does that hold? Without a ttl, as long as the subscription lives;
    0: every message is asked about."""

    read: bool
    ttl: Optional[float] = None


#: What a handler returns: a Decision, {"read": bool, "ttl"?: seconds}, or the bare bool.
Verdict = Union[Decision, Mapping[str, object], bool]

Handler = Union[
    Callable[[ChannelAddress, Subscriber, CheckContext], Verdict],
    Callable[[ChannelAddress, Subscriber], Verdict],
]
AsyncHandler = Union[
    Handler,
    Callable[[ChannelAddress, Subscriber, CheckContext], Awaitable[Verdict]],
    Callable[[ChannelAddress, Subscriber], Awaitable[Verdict]],
]
Answer = dict[str, Any]


# --- handlers ---


def _wants_context(function: Callable[..., object]) -> bool:
    """A third argument with a default is the handler's own, unless it is called context."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # written in C: it has to take what there is
        return True
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    places = [at for at in signature.parameters.values() if at.kind in kinds]
    has_rest = any(at.kind is inspect.Parameter.VAR_POSITIONAL for at in signature.parameters.values())
    is_third = (places[2].default is inspect.Parameter.empty or places[2].name == "context") if len(places) > 2 else has_rest
    try:
        signature.bind(*[None] * (3 if is_third else 2))
    except TypeError:
        raise refuse("handler", "must take (channel, subscriber) or (channel, subscriber, context)") from None
    return is_third


def is_coroutine_function(function: object) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))


class Registered:
    """A handler's function; `loop` is the one on which it runs, None: in the pool of threads."""

    __slots__ = ("_function", "_wants_context", "loop")

    def __init__(self, function: object, loop: Optional[AbstractEventLoop] = None) -> None:
        if not callable(function):
            raise refuse("handler", f"must be a function, not {kind_of(function)}")
        if loop is None and is_coroutine_function(function):
            raise refuse("handler", "a coroutine function needs AsyncBackend")
        self._function: Callable[..., Any] = function
        self._wants_context = _wants_context(function)
        self.loop = loop

    def ask(self, question: Question) -> Any:
        if self._wants_context:
            return self._function(question.channel, question.subscriber, question.context)
        return self._function(question.channel, question.subscriber)


# --- decisions ---


def _broken(rule: str) -> MillraceError:
    return MillraceError(f"the permission handler broke a rule: {rule}", status=503, code="bad_decision")


def decision_of(value: object) -> Decision:
    """A word that is not known is refused: a ttl with a typing error would be a grant for ever."""
    if isinstance(value, bool):
        return Decision(value)
    if isinstance(value, Decision):
        return _checked(value.read, value.ttl, value.ttl is not None)
    if not isinstance(value, Mapping):
        if inspect.iscoroutine(value):
            value.close()  # nobody will await it
        raise _broken(f"it must return a Decision, a mapping with read, or a bool, not {kind_of(value)}")
    for key in value:
        if key not in ("read", "ttl"):
            raise _broken(f"there is no {key!r}, only read, ttl")
    return _checked(value.get("read"), value.get("ttl"), "ttl" in value)


def _checked(read: object, ttl: object, has_ttl: bool) -> Decision:
    if not isinstance(read, bool):
        raise _broken(f"read must be a bool, not {kind_of(read)}")
    if not has_ttl:
        return Decision(read)
    # The comparison is false for NaN.
    if isinstance(ttl, bool) or not isinstance(ttl, (int, float)) or not 0 <= ttl <= TTL_MAX:
        raise _broken(f"ttl must be a number of seconds from 0 to {TTL_MAX}")
    return Decision(read, ttl)


# --- answers ---


def answer_of(decision: Decision) -> Answer:
    return {"read": decision.read} if decision.ttl is None else {"read": decision.read, "ttl": decision.ttl}


def _cut(text: str) -> str:
    """At most MESSAGE_BYTES of its first line, and no half of a character."""
    line = (text.splitlines() or [""])[0]
    return line.encode("utf-8", "replace")[:MESSAGE_BYTES].decode("utf-8", "ignore")


def message_of(error: BaseException) -> str:
    """Errors may be anything, also something that fails when it is looked at."""
    try:
        text = str(error)
        return _cut(text if isinstance(error, MillraceError) else f"{type(error).__name__}: {text}".rstrip(": "))
    except Exception:  # noqa: BLE001 - a __str__ of the program
        return type(error).__name__[:64]


def error_answer(error: BaseException) -> Answer:
    status = 400 if isinstance(error, BadInputError) else 503
    return {"error": {"status": status, "message": message_of(error) or "the permission handler failed"}}
