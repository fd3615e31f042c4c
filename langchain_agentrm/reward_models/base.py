"""The reward-model seam: one score or one error per trajectory, in order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, Protocol, runtime_checkable

from langchain_agentrm.errors import RewardModelError
from langchain_agentrm.trajectory import Trajectory
from langchain_agentrm.types import Batch, Score

__all__ = ["Comparable", "RewardModel", "checked", "reads_admissible"]

Comparable = Literal["global", "group", "depth"]
"""What scores may be compared across: everything, one group, paths of one length."""


@runtime_checkable
class RewardModel(Protocol):
    """Scores trajectories, all that compete in one call.

    Attributes:
        resolution: Differences below it are ties.
        comparable: What the scores may be compared across.
    """

    @property
    def resolution(self) -> float:
        """Differences below it are ties."""
        ...

    @property
    def comparable(self) -> Comparable:
        """What the scores may be compared across."""
        ...

    def score(self, trajectories: Sequence[Trajectory]) -> Batch[Score]:
        """Score trajectories.

        Args:
            trajectories: What competes; may be empty.

        Returns:
            One score or error each, in the order given.

        Raises:
            RewardModelError: If there is no usable answer at all.
        """
        ...

    async def ascore(self, trajectories: Sequence[Trajectory]) -> Batch[Score]:
        """Async twin of `score`."""
        ...


def reads_admissible(reward_model: object) -> bool:
    """Tell whether a reward model wants to know each state's admissible actions.

    An engine may take long to list them, so searches do it only where this holds.

    Args:
        reward_model: Any reward model; one that wants them has a true attribute
            `reads_admissible`.

    Returns:
        Whether `Trajectory.admissible` is to be filled.
    """
    return bool(getattr(reward_model, "reads_admissible", False))


def checked(trajectories: Sequence[Trajectory], batch: Batch[Score]) -> Batch[Score]:
    """Hold a reward model to its contract.

    Args:
        trajectories: What was asked.
        batch: What came back.

    Returns:
        The batch, with values that are not finite turned into errors.

    Raises:
        RewardModelError: If there is not one score per trajectory.
    """
    if len(batch.items) != len(trajectories):
        msg = (
            f"The reward model returned {len(batch.items)} scores for "
            f"{len(trajectories)} trajectories."
        )
        raise RewardModelError(
            msg, remedy="It must return one per trajectory, in the order given."
        )
    return Batch([_finite(score) for score in batch.items], batch.usage)


def _finite(score: Score) -> Score:
    if score.value is None:
        return score if score.error else Score(error="the reward model gave no value")
    if math.isfinite(score.value):
        return score
    return Score.of(score.value, **score.signals)
