"""What one search of many in lockstep spent."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from langchain_agentrm.errors import RewardModelError
from langchain_agentrm.search import Evaluate, Propose
from langchain_agentrm.trajectory import Trajectory
from langchain_agentrm.types import Batch, Score, Usage

__all__ = ["Cost", "RandomScores", "Spent", "metered"]

Effects = Generator[Propose | Evaluate, Any, Any]


@dataclass(slots=True)
class Spent:
    """Usage that grows while a search runs."""

    policy: Usage = field(default_factory=Usage)
    reward: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one method would take alone for one task.

    Attributes:
        policy_calls: Requests of the policy.
        policy_tokens: Its tokens, read and written.
        rm_calls: Requests of the reward model.
        rm_tokens: Its tokens.
        env_steps: Actions that engines executed, those of replays included.
        seconds: Wall-clock seconds, the search's share of its chunk.
    """

    policy_calls: float = 0.0
    policy_tokens: float = 0.0
    rm_calls: float = 0.0
    rm_tokens: float = 0.0
    env_steps: float = 0.0
    seconds: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        """Add field by field."""
        return Cost(
            self.policy_calls + other.policy_calls,
            self.policy_tokens + other.policy_tokens,
            self.rm_calls + other.rm_calls,
            self.rm_tokens + other.rm_tokens,
            self.env_steps + other.env_steps,
            self.seconds + other.seconds,
        )

    def times(self, share: float) -> Cost:
        """Take a share of everything."""
        return Cost(
            self.policy_calls * share,
            self.policy_tokens * share,
            self.rm_calls * share,
            self.rm_tokens * share,
            self.env_steps * share,
            self.seconds * share,
        )


def metered(search: Effects, spent: Spent) -> Effects:
    """Run a search as it is and add up its part of every batch.

    Args:
        search: The search.
        spent: Gets what it uses.

    Returns:
        The same search.
    """
    answer: Any = None
    error: RewardModelError | None = None
    while True:
        try:
            effect = search.throw(error) if error else search.send(answer)
        except StopIteration as stop:
            return stop.value
        answer, error = None, None
        try:
            answer = yield effect
        except RewardModelError as failure:
            error = failure
            continue
        if isinstance(effect, Propose):
            spent.policy += answer.usage
        else:
            spent.reward += answer.usage


class RandomScores:
    """The control's scorer: a number drawn from the trajectory's text and the seed."""

    resolution = 0.0
    comparable: Literal["global", "group", "depth"] = "global"

    def __init__(self, seed: int) -> None:
        """Take the run's seed."""
        self.seed = seed

    def score(self, trajectories: Sequence[Trajectory]) -> Batch[Score]:
        """Draw a score each; the same text always draws the same."""
        return Batch([Score.of(self._draw(t)) for t in trajectories])

    async def ascore(self, trajectories: Sequence[Trajectory]) -> Batch[Score]:
        """Async twin of `score`."""
        return self.score(trajectories)

    def _draw(self, trajectory: Trajectory) -> float:
        text = f"{self.seed}|{trajectory.task}|{trajectory.turns}"
        digest = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8)
        return int.from_bytes(digest.digest()) / 2**64
