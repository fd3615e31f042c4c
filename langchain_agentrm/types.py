"""Plain data that travels between policy, search, reward model and environment."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from langchain_core.messages import AIMessage, BaseMessage
from typing_extensions import TypedDict

__all__ = [
    "Action",
    "Batch",
    "Candidate",
    "ProposalRequest",
    "Score",
    "TaskRef",
    "Transition",
    "Usage",
]

T = TypeVar("T")

Action = str | list[dict[str, Any]]
"""What runs: a text, or a list of tool calls `{name, args}`."""


class TaskRef(TypedDict):
    """One instance to solve, as plain JSON.

    Attributes:
        env: Registry name of the environment, such as `"babyai"`.
        type: Task type (family), such as a BabyAI level.
        id: Identifier that means the same on every machine.
        seed: Seed of the instance.
    """

    env: str
    type: str
    id: str
    seed: int


@dataclass(frozen=True, slots=True)
class Usage:
    """Requests and tokens, each counted once whatever became of the answer.

    Attributes:
        requests: Calls of a server, or texts of a model in process.
        input_tokens: Tokens read, those from a cache included.
        output_tokens: Tokens written.
        cached_tokens: Those of `input_tokens` that came from a cache, where known.
    """

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0

    @property
    def tokens(self) -> int:
        """Input plus output tokens."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        """Add field by field."""
        return Usage(
            self.requests + other.requests,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_tokens + other.cached_tokens,
        )


@dataclass(frozen=True, slots=True)
class Batch(Generic[T]):
    """The answers to one batched call, in the order asked, and what it cost."""

    items: Sequence[T]
    usage: Usage = Usage()


@dataclass(frozen=True, slots=True)
class Score:
    """A reward model's opinion of one trajectory: a finite float, or an error.

    Attributes:
        value: The score; None exactly when `error` is set.
        signals: Named parts of the score, for traces.
        error: Why there is no score.
    """

    value: float | None = None
    signals: Mapping[str, float] = field(default_factory=dict)
    error: str | None = None

    @classmethod
    def of(cls, value: float, **signals: float) -> Score:
        """Make a score, turning NaN and infinities into an error.

        Args:
            value: What the model returned.
            **signals: Named parts of it.

        Returns:
            A finite score, or one that carries an error naming the value.
        """
        if math.isfinite(value):
            return cls(float(value), signals)
        return cls(None, signals, f"the reward model returned {value!r}")

    @property
    def ok(self) -> bool:
        """Whether there is a value."""
        return self.value is not None


@dataclass(frozen=True, slots=True)
class Candidate:
    """One proposed AI message; its score travels on it, never by position or text.

    Attributes:
        id: Node id in the search tree; empty until the action grammar was applied.
        parent: Node id of the state it was proposed in.
        message: The AI message as the policy gave it.
        action: What runs; None when the message holds no action.
        key: What is compared: normalised text, or names and sorted JSON arguments.
        votes: How many equal proposals it stands for.
        source: How it was drawn.
        logprob: Sum of its tokens' log-probabilities, where the policy gives them.
        score: The reward model's opinion, once there is one.
        error: Why it is invalid.
    """

    message: AIMessage
    parent: str = ""
    id: str = ""
    action: Action | None = None
    key: str = ""
    votes: int = 1
    source: Literal["sampled", "greedy"] = "sampled"
    logprob: float | None = None
    score: Score | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class ProposalRequest:
    """Ask a policy for n candidates in one state.

    Attributes:
        parent: Node id of the state.
        messages: What the policy reads.
        n: How many candidates.
        seed: Seed of this request; the draws of one request are told apart by index.
        greedy: Ask for the single most likely answer instead of samples.
        temperature: Overrides the proposer's own temperature where it can.
    """

    parent: str
    messages: Sequence[BaseMessage]
    n: int
    seed: int
    greedy: bool = False
    temperature: float | None = None


@dataclass(frozen=True, slots=True)
class Transition:
    """What an environment answers to one action.

    Attributes:
        observation: The text that the agent reads next.
        progress: 0..1, what the environment reports on the way.
        done: Whether the episode is over.
        success: Whether the task is solved.
        score: The episode score so far, as the benchmark defines it, 0..1.
        info: Plain JSON: `valid` (the engine accepted the action) and engine figures.
    """

    observation: str
    progress: float = 0.0
    done: bool = False
    success: bool = False
    score: float = 0.0
    info: Mapping[str, Any] = field(default_factory=dict)
