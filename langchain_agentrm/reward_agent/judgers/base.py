"""The judger's seam: the signals of one group in, one score each out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol, runtime_checkable

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.trajectory import Trajectory
from langchain_agentrm.types import Batch, Score

__all__ = ["PREFERENCE", "Judger", "PureJudger", "Signal", "levels", "relative_ranks"]

PREFERENCE = "preference"
"""Name of the preference model's signal."""

EXACT = 1e-9
"""Resolution of what is computed, not measured."""


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal of a group, there for every candidate.

    Attributes:
        name: A verifier's name, or `PREFERENCE`.
        values: One for each candidate, in order; higher is better. Verdicts lie in
            0..1; the preference model's values have its own scale.
        resolution: Differences up to it are ties.
    """

    name: str
    values: tuple[float, ...]
    resolution: float = 0.0

    @property
    def verifiable(self) -> bool:
        """Whether it is a verdict, not a preference."""
        return self.name != PREFERENCE


@runtime_checkable
class Judger(Protocol):
    """Joins the signals of one group of candidates."""

    @property
    def names(self) -> frozenset[str]:
        """Signals that its options name; `RewardAgent` refuses unknown ones."""
        ...

    def resolution(self, preference: float) -> float:
        """Tell below which difference its scores are ties.

        Args:
            preference: Resolution of the preference model.

        Returns:
            Resolution of the joined scores.
        """
        ...

    def judge(
        self, trajectories: Sequence[Trajectory], signals: Sequence[Signal]
    ) -> Batch[Score]:
        """Score the candidates of one group.

        Args:
            trajectories: The candidates.
            signals: At least one, each with a value for every candidate.

        Returns:
            One score or error each, comparable within the group: higher is better,
            equal is a tie.

        Raises:
            RewardModelError: If there is no usable score at all.
        """
        ...

    async def ajudge(
        self, trajectories: Sequence[Trajectory], signals: Sequence[Signal]
    ) -> Batch[Score]:
        """Async twin of `judge`."""
        ...


class PureJudger:
    """Base of judgers that compute, and ask nobody: give `scores`."""

    @property
    def names(self) -> frozenset[str]:
        """Signals that its options name."""
        return frozenset()

    def resolution(self, preference: float) -> float:
        """Tell below which difference its scores are ties."""
        del preference
        return EXACT

    def scores(self, signals: Sequence[Signal]) -> list[float]:
        """Score the candidates, a pure function of their signals.

        Args:
            signals: At least one, each with a value for every candidate.

        Returns:
            One finite number for each candidate.
        """
        raise NotImplementedError

    def judge(
        self, trajectories: Sequence[Trajectory], signals: Sequence[Signal]
    ) -> Batch[Score]:
        """Score the candidates of one group."""
        del trajectories
        return Batch([Score.of(value) for value in self.scores(signals)])

    async def ajudge(
        self, trajectories: Sequence[Trajectory], signals: Sequence[Signal]
    ) -> Batch[Score]:
        """Async twin of `judge`."""
        return self.judge(trajectories, signals)


def levels(values: Sequence[float], tolerance: float) -> list[int]:
    """Number the different values from 0, the lowest; those within reach are equal.

    Values are equal if a chain of steps, none wider than the tolerance, joins them, so
    that neither their order nor their sign matters.
    """
    order = sorted(range(len(values)), key=lambda i: values[i])
    out = [0] * len(values)
    level = 0
    for before, i in pairwise(order):
        if values[i] - values[before] > tolerance:
            level += 1
        out[i] = level
    return out


def relative_ranks(keys: Sequence[tuple[int, ...]]) -> list[float]:
    """Map keys to 0..1: 1 for the highest, 0 for the lowest, even steps between.

    Where all are equal, each gets 0.5.
    """
    places = {key: place for place, key in enumerate(sorted(set(keys)))}
    top = len(places) - 1
    return [places[key] / top if top else 0.5 for key in keys]


def checked_weights(what: str, weights: dict[str, float]) -> dict[str, float]:
    """Refuse weights that are negative or not finite.

    Args:
        what: The judger, for the error.
        weights: Weights by signal.

    Returns:
        The same weights.

    Raises:
        ConfigurationError: If one cannot be a weight.
    """
    for name, weight in weights.items():
        if not 0 <= weight < float("inf"):
            msg = f"{what}: the weight of {name!r} is {weight!r}."
            raise ConfigurationError(msg, remedy="Give a finite number, 0 or more.")
    return weights
