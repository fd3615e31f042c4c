"""A small OpenAI-compatible model server for the examples: no model, no key, no GPU.

It answers at random, the same for the same request and seed, so that an example runs
anywhere and what a reward model adds can be seen. With tools in the request it calls
them, with arguments from their schemas; from a prompt that says `one of: a, b, c` it
takes one. Use any other OpenAI-compatible server in its place.

    python examples/model_server.py --port 8900
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = dict[str, Any]
SERVED = itertools.count(1)
LAST = {"requests": 0}


def arguments(schema: Json, rng: random.Random) -> Json:
    """Draw a tool's arguments from the values that its schema lists."""
    drawn: Json = {}
    for name, part in schema.get("properties", {}).items():
        values = part.get("enum") or part.get("examples") or [part.get("default")]
        drawn[name] = rng.choice(values)
    return drawn


def options(messages: Sequence[Json]) -> list[str]:
    """Read what may be answered off the prompt: `... one of: a, b, c.`."""
    for message in messages:
        _, found, rest = str(message.get("content") or "").partition("one of:")
        if found:
            return [o.strip() for o in rest.split("\n")[0].strip(" .").split(",")]
    return ["I am done."]


def answer(body: Json, number: int) -> Json:
    """Draw one answer; equal requests, seeds and numbers draw equal ones."""
    spot = json.dumps([body["messages"], body.get("seed"), number])
    rng = random.Random(spot)
    message: Json = {"role": "assistant", "content": None}
    tools = body.get("tools") or []
    if not tools or rng.random() < 0.25:
        return {**message, "content": rng.choice(options(body["messages"]))}
    calls = []
    for _ in range(rng.choice([1, 2])):
        function = rng.choice(tools)["function"]
        given = json.dumps(arguments(function["parameters"], rng))
        call = {"name": function["name"], "arguments": given}
        ident = f"call_{rng.getrandbits(32):08x}"
        calls.append({"id": ident, "type": "function", "function": call})
    return {**message, "tool_calls": calls}


def completion(body: Json) -> Json:
    """Answer a chat completion request with `n` choices."""
    choices = []
    for i in range(body.get("n") or 1):
        message = answer(body, i)
        reason = "tool_calls" if message.get("tool_calls") else "stop"
        choices.append({"index": i, "message": message, "finish_reason": reason})
    read = sum(len(str(m.get("content") or "").split()) for m in body["messages"])
    usage = {"prompt_tokens": read, "completion_tokens": 4 * len(choices)}
    return {
        "id": f"chatcmpl-{LAST['requests']}",
        "object": "chat.completion",
        "created": 0,
        "model": body.get("model", "random"),
        "choices": choices,
        "usage": {**usage, "total_tokens": sum(usage.values())},
    }


class Handler(BaseHTTPRequestHandler):
    """POST /v1/chat/completions; GET /requests tells how many there were."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_POST(self) -> None:
        """Answer a chat completion request."""
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        LAST["requests"] = next(SERVED)
        self._reply(completion(body))

    def do_GET(self) -> None:
        """Tell how many requests were answered."""
        self._reply(LAST)

    def _reply(self, reply: Json) -> None:
        data = json.dumps(reply).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()

    def log_message(self, *args: object) -> None:
        """Stay silent."""


def main() -> None:
    """Serve on loopback until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8900, help="0 takes a free one")
    server = ThreadingHTTPServer(("127.0.0.1", parser.parse_args().port), Handler)
    server.daemon_threads = True
    print(f"http://127.0.0.1:{server.server_port}/v1", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()


if __name__ == "__main__":
    main()
