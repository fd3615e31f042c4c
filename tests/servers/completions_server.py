"""`/v1/completions` on loopback with real prompt log-probabilities, as vLLM gives them.

A test chooses which forms the server knows and what goes wrong.
"""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Body = dict[str, Any]


@dataclass
class Faults:
    """What the server does; a test sets what it needs.

    Attributes:
        forms: The forms of asking that it knows.
        strict: Refuse an unknown form with 400 instead of passing it over.
        fail: Statuses of the next completions, one each; 200 answers.
        fail_if: Status for these token ids, or None.
        nan_if: Whether a text's log-probabilities are NaN.
        adds_bos: Put a token before each prompt.
        limit: `max_model_len` that it states; None to state none.
        tokenizes: Whether it has `/tokenize`.
        models: Names that it serves.
        down: Close each connection without an answer.
    """

    forms: tuple[str, ...] = ("prompt_logprobs", "echo")
    strict: bool = False
    fail: list[int] = field(default_factory=list)
    fail_if: Callable[[list[int]], int | None] = lambda ids: None
    nan_if: Callable[[list[int]], bool] = lambda ids: False
    adds_bos: bool = False
    limit: int | None = 512
    tokenizes: bool = True
    models: tuple[str, ...] = ("lm",)
    down: bool = False


class CompletionsServer:
    """A running server: its URL, its faults, and what it was asked."""

    def __init__(self, folder: Path) -> None:
        self.faults = Faults()
        self.requests: list[Body] = []
        self._model = AutoModelForCausalLM.from_pretrained(folder).eval()
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def start(self) -> None:
        threading.Thread(
            target=self._http.serve_forever, args=(0.02,), daemon=True
        ).start()

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    @property
    def completions(self) -> list[Body]:
        return [body for body in self.requests if "prompt" in body]

    def reply(self, path: str, body: Body | None) -> tuple[int, Body]:
        if path == "/health":
            return 200, {}
        if path == "/v1/models":
            card = (
                {}
                if self.faults.limit is None
                else {"max_model_len": self.faults.limit}
            )
            return 200, {"data": [{"id": name, **card} for name in self.faults.models]}
        if path == "/tokenize" and body and self.faults.tokenizes:
            text = self._tokenizer.apply_chat_template(body["messages"], tokenize=False)
            ids = self._tokenizer.encode(text, add_special_tokens=False)
            return 200, {"tokens": ids, "count": len(ids)}
        if path == "/v1/completions" and body:
            return self._completions(body)
        return 404, {"error": {"message": "Not Found"}}

    def _completions(self, body: Body) -> tuple[int, Body]:
        faults = self.faults
        if faults.fail and (status := faults.fail.pop(0)) != 200:
            return status, {"error": {"message": "boom"}}
        prompts: list[list[int]] = body["prompt"]
        for ids in prompts:
            if (bad := faults.fail_if(ids)) is not None:
                return bad, {"error": {"message": "this text is not for me"}}
            if faults.limit and len(ids) + body["max_tokens"] > faults.limit:
                return 400, {"error": {"message": f"{len(ids)} tokens are too many"}}
        form = "echo" if body.get("echo") else "prompt_logprobs"
        known = form in faults.forms
        if not known and faults.strict:
            return 400, {"error": {"message": f"unknown option {form!r}"}}
        choices = []
        for i, ids in enumerate(prompts):
            choice: Body = {"index": i, "text": "x", "logprobs": None}
            if known:
                choice |= self._choice(ids, form)
            choices.append(choice)
        tokens = sum(map(len, prompts))
        usage = {"prompt_tokens": tokens, "completion_tokens": len(prompts)}
        # Some servers answer in the order of finishing.
        return 200, {"choices": choices[::-1], "usage": usage}

    def _choice(self, ids: list[int], form: str) -> Body:
        ids = [1, *ids] if self.faults.adds_bos else ids
        with self._lock, torch.inference_mode():
            logits = self._model(torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
        values = logits.gather(1, torch.tensor(ids[1:])[:, None])[:, 0].tolist()
        if self.faults.nan_if(ids):
            values = [float("nan")] * len(values)
        if form == "echo":
            names = self._tokenizer.convert_ids_to_tokens(ids)
            return {"logprobs": {"tokens": names, "token_logprobs": [None, *values]}}
        entries = [
            {str(token): {"logprob": value, "rank": 1, "decoded_token": "?"}}
            for token, value in zip(ids[1:], values, strict=True)
        ]
        return {"prompt_logprobs": [None, *entries]}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                self._answer(None)

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                server.requests.append(body)
                self._answer(body)

            def _answer(self, body: Body | None) -> None:
                if server.faults.down:
                    self.close_connection = True
                    return
                status, reply = server.reply(self.path, body)
                data = json.dumps(reply).encode()
                try:
                    self.send_response(status)
                    self.send_header("content-type", "application/json")
                    self.send_header("content-length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                    self.wfile.flush()
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler


@contextmanager
def completions(folder: Path) -> Iterator[CompletionsServer]:
    """Serve a causal checkpoint until the block ends."""
    server = CompletionsServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()
