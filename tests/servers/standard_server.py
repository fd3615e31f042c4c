"""A loopback OpenAI server that obeys a request: tools, schemas, stop words, streams.

What LangChain's standard suites ask of a model, without a model. Choice `i` of a
request is a function of the request and `i`, so that there is something to choose.
"""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.servers.openai_server import Body, OpenAIServer, tool_call

if TYPE_CHECKING:
    from collections.abc import Iterator
    from http.server import BaseHTTPRequestHandler


def answer(body: Body, i: int) -> str | Body:
    """Answer as the request demands."""
    tool = _called(body, i)
    if tool is not None:
        schema = tool.get("parameters") or {"type": "object"}
        arguments = json.dumps(_value(schema, schema, _asked(body), i))
        return tool_call(tool["name"], arguments, f"call_{len(body['messages'])}_{i}")
    form = body.get("response_format") or {}
    if form.get("type") == "json_schema":
        schema = form["json_schema"]["schema"]
        return json.dumps(_value(schema, schema, _asked(body), i))
    if form.get("type") == "json_object":
        return json.dumps({"setup": f"setup {i}", "punchline": "punchline"})
    text = f"choice {i}" + " word" * (i + 1)
    for stop in body.get("stop") or []:
        text = text.split(stop)[0]
    return text


def _called(body: Body, i: int) -> Body | None:
    choice, tools = body.get("tool_choice"), body.get("tools") or []
    functions = {t["function"]["name"]: t["function"] for t in tools}
    if isinstance(choice, dict):
        return functions[choice["function"]["name"]]
    answered = body["messages"][-1]["role"] == "tool"
    if not functions or choice == "none" or (answered and choice != "required"):
        return None
    return list(functions.values())[i % len(functions)]


def _asked(body: Body) -> str:
    texts = []
    for message in body["messages"]:
        if message["role"] == "user":
            content = message["content"]
            parts = [content] if isinstance(content, str) else content
            texts += [p if isinstance(p, str) else p.get("text", "") for p in parts]
    return " ".join(texts)


def _value(schema: Body, root: Body, asked: str, i: int) -> Any:
    """Write the smallest value that a JSON schema allows."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return _value(root["$defs"][name], root, asked, i)
    if "enum" in schema:
        return schema["enum"][0]
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return _value(schema[several][0], root, asked, i)
    kind = schema.get("type", "string")
    if kind == "object":
        parts = schema.get("properties", {})
        return {
            name: _value(parts[name], root, asked, i)
            for name in schema.get("required", parts)
        }
    if kind == "array":
        return [_value(schema.get("items", {}), root, asked, i)]
    numbers, quoted = re.findall(r"\d+", asked), re.findall("'([^']+)'", asked)
    number = int((numbers or ["3"])[0])
    plain = {"integer": number, "number": number, "boolean": True, "null": None}
    return plain.get(kind, (quoted or [f"text {i}"])[0])


class StandardServer(OpenAIServer):
    """An `OpenAIServer` that answers by `answer`, and streams where it is asked to."""

    def __init__(self) -> None:
        super().__init__()
        self.script.answer = answer

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        class Handler(super()._handler()):
            def send_header(self, keyword: str, value: str) -> None:
                # The plain server's only other text reply is a page.
                if value == "text/html":
                    value = "text/event-stream"
                super().send_header(keyword, value)

        return Handler

    def _reply(self, body: Body) -> tuple[int, Body | str]:
        status, reply = super()._reply(body)
        if status != 200 or not body.get("stream") or not isinstance(reply, dict):
            return status, reply
        usage = reply.pop("usage")
        events = [
            {**reply, "choices": [{"index": c["index"], **part}]}
            for c in reply["choices"]
            for part in _parts(c)
        ]
        if (body.get("stream_options") or {}).get("include_usage"):
            events.append({**reply, "choices": [], "usage": usage})
        for event in events:
            event["object"] = "chat.completion.chunk"
        lines = [f"data: {json.dumps(event)}\n\n" for event in events]
        return status, "".join([*lines, "data: [DONE]\n\n"])


def _parts(choice: Body) -> Iterator[Body]:
    message = choice["message"]
    yield {"delta": {"role": "assistant", "content": ""}, "finish_reason": None}
    for word in re.findall(r"\S+\s*", message["content"] or ""):
        yield {"delta": {"content": word}, "finish_reason": None}
    for i, call in enumerate(message.get("tool_calls") or []):
        delta = {"tool_calls": [{"index": i, **call}]}
        yield {"delta": delta, "finish_reason": None}
    yield {"delta": {}, "finish_reason": choice["finish_reason"]}


@contextmanager
def running_standard() -> Iterator[StandardServer]:
    """Serve in a thread of its own."""
    server = StandardServer()
    server.start()
    try:
        yield server
    finally:
        server.stop()
