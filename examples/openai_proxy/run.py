"""Best of n behind OpenAI's chat API: a model server, the proxy, and a client.

Run: python run.py

The model server is a real one over HTTP, on loopback; its "model" adds numbers and is
often wrong, as small models are. The reward model knows how to check a sum.
"""

from __future__ import annotations

import json
import random
import re
import socket
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import openai
import uvicorn

from langchain_agentrm import FunctionRewardModel
from langchain_agentrm.serving.proxy import ProxySettings, create_app

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fastapi import FastAPI

    from langchain_agentrm.trajectory import Trajectory

QUESTIONS = 20


def guess(question: str, rng: random.Random) -> str:
    """Add two numbers, off by a little three times in four."""
    a, b = map(int, re.findall(r"\d+", question))
    return f"{a} + {b} = {a + b + rng.choice([0, 1, -1, 10])}"


def sums(trajectories: Sequence[Trajectory]) -> list[float]:
    """Score answers: minus the distance from the right sum."""
    out = []
    for trajectory in trajectories:
        a, b, total = map(int, re.findall(r"\d+", trajectory.turns[-1].action))
        out.append(float(-abs(a + b - total)))
    return out


class ModelServer(BaseHTTPRequestHandler):
    """A chat server: `n` samples of `guess` for the last message."""

    protocol_version = "HTTP/1.1"
    rng = random.Random(3)

    def do_POST(self) -> None:
        """Answer a chat request."""
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        question = body["messages"][-1]["content"]
        n = body.get("n") or 1
        choices = [
            {
                "index": i,
                "finish_reason": "stop",
                "message": {
                    "role": "assistant",
                    "content": guess(question, self.rng),
                },
            }
            for i in range(n)
        ]
        usage = {
            "prompt_tokens": 8,
            "completion_tokens": 5 * n,
            "total_tokens": 8 + 5 * n,
        }
        reply = {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": body["model"],
            "choices": choices,
            "usage": usage,
        }
        data = json.dumps(reply).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        """Stay silent."""


@contextmanager
def model_server() -> Iterator[str]:
    """Run the model server; gives its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), ModelServer)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def proxy_server(app: FastAPI) -> Iterator[str]:
    """Run the proxy in a thread; `agentrm serve proxy` runs it as a process."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    finally:
        server.should_exit = True
        thread.join()


def right_answers(client: openai.OpenAI, **options: Any) -> int:
    """Ask all questions and count the right answers."""
    right = 0
    for i in range(QUESTIONS):
        a, b = 17 + i, 40 - i
        answer = client.chat.completions.create(
            model="adder",
            messages=[{"role": "user", "content": f"What is {a} + {b}?"}],
            **options,
        )
        text = answer.choices[0].message.content or ""
        right += text.endswith(f"= {a + b}")
    return right


def main() -> None:
    """Compare the plain server with the best of eight, then stream one answer."""
    out = sys.stdout.write
    with (
        model_server() as url,
        proxy_server(
            create_app(url, FunctionRewardModel(sums), ProxySettings(n=8))
        ) as best,
        openai.OpenAI(base_url=url, api_key="EMPTY") as plain,
        openai.OpenAI(base_url=best, api_key="EMPTY") as client,
    ):
        out(f"plain server: {right_answers(plain)} of {QUESTIONS} right\n")
        out(f"best of 8:    {right_answers(client)} of {QUESTIONS} right\n")
        asked: Any = {
            "model": "adder",
            "messages": [{"role": "user", "content": "What is 19 + 23?"}],
        }
        scored = client.chat.completions.create(
            **asked, n=2, extra_body={"agentrm": {"n": 4, "return_scores": True}}
        )
        extra = (scored.model_extra or {})["agentrm"]
        for choice, score in zip(scored.choices, extra["scores"], strict=True):
            out(f"score {score:5.1f}: {choice.message.content}\n")
        for chunk in client.chat.completions.create(**asked, stream=True):
            out(chunk.choices[0].delta.content or "")
        out("  (streamed)\n")


if __name__ == "__main__":
    main()
