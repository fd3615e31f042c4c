"""What a chat request asks for: the body for the upstream, and what is ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from langchain_core.messages import BaseMessage

from langchain_agentrm.serving._proxy_messages import conversation
from langchain_agentrm.serving._proxy_settings import ProxySettings
from langchain_agentrm.serving._proxy_wire import decode, refusal

__all__ = ["Ask", "read_ask"]

_OURS = {"n", "return_scores"}


@dataclass(frozen=True, slots=True)
class Ask:
    """One chat request.

    Attributes:
        body: What goes to the upstream, without `n` and what concerns the proxy only.
        messages: The conversation, as the reward model's side reads it.
        tools: Tools offered, as JSON schemas.
        draw: Candidates to draw.
        keep: Answers to return, best first.
        seed: The client's seed.
        stream: Whether the answer is streamed.
        include_usage: Whether the stream ends with the usage.
        return_scores: Whether scores are returned.
    """

    body: Mapping[str, Any]
    messages: tuple[BaseMessage, ...]
    tools: tuple[Mapping[str, Any], ...]
    draw: int
    keep: int
    seed: int | None
    stream: bool
    include_usage: bool
    return_scores: bool


def read_ask(data: bytes, settings: ProxySettings) -> Ask:
    """Read a request's body.

    Args:
        data: The body.
        settings: Default and limit of n.

    Returns:
        What it asks for.

    Raises:
        ProxyError: With status 400, if it cannot be read.
    """
    try:
        body = decode(data)
    except ValueError as error:
        raise refusal(400, f"The body is no JSON: {error}.") from error
    if not isinstance(body, dict):
        _wrong("The body", body, "Send a JSON object.")
    ours = body.pop("agentrm", None) or {}
    if not isinstance(ours, dict) or ours.keys() - _OURS:
        _wrong("agentrm", ours, "Use {'n': 8, 'return_scores': true}.", "agentrm")
    keep = _count(body.pop("n", None), "n", settings) or 1
    draw = _count(ours.get("n"), "agentrm.n", settings) or max(keep, settings.n)
    if draw < keep:
        _wrong("agentrm.n", draw, f"Draw at least the n={keep} answers asked for.", "n")
    options = body.pop("stream_options", None) or {}
    if not isinstance(options, dict):
        _wrong("stream_options", options, "Send a JSON object.", "stream_options")
    messages, tools = body.get("messages"), body.get("tools") or []
    if not isinstance(messages, list) or not messages:
        _wrong("messages", messages, "Send a list of messages.", "messages")
    if not isinstance(tools, list):
        _wrong("tools", tools, "Send a list of tools.", "tools")
    try:
        said = conversation(messages)
    except ValueError as error:
        raise refusal(400, f"{error}.", param="messages") from error
    seed = body.get("seed")
    return Ask(
        stream=_flag(body.pop("stream", None), "stream"),
        include_usage=_flag(options.get("include_usage"), "stream_options"),
        return_scores=_flag(ours.get("return_scores"), "agentrm"),
        seed=seed if isinstance(seed, int) and not isinstance(seed, bool) else None,
        body=body,
        messages=tuple(said),
        tools=tuple(t for t in tools if isinstance(t, dict)),
        draw=draw,
        keep=keep,
    )


def _count(value: object, name: str, settings: ProxySettings) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        _wrong(name, value, "Use a whole number of at least 1.", "n")
    if value > settings.max_n:
        _wrong(name, value, f"This server draws at most {settings.max_n}.", "n")
    return value


def _flag(value: object, name: str) -> bool:
    if not (value is None or isinstance(value, bool)):
        _wrong(name, value, "Use true or false.", name)
    return bool(value)


def _wrong(name: str, value: object, remedy: str, param: str | None = None) -> NoReturn:
    text = f"{name}={value!r:.80} cannot be used. {remedy}"
    raise refusal(400, text, param=param)
