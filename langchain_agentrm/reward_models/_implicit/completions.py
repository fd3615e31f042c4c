"""Prompt log-probabilities of `/v1/completions`: two forms of asking for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from langchain_agentrm.reward_models._implicit.steps import Ids
from langchain_agentrm.reward_models._remote.http import Reply, ServerFailureError
from langchain_agentrm.types import Usage

__all__ = [
    "FORMS",
    "Form",
    "PromptLogProbs",
    "Row",
    "completions_body",
    "prompt_log_probs",
]

Form = Literal["prompt_logprobs", "echo"]
"""vLLM's own form, keyed by token id, and the older OpenAI one."""

FORMS: tuple[Form, ...] = ("prompt_logprobs", "echo")

Row = list[float | None]


@dataclass(frozen=True, slots=True)
class PromptLogProbs:
    """One server's answer.

    Attributes:
        rows: Of each prompt the log-probability of each token; None where the server
            gave none, as for the first token.
        usage: What it cost, as the server says.
    """

    rows: list[Row]
    usage: Usage


def completions_body(model: str, prompts: Sequence[Ids], form: Form) -> dict[str, Any]:
    """Write a request.

    Args:
        model: The served model's name.
        prompts: Token ids.
        form: How to ask.

    Returns:
        The body. In vLLM's form one token has to be generated.
    """
    body: dict[str, Any] = {
        "model": model,
        "prompt": [list(ids) for ids in prompts],
        "temperature": 0,
    }
    if form == "prompt_logprobs":
        return body | {"max_tokens": 1, "prompt_logprobs": 0}
    # 1 and not 0, which some servers take for no.
    return body | {"max_tokens": 0, "echo": True, "logprobs": 1}


def prompt_log_probs(
    reply: Reply, prompts: Sequence[Ids], form: Form
) -> PromptLogProbs:
    """Read an answer.

    Args:
        reply: What the server answered.
        prompts: What was asked, in order.
        form: How it was asked.

    Returns:
        A row a prompt, in the order asked.

    Raises:
        ServerFailureError: If the server refused, or the answer is not one row a
            prompt with one entry for each of its tokens.
    """
    body = reply.json()
    choices = body.get("choices") if isinstance(body, dict) else None
    if not isinstance(choices, list) or len(choices) != len(prompts):
        count = len(choices) if isinstance(choices, list) else "no"
        raise _malformed(reply, f"{count} choices for {len(prompts)} prompts")
    by_index = {
        c.get("index", i): c for i, c in enumerate(choices) if isinstance(c, dict)
    }
    rows: list[Row] = []
    for i, ids in enumerate(prompts):
        if i not in by_index:
            raise _malformed(reply, f"no choice {i}")
        choice = by_index[i]
        rows.append(
            _keyed(reply, choice, ids)
            if form == "prompt_logprobs"
            else _echoed(reply, choice, ids)
        )
    return PromptLogProbs(rows, _usage(body, prompts))


def _keyed(reply: Reply, choice: dict[str, Any], ids: Ids) -> Row:
    entries = choice.get("prompt_logprobs")
    if not isinstance(entries, list):
        raise _malformed(reply, "no prompt_logprobs")
    if len(entries) != len(ids):
        raise _malformed(reply, _count(len(entries), len(ids)))
    row: Row = [None]
    for at, (entry, token) in enumerate(zip(entries[1:], ids[1:], strict=True), 1):
        found = entry.get(str(token)) if isinstance(entry, dict) else None
        if not isinstance(found, dict) or "logprob" not in found:
            raise _malformed(reply, f"no entry for token {token} at position {at}")
        row.append(_number(found["logprob"]))
    return row


def _echoed(reply: Reply, choice: dict[str, Any], ids: Ids) -> Row:
    logprobs = choice.get("logprobs")
    values = logprobs.get("token_logprobs") if isinstance(logprobs, dict) else None
    if not isinstance(values, list):
        raise _malformed(reply, "no token_logprobs")
    if len(values) != len(ids):
        raise _malformed(reply, _count(len(values), len(ids)))
    return [None, *map(_number, values[1:])]


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _count(given: int, sent: int) -> str:
    return f"log-probabilities of {given} tokens where {sent} were sent"


def _usage(body: dict[str, Any], prompts: Sequence[Ids]) -> Usage:
    said = body.get("usage")
    said = said if isinstance(said, dict) else {}
    details = said.get("prompt_tokens_details")
    details = details if isinstance(details, dict) else {}
    sent = sum(map(len, prompts))
    return Usage(
        input_tokens=int(said.get("prompt_tokens") or sent),
        output_tokens=int(said.get("completion_tokens") or 0),
        cached_tokens=int(details.get("cached_tokens") or 0),
    )


def _malformed(reply: Reply, what: str) -> ServerFailureError:
    return ServerFailureError(
        f"{reply.call.shown} answered {what}.",
        remedy="A completions server that gives prompt log-probabilities, such as "
        "vLLM, is needed.",
        retryable=False,
        status=reply.status,
    )
