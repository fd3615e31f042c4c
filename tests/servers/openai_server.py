"""An OpenAI-compatible chat server on loopback whose behaviour a test scripts.

Run as a script it serves on a free port, prints its base URL, and stays up until its
input closes: benchmarks need it in a process of its own.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Body = dict[str, Any]
HTML = "<html><body>Bad gateway</body></html>"


def tool_call(name: str, arguments: str, id_: str = "call_1") -> Body:
    """Write an assistant message with one tool call, its arguments as they are sent."""
    function = {"name": name, "arguments": arguments}
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": id_, "type": "function", "function": function}],
    }


@dataclass
class Script:
    """What the server does; a test sets what it needs.

    Attributes:
        answer: Called with the request's body and the choice's number.
        latency: Seconds before each reply.
        fail: Statuses of the next requests, one each; 200 answers.
        fail_if: Status for this body, or None; asked before `fail`.
        error: Message of an error reply.
        html: Reply with a page instead of JSON, status 200.
        no_choices: `"empty"`, `"null"` or `"missing"`.
        ignores_n: Answer once whatever `n` is.
        caps_n: Answer at most so many choices.
        refuses: Options refused with 400.
        refusal: Text of the refusal, with `{name}`.
        refusal_status: Status of the refusal.
        finish_reason: Of the choice by number; "stop" where it is absent.
        logprobs: Log-probability of each token, where the request asks for them.
    """

    answer: Callable[[Body, int], str | Body] = lambda body, i: f"answer {i}"
    latency: float = 0.0
    fail: list[int] = field(default_factory=list)
    fail_if: Callable[[Body], int | None] = lambda body: None
    error: str = "boom"
    html: bool = False
    no_choices: str = ""
    ignores_n: bool = False
    caps_n: int = 10_000
    refuses: set[str] = field(default_factory=set)
    refusal: str = "Unsupported parameter: '{name}'."
    refusal_status: int = 400
    finish_reason: dict[int, str] = field(default_factory=dict)
    logprobs: float = -0.5


class OpenAIServer:
    """A running server: its URL, its script, and what it was asked."""

    def __init__(self) -> None:
        self.script = Script()
        self.requests: list[Body] = []
        self.most_in_flight = 0
        self._in_flight = 0
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"

    def start(self) -> None:
        threading.Thread(
            target=self._http.serve_forever, args=(0.02,), daemon=True
        ).start()

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # One segment a reply: header and body apart wait for a delayed ACK.
            wbufsize = -1
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                with server._lock:
                    server.requests.append(body)
                    server._in_flight += 1
                    server.most_in_flight = max(
                        server.most_in_flight, server._in_flight
                    )
                try:
                    status, reply = server._reply(body)
                finally:
                    with server._lock:
                        server._in_flight -= 1
                page = isinstance(reply, str)
                data = (reply if page else json.dumps(reply)).encode()
                kind = "text/html" if page else "application/json"
                try:
                    self.send_response(status)
                    self.send_header("content-type", kind)
                    self.send_header("content-length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                    self.wfile.flush()
                except OSError:
                    # The client gave up: a time-out is what some tests are about.
                    self.close_connection = True

            def log_message(self, *args: object) -> None:
                """Stay silent."""

        return Handler

    def _reply(self, body: Body) -> tuple[int, Body | str]:
        script = self.script
        if script.latency:
            time.sleep(script.latency)
        status = script.fail_if(body)
        if status is None:
            with self._lock:
                status = script.fail.pop(0) if script.fail else 200
        if status != 200:
            return status, _error(script.error)
        for name in sorted(script.refuses):
            if body.get(name) is not None:
                text = script.refusal.format(name=name)
                return script.refusal_status, _error(text)
        if script.html:
            return 200, HTML
        n = 1 if script.ignores_n else min(body.get("n") or 1, script.caps_n)
        choices = [self._choice(body, i) for i in range(n)]
        words = sum(len(str(m.get("content") or "").split()) for m in body["messages"])
        reply: Body = {
            "id": f"chatcmpl-{len(self.requests)}",
            "object": "chat.completion",
            "created": 0,
            "model": body["model"],
            "choices": choices,
            "usage": {
                "prompt_tokens": words,
                "completion_tokens": 2 * n,
                "total_tokens": words + 2 * n,
            },
        }
        if script.no_choices == "missing":
            del reply["choices"]
        elif script.no_choices:
            reply["choices"] = [] if script.no_choices == "empty" else None
        return 200, reply

    def _choice(self, body: Body, i: int) -> Body:
        answer = self.script.answer(body, i)
        message = (
            {"role": "assistant", "content": answer}
            if isinstance(answer, str)
            else answer
        )
        reason = "tool_calls" if message.get("tool_calls") else "stop"
        choice: Body = {
            "index": i,
            "message": message,
            "finish_reason": self.script.finish_reason.get(i, reason),
        }
        if body.get("logprobs"):
            tokens = str(message["content"]).split()
            choice["logprobs"] = {
                "content": [
                    {
                        "token": t,
                        "logprob": self.script.logprobs,
                        "bytes": None,
                        "top_logprobs": [],
                    }
                    for t in tokens
                ]
            }
        return choice


def _error(message: str) -> Body:
    return {"error": {"message": message, "type": "x", "param": None, "code": None}}


@contextmanager
def running() -> Iterator[OpenAIServer]:
    """Serve in a thread of its own."""
    server = OpenAIServer()
    server.start()
    try:
        yield server
    finally:
        server.stop()


if __name__ == "__main__":
    with running() as alone:
        sys.stdout.write(f"{alone.url}\n")
        sys.stdout.flush()
        sys.stdin.read()
