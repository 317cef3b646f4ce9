"""Where handlers run: in a pool of threads, or on event loops. Never in the link's thread."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections import deque
from queue import SimpleQueue
from typing import Any, Deque, Optional, Protocol

from ._checks import Call, late_error
from .errors import MillraceError

#: A thread goes from batch to batch, so that a slow one leaves room for those behind it.
SLICE = 0.001


class Runner(Protocol):
    def start(self) -> None:
        """There will be something to run."""

    def run(self, calls: list[Call]) -> None:
        """Does not wait."""

    def stop(self) -> None: ...


class _Work:
    """The calls of a batch, for as many threads as there are."""

    def __init__(self, calls: list[Call]) -> None:
        self._calls: Deque[Call] = deque(calls)

    def run(self, seconds: float) -> bool:
        """True: there is more."""
        until = time.monotonic() + seconds
        while self._calls:
            try:
                call = self._calls.popleft()
            except IndexError:  # another thread was faster
                return False
            call.run()
            if time.monotonic() >= until:
                break
        return bool(self._calls)


class Pool:
    """Threads that do not keep the interpreter from ending: a handler may hang for ever."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._threads: list[threading.Thread] = []
        self._work: SimpleQueue[Optional[_Work]] = SimpleQueue()
        self._lock = threading.Lock()

    def start(self) -> None:
        with self._lock:
            for number in range(len(self._threads), self._size):
                thread = threading.Thread(target=self._serve, name=f"millrace-handler-{number}", daemon=True)
                thread.start()
                self._threads.append(thread)

    def run(self, calls: list[Call]) -> None:
        work = _Work(calls)
        for _ in range(min(self._size, len(calls))):
            self._work.put(work)

    def stop(self) -> None:
        with self._lock:
            for _ in self._threads:
                self._work.put(None)
            self._threads = []

    def _serve(self) -> None:
        while (work := self._work.get()) is not None:
            if work.run(SLICE):
                self._work.put(work)


class Loops:
    """Each handler on the loop on which it was registered: coroutines as tasks, plain functions as they are."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._tasks: set[asyncio.Task[None]] = set()  # a loop alone does not keep them

    def start(self) -> None:
        pass

    def run(self, calls: list[Call]) -> None:
        loops: dict[asyncio.AbstractEventLoop, list[Call]] = {}
        for call in calls:
            assert call.handler.loop is not None
            loops.setdefault(call.handler.loop, []).append(call)
        for loop, some in loops.items():
            try:
                loop.call_soon_threadsafe(self._start, loop, some)
            except RuntimeError:
                for call in some:
                    call.fail(MillraceError("the event loop on which the permission handler was registered is closed",
                                            status=503, code="no_handler"))

    def stop(self) -> None:
        pass

    def _start(self, loop: asyncio.AbstractEventLoop, calls: list[Call]) -> None:
        for call in calls:
            if call.is_decided:
                continue
            try:
                value = call.handler.ask(call.question)
            except Exception as error:  # noqa: BLE001 - whatever the program raises
                call.fail(error)
                continue
            except BaseException as error:
                call.fail(error)
                raise
            if inspect.isawaitable(value):
                task = loop.create_task(self._wait(call, value))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            else:
                call.accept(value)

    async def _wait(self, call: Call, value: Any) -> None:
        left = max(0.0, call.batch.deadline - time.monotonic())
        try:
            async with asyncio.timeout(left) as limit:
                result = await value
        except Exception as error:  # noqa: BLE001 - whatever the program raises
            call.fail(late_error(self._timeout) if limit.expired() else error)
        except BaseException as error:  # cancelled, by the program or with the loop
            call.fail(error)
            raise
        else:
            call.accept(result)
