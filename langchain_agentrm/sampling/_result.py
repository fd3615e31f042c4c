"""Reading what a policy answered: candidates, usage, and errors that name a remedy."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

from langchain_agentrm.errors import PolicyError, is_retryable
from langchain_agentrm.types import Candidate, ProposalRequest, Usage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_core.messages import AIMessage

__all__ = ["candidates", "policy_error", "usage_of"]

_CUT_OFF = frozenset({"length", "max_tokens", "MAX_TOKENS"})
_SHOWN = 300


def candidates(
    request: ProposalRequest, messages: Sequence[AIMessage]
) -> list[Candidate]:
    """Turn the answers to one request into candidates without action and key."""
    source: Literal["sampled", "greedy"] = "greedy" if request.greedy else "sampled"
    return [
        Candidate(
            message=message,
            parent=request.parent,
            source=source,
            logprob=_logprob(message.response_metadata),
            error=_fault(message),
        )
        for message in messages
    ]


def _logprob(metadata: dict[str, Any]) -> float | None:
    logprobs = metadata.get("logprobs")
    if not isinstance(logprobs, dict):
        return None
    tokens = logprobs.get("content")
    if not tokens:
        return None
    return math.fsum(t["logprob"] for t in tokens)


def _fault(message: AIMessage) -> str | None:
    metadata = message.response_metadata
    reason = metadata.get("finish_reason") or metadata.get("stop_reason")
    if reason in _CUT_OFF:
        return "cut off at the token limit"
    if message.tool_calls:
        return None
    if message.invalid_tool_calls:
        call = message.invalid_tool_calls[0]
        why = (call.get("error") or "not a JSON object").split("\n", 1)[0][:_SHOWN]
        return f"malformed arguments of tool {call.get('name')!r}: {why}"
    content = message.content
    text = content if isinstance(content, str) else str(message.text)
    return None if text and not text.isspace() else "empty answer"


def usage_of(message: AIMessage | None, requests: int) -> Usage:
    """Read the usage of a whole request off its first message."""
    metadata = message.usage_metadata if message is not None else None
    if metadata is None:
        return Usage(requests)
    return Usage(requests, metadata["input_tokens"], metadata["output_tokens"])


def policy_error(name: str, errors: Sequence[Exception]) -> PolicyError:
    """Make the error of a step in which no request was answered.

    Args:
        name: The policy, as the user knows it.
        errors: Why each request failed.

    Returns:
        An error with the first cause's status and text, and what to do about it.
    """
    first = errors[0]
    status = _status(first)
    label = f"status {status}, " if status else ""
    body = getattr(first, "body", None)
    reason = f" {body}" if body and str(body) not in str(first) else ""
    text = " ".join(f"{first}{reason}".split())
    if len(text) > _SHOWN:
        text = f"{text[:_SHOWN]}..."
    count = "its request" if len(errors) == 1 else f"all {len(errors)} requests"
    msg = (
        f"The policy {name} failed on {count}; first error: "
        f"{label}{type(first).__name__}: {text.rstrip('.')}."
    )
    # A step of which one part may work on a retry is worth one.
    retryable = any(is_retryable(e) for e in errors)
    return PolicyError(msg, remedy=_remedy(first, status), retryable=retryable)


def _status(error: Exception) -> int | None:
    status = getattr(error, "status_code", None)
    return status if isinstance(status, int) else None


_REMEDIES = {
    401: "Check the API key.",
    403: "Check the API key and what it may use.",
    404: "Check the model's name and base_url.",
    429: "Lower max_concurrency or raise the client's max_retries, then try again.",
}


def _remedy(error: Exception, status: int | None) -> str:
    if status is None:
        if "time" in type(error).__name__.lower():
            return "Raise the client's timeout, or ask for fewer or shorter answers."
        if is_retryable(error):
            return "Check that the server at base_url is up, then try again."
        return (
            "Check that base_url names an OpenAI-compatible endpoint (it often ends in "
            "/v1) and that the policy returns an AIMessage."
        )
    if status in _REMEDIES:
        return _REMEDIES[status]
    if is_retryable(error):
        return "The server is failing: look at its log, then try again."
    return "Change what the server objects to; a retry gives the same answer."
