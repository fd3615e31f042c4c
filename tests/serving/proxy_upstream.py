"""A chat server for the proxy's tests: async, so that it sees clients leave."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from langchain_agentrm import FunctionRewardModel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Body = dict[str, Any]


def number(text: str) -> float:
    """The first number in a text; what the tests' reward model goes by."""
    found = re.search(r"-?\d+", text)
    return float(found[0]) if found else -1.0


def by_number() -> FunctionRewardModel:
    """A reward model that likes large numbers."""
    return FunctionRewardModel(lambda ts: [number(t.turns[-1].action) for t in ts])


@dataclass
class ChatServer:
    """What it answers, and what it was asked.

    Attributes:
        answer: Called with the body and the choice's number; a text or a message.
        latency: Seconds before each reply.
        fail: Called with the body; a response, or None to answer.
        takes_n: Whether it reads `n`; `"refuse"` answers 400.
        finish: Finish reason by choice; None where it follows from the message.
        reply: Changes the reply before it goes out.
        bodies: Requests' bodies.
        headers: Requests' headers.
        left: Requests whose client left before the answer.
        open: Requests in work.
    """

    answer: Callable[[Body, int], str | Body] = lambda body, i: f"take {i}"
    latency: float = 0.0
    fail: Callable[[Body], Response | None] = lambda body: None
    takes_n: bool | str = True
    finish: Callable[[int], str | None] = lambda i: None
    reply: Callable[[Body], Any] = lambda body: body
    bodies: list[Body] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    left: int = 0
    open: int = 0
    count: int = 0

    def app(self) -> FastAPI:
        app = FastAPI()
        app.add_api_route("/v1/chat/completions", self.chat, methods=["POST"])
        app.add_api_route("/v1/models", self.models, methods=["GET"])
        return app

    async def models(self, request: Request) -> Response:
        self.headers.append(dict(request.headers))
        model = {"id": "m", "object": "model", "created": 0, "owned_by": "us"}
        return JSONResponse({"object": "list", "data": [model], "more": 1})

    async def chat(self, request: Request) -> Response:
        body = await request.json()
        self.bodies.append(body)
        self.headers.append(dict(request.headers))
        self.open += 1
        gone = asyncio.create_task(request.receive())
        try:
            if self.latency:
                await asyncio.wait({gone}, timeout=self.latency)
                if gone.done():
                    self.left += 1
                    return Response(status_code=499)
            return self._reply(body)
        finally:
            self.open -= 1
            gone.cancel()

    def _reply(self, body: Body) -> Response:
        failed = self.fail(body)
        if failed is not None:
            return failed
        n = body.get("n") or 1
        if n > 1 and self.takes_n == "refuse":
            return error(400, "Unsupported parameter: 'n'.", param="n")
        choices = []
        for _ in range(n if self.takes_n is True else 1):
            choices.append(self._choice(body, self.count))
            self.count += 1
        if self.takes_n is True:
            self.count = 0
        reply = {
            "id": f"chatcmpl-{len(self.bodies)}",
            "object": "chat.completion",
            "created": 1,
            "model": body["model"],
            "system_fingerprint": "fp",
            "choices": choices,
            "usage": {
                "prompt_tokens": 10,
                "completion_tokens": 3 * len(choices),
                "total_tokens": 10 + 3 * len(choices),
                "prompt_tokens_details": {"cached_tokens": 4},
            },
        }
        data = json.dumps(self.reply(reply)).encode()
        return Response(data, media_type="application/json")

    def _choice(self, body: Body, i: int) -> Body:
        said = self.answer(body, i)
        message = (
            said
            if isinstance(said, dict)
            else {"role": "assistant", "content": said, "refusal": None}
        )
        reason = "tool_calls" if message.get("tool_calls") else "stop"
        return {
            "index": i,
            "message": message,
            "logprobs": None,
            "finish_reason": self.finish(i) or reason,
        }


def error(status: int, message: str, **fields: Any) -> Response:
    """An error in OpenAI's form; headers go under `headers`."""
    headers = fields.pop("headers", None)
    body = {"message": message, "type": "x", "param": None, "code": None, **fields}
    return JSONResponse({"error": body}, status, headers)


def tool_call(name: str, arguments: str, **more: Any) -> Body:
    """An assistant's message that calls one tool."""
    function = {"name": name, "arguments": arguments}
    call = {"id": f"call_{name}", "type": "function", "function": function}
    return {"role": "assistant", "content": None, "tool_calls": [call], **more}


@contextmanager
def serving(app: Any, **options: Any) -> Iterator[str]:
    """Serve an app on a free port of loopback, in a thread; gives the address."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_level="critical", ws="none", **options)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    try:
        wait_for(lambda: server.started)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()


def wait_for(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait until something holds; fail if it never does."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it never came to hold"
        time.sleep(0.005)
