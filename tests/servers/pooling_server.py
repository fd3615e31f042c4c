"""A loopback server that speaks vLLM's pooling API, with faults that a test scripts.

It answers as vLLM 0.32 was seen to: one bad text fails its whole request, a NaN in
plain JSON fails it too, and the key guards `/v1` only.
"""

from __future__ import annotations

import base64
import json
import math
import socket
import struct
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Body = dict[str, Any]
HTML = "<html><body>Sign in</body></html>"


def by_sum(texts: list[list[int]]) -> list[float]:
    """Score by the ids' sum: quick, different for most texts, beyond [0, 1]."""
    return [(sum(ids) % 997) / 100 - 3 for ids in texts]


@dataclass
class Fault:
    """What happens to one `/pooling` request instead of its answer.

    Attributes:
        kind: `status`, `hang`, `drip` (a byte now and then), `reset` (before the
            answer), `cut` (amid it), `echo` (403 with the key), `html`, `count`,
            `nan`, `null`, `wide`, `index`, `text`.
        status: Of kind `status`.
        headers: Sent along.
    """

    kind: str
    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Behaviour:
    """What the server does; a test sets what it needs.

    Attributes:
        score: Raw scores of token ids.
        faults: Of the next `/pooling` requests, one each; None answers.
        fault_if: Asked before `faults`.
        models: Cards of `/v1/models`.
        limit: Longest text.
        vocabulary: Ids from here on are refused.
        key: Guards `/v1`.
        guards_all: Guard every path, as a proxy does.
        switch: The option that turns the activation off; None: it cannot be.
        activates: Whether the model has an activation at all.
        template: Ids of messages at `/tokenize`; None: there is no such path.
        healthy: What `/health` says.
        extra_tokens: Added to the count of what was read.
    """

    score: Callable[[list[list[int]]], list[float]] = by_sum
    faults: list[Fault | None] = field(default_factory=list)
    fault_if: Callable[[Body], Fault | None] = lambda body: None
    models: list[Body] = field(default_factory=list)
    limit: int = 512
    vocabulary: int = 1 << 20
    key: str = ""
    guards_all: bool = False
    switch: str | None = "use_activation"
    activates: bool = True
    template: Callable[[Body], list[int]] | None = None
    healthy: bool = True
    extra_tokens: int = 0


