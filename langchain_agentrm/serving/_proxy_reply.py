"""What goes back to the client: one completion, or the winner replayed in chunks."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from langchain_agentrm.serving._proxy_body import Ask
from langchain_agentrm.serving._proxy_choice import Ranked
from langchain_agentrm.serving._proxy_upstream import Drawn
from langchain_agentrm.serving._proxy_wire import encode
from langchain_agentrm.types import Candidate

__all__ = ["chunks", "completion", "event"]


def completion(ask: Ask, drawn: Drawn, ranked: Ranked) -> dict[str, Any]:
    """Write the answer of a request that is not streamed.

    Args:
        ask: The request.
        drawn: Its candidates.
        ranked: Their order.

    Returns:
        The upstream's reply with the best choices, the usage of all, and `agentrm`.
    """
    best = ranked.order[: ask.keep]
    choices = []
    for place, candidate in enumerate(best):
        choice = {**drawn.choices[_position(candidate)], "index": place}
        if ask.return_scores:
            choice["agentrm"] = _standing(candidate)
        choices.append(choice)
    out = {**drawn.head, "choices": choices}
    if drawn.usage is not None:
        out["usage"] = drawn.usage
    out["agentrm"] = _report(ask, drawn, ranked)
    return out


def _report(ask: Ask, drawn: Drawn, ranked: Ranked) -> dict[str, Any]:
    report: dict[str, Any] = {
        "n": len(drawn.choices),
        "distinct": ranked.distinct,
        "requests": drawn.requests,
        "reward_tokens": ranked.reward_usage.tokens,
        "fallback": ranked.fallback,
    }
    if ask.return_scores:
        report["scores"] = [_value(c) for c in ranked.order[: ask.keep]]
        report["candidates"] = [_standing(c) for c in ranked.order]
    return report


def _standing(candidate: Candidate) -> dict[str, Any]:
    score = candidate.score
    return {
        "index": _position(candidate),
        "score": _value(candidate),
        "votes": candidate.votes,
        "error": candidate.error or (score.error if score else None),
    }


def _value(candidate: Candidate) -> float | None:
    return candidate.score.value if candidate.score else None


def _position(candidate: Candidate) -> int:
    return int(candidate.message.id or 0)


def chunks(answer: Mapping[str, Any], *, include_usage: bool) -> Iterator[bytes]:
    """Replay a completion as server-sent events.

    Args:
        answer: The completion.
        include_usage: Whether a chunk with the usage ends it, as the client asked.

    Yields:
        Events, `[DONE]` at the end. The last chunk carries `agentrm`.
    """
    base: dict[str, Any] = {
        **{
            k: v
            for k, v in answer.items()
            if k not in {"choices", "usage", "agentrm", "object"}
        },
        "object": "chat.completion.chunk",
    }
    base.setdefault("created", int(time.time()))
    if include_usage:
        base["usage"] = None
    extra = {"agentrm": answer["agentrm"]}
    choices = answer["choices"]
    for choice in choices:
        *first, last = _deltas(choice)
        for delta in first:
            yield event({**base, "choices": [delta]})
        final = choice is choices[-1] and not include_usage
        yield event({**base, "choices": [last], **(extra if final else {})})
    if include_usage:
        usage = answer.get("usage")
        yield event({**base, "choices": [], "usage": usage, **extra})
    yield b"data: [DONE]\n\n"


def event(value: Mapping[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + encode(value) + b"\n\n"


def _deltas(choice: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The parts of one choice: message, tool calls, end."""
    message = dict(choice["message"])
    calls = message.pop("tool_calls", None) or []
    place = choice["index"]

    def part(delta: dict[str, Any], **fields: Any) -> dict[str, Any]:
        return {"index": place, "delta": delta, "finish_reason": None, **fields}

    # Without nulls: clients put deltas together field by field, and null is a value.
    said = {k: v for k, v in message.items() if v is not None or k == "content"}
    logprobs = choice.get("logprobs")
    yield part(
        {"role": "assistant", **said}, **({"logprobs": logprobs} if logprobs else {})
    )
    if calls:
        yield part({"tool_calls": [{**c, "index": i} for i, c in enumerate(calls)]})
    rest = {
        k: v
        for k, v in choice.items()
        if k not in {"index", "message", "logprobs", "finish_reason"}
    }
    yield {**part({}, **rest), "finish_reason": choice.get("finish_reason")}
