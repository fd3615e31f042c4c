"""Raw OpenAI messages as LangChain's, whatever a model wrote into them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    convert_to_messages,
)

__all__ = ["answer", "conversation", "fault"]


def conversation(messages: Sequence[Any]) -> list[BaseMessage]:
    """Read a request's messages.

    Args:
        messages: As the client sent them.

    Returns:
        One message each; what LangChain has no class for becomes a `ChatMessage`.

    Raises:
        ValueError: If one is no object with a role.
    """
    out: list[BaseMessage] = []
    for i, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            text = f"messages[{i}] is no object with a role"
            raise ValueError(text)  # noqa: TRY004 - a value of the request's
        out.append(_message(message))
    return out


def _message(message: dict[str, Any]) -> BaseMessage:
    if message["role"] == "assistant":
        # The general converter raises on malformed tool arguments, which a model's
        # earlier turn may hold.
        return answer(message)
    try:
        return convert_to_messages([message])[0]
    except (ValueError, TypeError, KeyError, NotImplementedError):
        return ChatMessage(role=message["role"], content=_text(message))


def answer(message: Mapping[str, Any]) -> AIMessage:
    """Read an assistant's message, malformed tool arguments included.

    Args:
        message: The raw message.

    Returns:
        Text and tool calls; a call whose arguments are no JSON object is in
        `invalid_tool_calls`.
    """
    calls: list[Any] = []
    broken: list[Any] = []
    for raw in _calls(message):
        name, arguments = str(raw.get("name") or ""), raw.get("arguments")
        try:
            # Some servers send the object itself.
            given = isinstance(arguments, dict)
            args = arguments if given else json.loads(arguments or "{}")
            error = "" if isinstance(args, dict) else "the arguments are no JSON object"
        except (ValueError, TypeError, RecursionError) as failure:
            args, error = None, f"the arguments are no JSON: {failure}"
        if not name:
            error = "the call names no tool"
        if error:
            broken.append(
                {
                    "type": "invalid_tool_call",
                    "id": None,
                    "name": name or None,
                    "args": str(arguments),
                    "error": error,
                }
            )
        else:
            calls.append({"type": "tool_call", "id": None, "name": name, "args": args})
    return AIMessage(_text(message), tool_calls=calls, invalid_tool_calls=broken)


def fault(message: AIMessage, finish_reason: object) -> str | None:
    """Why an answer cannot win against a sound one; None if it is sound."""
    if message.invalid_tool_calls:
        call = message.invalid_tool_calls[0]
        return f"malformed call of tool {call['name']!r}: {call['error']}"
    if finish_reason == "length":
        return "cut off at the token limit"
    if finish_reason == "content_filter":
        return "stopped by the upstream's content filter"
    if not message.tool_calls and not str(message.text).strip():
        return "empty answer"
    return None


def _calls(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    raw = message.get("tool_calls")
    out: list[dict[str, Any]] = []
    for call in raw if isinstance(raw, list) else []:
        if not isinstance(call, dict):
            out.append({})
            continue
        custom = call.get("custom")
        if isinstance(custom, dict):
            # Its input is free text: there is nothing in it to be malformed.
            text = json.dumps({"input": custom.get("input")})
            out.append({"name": custom.get("name"), "arguments": text})
            continue
        function = call.get("function")
        out.append(function if isinstance(function, dict) else {})
    old = message.get("function_call")
    return [*out, old] if isinstance(old, dict) else out


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        parts = (
            p.get("text") or p.get("refusal") if isinstance(p, dict) else p
            for p in content
        )
        content = "\n".join(str(p) for p in parts if p)
    return str(content or message.get("refusal") or "")
