"""A reward model that is shown the actions alone, or the observations alone.

Source: AgentRM (ACL 2025), the ablation of the state: what is left of a reward model's
gain when it reads a part of the state only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.reward_models.base import Comparable, RewardModel
from langchain_agentrm.trajectory import Trajectory, Turn
from langchain_agentrm.types import Batch, Score

__all__ = ["BLANK", "Keep", "KeptRewardModel", "kept_turn"]

Keep = Literal["action", "observation"]
"""What is left of each turn; goal and instruction always are."""

BLANK = "-"
"""Stands for what a reward model is not shown, so that a turn keeps its place."""


def kept_turn(keep: Keep, turn: Turn) -> Turn:
    """Blank the other part of a turn, in training data and in search alike.

    Args:
        keep: What is left.
        turn: The turn.

    Returns:
        The same turn with `BLANK` in place of its other part.
    """
    if keep == "action":
        return replace(turn, observation=BLANK)
    return replace(turn, action=BLANK)


@dataclass(frozen=True, slots=True)
class KeptRewardModel:
    """Shows another reward model one part of each turn, and no more.

    The other one was trained on samples that lack the same part: stage `keep` of
    `langchain_agentrm.training` makes them. Admissible actions are never asked for,
    since they tell of the state.

    Attributes:
        model: The reward model.
        keep: What it is shown.
    """

    model: RewardModel
    keep: Keep

    def __post_init__(self) -> None:
        """Refuse what cannot be kept.

        Raises:
            ConfigurationError: If `keep` names no part of a turn.
        """
        if self.keep not in get_args(Keep):
            msg = f"keep={self.keep!r} names no part of a turn."
            raise ConfigurationError(
                msg, remedy=f"Use one of {', '.join(get_args(Keep))}."
            )

    @property
    def resolution(self) -> float:
        """That of the model."""
        return self.model.resolution

    @property
    def comparable(self) -> Comparable:
        """That of the model."""
        return self.model.comparable

    def score(self, trajectories: Sequence[Trajectory]) -> Batch[Score]:
        """Score what is left of the trajectories."""
        return self.model.score([self.reduced(t) for t in trajectories])

    async def ascore(self, trajectories: Sequence[Trajectory]) -> Batch[Score]:
        """Async twin of `score`."""
        return await self.model.ascore([self.reduced(t) for t in trajectories])

    def reduced(self, trajectory: Trajectory) -> Trajectory:
        """Give the trajectory as the model is shown it."""
        return replace(
            trajectory,
            turns=tuple(kept_turn(self.keep, turn) for turn in trajectory.turns),
            admissible=(),
            calls=trajectory.calls if self.keep == "action" else (),
        )
