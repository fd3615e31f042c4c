"""What is asked of a local model, what comes back, and what both become in a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from langchain_agentrm.chat_models._sampling import stream_keys
from langchain_agentrm.errors import ConfigurationError

__all__ = ["Answers", "Ask", "Plan", "Sample", "check"]


@dataclass(frozen=True, slots=True)
class Ask:
    """A request: a prompt and how to answer it.

    Attributes:
        prompt: Chat messages, or token ids that are used as they are.
        n: How many answers.
        seed: Seed; the draws of one request are told apart by index.
        temperature: Above 0; without effect when greedy.
        greedy: Take the most likely token each time.
    """

    prompt: Sequence[Mapping[str, str]] | Sequence[int]
    n: int = 1
    seed: int = 0
    temperature: float = 1.0
    greedy: bool = False


@dataclass(frozen=True, slots=True)
class Sample:
    """One answer.

    Attributes:
        text: The answer without special tokens.
        logprob: Sum of its tokens' log-probabilities at temperature 1, end included.
        tokens: Its tokens, end included.
        finish_reason: Whether it ended by itself or was cut off.
    """

    text: str
    logprob: float
    tokens: int
    finish_reason: Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class Answers:
    """What came of one request: its samples, or why there are none."""

    samples: list[Sample]
    prompt_tokens: int
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The distinct prompts and which samples grow from each."""

    prompts: list[tuple[int, ...]]
    samples: list[list[int]]
    key: np.ndarray[Any, np.dtype[np.uint64]]
    temperature: np.ndarray[Any, np.dtype[np.float32]]
    greedy: np.ndarray[Any, np.dtype[np.bool_]]

    @classmethod
    def of(
        cls,
        asks: Sequence[Ask],
        ids: list[tuple[int, ...]],
        counts: list[int],
        first: np.ndarray[Any, Any],
    ) -> Plan:
        """Group samples by prompt.

        Args:
            asks: The requests.
            ids: Their prompts.
            counts: How many samples each gets.
            first: Number of each request's first sample.

        Returns:
            The plan.
        """
        where: dict[tuple[int, ...], list[int]] = {}
        for i, prompt in enumerate(ids):
            if counts[i]:
                where.setdefault(prompt, []).extend(range(first[i], first[i + 1]))
        keys = [stream_keys(a.seed, c) for a, c in zip(asks, counts, strict=True)]
        return cls(
            list(where),
            list(where.values()),
            np.concatenate(keys) if keys else np.zeros(0, np.uint64),
            np.repeat(
                np.array([a.temperature for a in asks], dtype=np.float32), counts
            ),
            np.repeat(np.array([a.greedy for a in asks], dtype=bool), counts),
        )


def check(asks: Sequence[Ask], max_new_tokens: int) -> None:
    """Refuse requests that cannot work.

    Args:
        asks: The requests.
        max_new_tokens: Longest answer.

    Raises:
        ConfigurationError: If a count or a temperature cannot work.
    """
    if max_new_tokens < 1:
        msg = f"max_new_tokens is {max_new_tokens}."
        raise ConfigurationError(msg, remedy="Allow at least one token.")
    for ask in asks:
        if ask.n < 1:
            msg = f"A request asks for n={ask.n} answers."
            raise ConfigurationError(msg, remedy="Ask for at least one.")
        if not ask.greedy and not ask.temperature > 0:
            msg = f"A sampled request has temperature {ask.temperature}."
            raise ConfigurationError(
                msg, remedy="Use a temperature above 0, or greedy=True."
            )
