"""A reward model out of a plain function, for rules of one's own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.reward_models.base import Comparable, checked
from langchain_agentrm.trajectory import Trajectory
from langchain_agentrm.types import Batch, Score, Usage

__all__ = ["FunctionRewardModel"]


class FunctionRewardModel:
    """Wraps a callable that maps trajectories to numbers.

    Attributes:
        resolution: Differences below it are ties.
        comparable: What the scores may be compared across.
    """

    def __init__(
        self,
        fn: Callable[[list[Trajectory]], Sequence[float]],
        *,
        resolution: float = 0.0,
        comparable: Comparable = "global",
    ) -> None:
        """Wrap a function.

        Args:
            fn: One number per trajectory, in order; higher is better.
            resolution: Differences below it are ties.
            comparable: What its numbers may be compared across.

        Raises:
            ConfigurationError: If the resolution is negative.
        """
        if not resolution >= 0:
            msg = f"resolution is {resolution}."
            raise ConfigurationError(msg, remedy="Use 0 or a small positive number.")
        self._fn = fn
        self.resolution = resolution
        self.comparable: Comparable = comparable

    def score(self, trajectories: Sequence[Trajectory]) -> Batch[Score]:
        """Score trajectories.

        Args:
            trajectories: What competes.

        Returns:
            One score each; a value that is not finite becomes an error.

        Raises:
            RewardModelError: If the function returned another number of values.
        """
        if not trajectories:
            return Batch([])
        values = self._fn(list(trajectories))
        scores = [Score.of(float(value)) for value in values]
        return checked(trajectories, Batch(scores, Usage(requests=1)))

    async def ascore(self, trajectories: Sequence[Trajectory]) -> Batch[Score]:
        """Async twin of `score`; the function runs in a thread."""
        return await asyncio.to_thread(self.score, trajectories)