class PoolingServer:
    """A running server: its address, its behaviour, and what it was asked."""

    def __init__(self, port: int = 0) -> None:
        self.does = Behaviour()
        self.pooled: list[Body] = []
        self.paths: list[str] = []
        self.tokens = 0
        self.keys: list[str | None] = []
        self._lock = threading.Lock()
        self._over = threading.Event()
        handler = type("Handler", (_Handler,), {"pool": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self._http.daemon_threads = True
        self.port = self._http.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self._sockets: set[socket.socket] = set()

    def start(self) -> None:
        threading.Thread(
            target=self._http.serve_forever, args=(0.02,), daemon=True
        ).start()

    def stop(self) -> None:
        """Refuse from now on, and cut the connections that are open."""
        self._over.set()
        self._http.shutdown()
        self._http.server_close()
        with self._lock:
            for one in self._sockets:
                try:
                    one.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue

    def _answer(self, path: str, body: Body | None) -> tuple[int, Any]:
        does = self.does
        if path == "/health":
            return (200, "") if does.healthy else (503, "")
        if path == "/metrics":
            return 200, f"vllm:prompt_tokens_total {self.tokens}\n"
        if path == "/v1/models":
            cards = does.models or [{"id": "rm", "max_model_len": does.limit}]
            return 200, {"object": "list", "data": cards}
        if path == "/tokenize" and does.template and body:
            ids = does.template(body)
            return 200, {
                "count": len(ids),
                "max_model_len": does.limit,
                "tokens": ids,
            }
        if path == "/pooling" and body:
            return self._pool(body)
        return 404, {"detail": "Not Found"}

    def _pool(self, body: Body) -> tuple[int, Any]:
        does = self.does
        texts = body["input"]
        names = [c["id"] for c in does.models] or ["rm"]
        if body.get("model") not in names:
            return _error(404, f"The model `{body.get('model')}` does not exist.")
        if not texts:
            return _error(400, "You must pass at least one prompt")
        for ids in texts:
            if not ids:
                return _error(400, "The decoder prompt cannot be empty")
            if len(ids) > does.limit:
                return _error(
                    400, f"This model's maximum context length is {does.limit} tokens."
                )
            if max(ids) >= does.vocabulary:
                return _error(400, f"Token id {max(ids)} is out of vocabulary")
        values = does.score(texts)
        off = does.switch is not None and body.get(does.switch) is False
        if does.activates and not off:
            values = [1 / (1 + math.exp(-v)) for v in values]
        return self._packed(body, values)

    def _packed(self, body: Body, values: list[float]) -> tuple[int, Any]:
        if body.get("encoding_format") == "base64":
            data: list[Any] = [
                base64.b64encode(struct.pack("<f", v)).decode() for v in values
            ]
        elif any(not math.isfinite(v) for v in values):
            return _error(400, "Out of range float values are not JSON compliant: nan")
        else:
            data = [[v] for v in values]
        count = sum(map(len, body["input"]))
        with self._lock:
            self.tokens += count
        count += self.does.extra_tokens
        rows = [
            {"index": i, "object": "pooling", "data": d} for i, d in enumerate(data)
        ]
        usage = {"prompt_tokens": count, "total_tokens": count, "completion_tokens": 0}
        # Out of order: clients must go by the index.
        return 200, {"object": "list", "data": rows[::-1], "usage": usage}

    def _spoilt(self, fault: Fault, body: Body) -> tuple[int, Any]:
        if fault.kind == "status":
            return _error(fault.status, f"fault {fault.status}")
        if fault.kind == "html":
            return 200, HTML
        status, answer = self._answer("/pooling", body)
        rows = answer["data"]
        if fault.kind == "count":
            rows.pop()
        elif fault.kind == "index":
            rows[0]["index"] = rows[-1]["index"]
        elif fault.kind == "nan":
            rows[-1]["data"] = base64.b64encode(struct.pack("<f", math.nan)).decode()
        elif fault.kind == "null":
            rows[-1]["data"] = [None]
        elif fault.kind == "wide":
            rows[-1]["data"] = base64.b64encode(struct.pack("<2f", 1.0, 2.0)).decode()
        elif fault.kind == "text":
            rows[-1]["data"] = "not base64!"
        return status, answer


class _Handler(BaseHTTPRequestHandler):
    pool: PoolingServer

    protocol_version = "HTTP/1.1"
    # One segment a reply: header and body apart wait for a delayed ACK.
    wbufsize = -1
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        with self.pool._lock:
            self.pool._sockets.add(self.connection)

    def finish(self) -> None:
        with self.pool._lock:
            self.pool._sockets.discard(self.connection)
        super().finish()

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            # The client gave up, or the test ended with a call under way.
            self.close_connection = True

    def do_GET(self) -> None:
        self._serve(None)

    def do_POST(self) -> None:
        size = int(self.headers["content-length"])
        self._serve(json.loads(self.rfile.read(size)))

    def _serve(self, body: Body | None) -> None:
        does = self.pool.does
        fault = None
        with self.pool._lock:
            self.pool.paths.append(self.path)
            self.pool.keys.append(self.headers.get("authorization"))
            if self.path == "/pooling" and body is not None:
                self.pool.pooled.append(body)
                fault = does.fault_if(body)
                if fault is None and does.faults:
                    fault = does.faults.pop(0)
        given = self.headers.get("authorization") == f"Bearer {does.key}"
        guarded = does.guards_all or self.path.startswith("/v1")
        if does.key and guarded and not given:
            self._reply(401, {"error": "Unauthorized"}, {})
        elif fault and fault.kind == "hang":
            self.pool._over.wait(10)
            self.close_connection = True
        elif fault and fault.kind == "reset":
            self._reset()
        elif fault and fault.kind == "echo":
            said = f"bad header {self.headers.get('authorization')}"
            self._reply(*_error(403, said), {})
        elif fault and fault.kind == "drip":
            self._drip()
        elif fault and body is not None and fault.kind != "cut":
            self._reply(*self.pool._spoilt(fault, body), fault.headers)
        else:
            self._reply(*self.pool._answer(self.path, body), {}, cut=fault is not None)

    def _reply(
        self, status: int, answer: Any, headers: dict[str, str], cut=False
    ) -> None:
        page = isinstance(answer, str)
        data = (answer if page else json.dumps(answer)).encode()
        self.send_response(status)
        self.send_header("content-type", "text/html" if page else "application/json")
        self.send_header("content-length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if cut else data)
        self.wfile.flush()
        if cut:
            self._reset()

    def _drip(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "1000")
        self.end_headers()
        for _ in range(200):
            self.wfile.write(b" ")
            self.wfile.flush()
            if self.pool._over.wait(0.05):
                break
        self.close_connection = True

    def _reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        self.connection.close()

    def log_message(self, *args: object) -> None:
        """Stay silent."""


def _error(status: int, message: str) -> tuple[int, Body]:
    error = {"message": message, "type": "BadRequestError", "param": None}
    return status, {"error": {**error, "code": status}}


@contextmanager
def pooling(port: int = 0) -> Iterator[PoolingServer]:
    """Run a server until the block ends."""
    server = PoolingServer(port)
    server.start()
    try:
        yield server
    finally:
        server.stop()
