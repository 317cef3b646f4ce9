"""A broker for tests: a ROUTER socket in a thread that does as the test says, can break connections and be
started anew at the same address."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any, Callable, Deque, Optional

import msgpack
import zmq

PATIENCE = 10.0
Map = dict[str, Any]


class Broker:
    """Answers pings and, with `reply`, everything else: reply(request) -> what is to be merged into the answer,
    None: no answer."""

    def __init__(self) -> None:
        self.requests: list[tuple[bytes, Map]] = []  # all but pings, with who sent them
        self.reply: Callable[[Map], Optional[Map]] = lambda request: {"ok": True, "removed": 0}
        self.instance = "a"
        self._heard = threading.Condition()
        self._todo: Deque[Callable[[], None]] = deque()
        self._port: Optional[int] = None
        self._ends = False
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket: Optional[zmq.Socket[bytes]] = None
        self._bind()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> Broker:
        return self

    def __exit__(self, *_: object) -> None:
        self._ends = True
        self._thread.join()
        self._context.destroy(0)

    @property
    def endpoint(self) -> str:
        return f"tcp://127.0.0.1:{self._port}"

    # --- its thread ---

    def _bind(self) -> None:
        router: zmq.Socket[bytes] = self._context.socket(zmq.ROUTER)
        router.setsockopt(zmq.LINGER, 0)
        if self._port is None:
            self._port = router.bind_to_random_port("tcp://127.0.0.1")
        else:
            self._again(lambda: router.bind(self.endpoint))
        self._socket = router

    def _again(self, action: Callable[[], object]) -> None:
        """ZeroMQ gives a port back a moment after the socket was closed."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                action()
                return
            except zmq.ZMQError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.01)

    def _unbind(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    def _serve(self) -> None:
        while not self._ends:
            while self._todo:
                self._todo.popleft()()
            if self._socket is None or not self._socket.poll(5):
                continue
            who, data = self._socket.recv_multipart()
            self._take(who, msgpack.unpackb(data))

    def _take(self, who: bytes, request: Map) -> None:
        if request["op"] == "ping":
            self._send(who, {"id": request["id"], "ok": True, "instance": self.instance})
            return
        answer = None if request["op"] == "answer" else self.reply(request)
        with self._heard:
            self.requests.append((who, request))
            self._heard.notify_all()
        if answer is not None:
            self._send(who, {"id": request["id"], **answer})

    def _send(self, who: bytes, frame: object) -> None:
        if self._socket is not None:
            self._socket.send_multipart([who, frame if isinstance(frame, bytes) else msgpack.packb(frame)])

    # --- for the test ---

    def _do(self, action: Callable[[], None]) -> None:
        done = threading.Event()
        self._todo.append(action)
        self._todo.append(done.set)
        assert done.wait(PATIENCE)

    def stop(self) -> None:
        self._do(self._unbind)

    def start(self, instance: str) -> None:
        self.instance = instance
        self._do(self._bind)

    def drop_connections(self) -> None:
        """The same broker, and none of the connections that it had."""
        self._todo.append(self._unbind)
        self._do(self._bind)

    def send(self, who: bytes, frame: object) -> None:
        self._do(lambda: self._send(who, frame))

    def check(self, who: bytes, number: int, *checks: Any) -> None:
        self.send(who, {"op": "check", "id": number, "checks": list(checks)})

    def of(self, op: str) -> list[Map]:
        with self._heard:
            return [request for _, request in self.requests if request["op"] == op]

    def wait(self, op: str, count: int = 1, seconds: float = PATIENCE) -> Map:
        """The last of so many requests."""
        with self._heard:
            assert self._heard.wait_for(lambda: len([1 for _, at in self.requests if at["op"] == op]) >= count, seconds), \
                f"{count} times {op!r} in {[at for _, at in self.requests]}"
        return self.of(op)[count - 1]

    def worker(self) -> bytes:
        """Who has registered last."""
        with self._heard:
            return [who for who, request in self.requests if request["op"] == "handle"][-1]

    def ask(self, *checks: Any, number: int = 7, seconds: float = PATIENCE) -> list[Map]:
        """What the worker answers."""
        before = len(self.of("answer"))
        self.check(self.worker(), number, *checks)
        answer = self.wait("answer", before + 1, seconds)
        assert answer["id"] == number
        answers: list[Map] = answer["answers"]
        return answers


def check(channel: str = "chat", resource: Optional[str] = None, who: str = "u1", kind: str = "MEMBER",
          **more: Any) -> Map:
    made: Map = {"channel": channel, "subscriber": {"id": who, "type": kind}, "site": "main", "app": "",
                 "context": {"request_id": "r1"}, **more}
    if resource is not None:
        made["resource"] = resource
    return made


def refusal(status: int, code: str, message: str) -> Map:
    return {"ok": False, "error": {"status": status, "code": code, "message": message}}
