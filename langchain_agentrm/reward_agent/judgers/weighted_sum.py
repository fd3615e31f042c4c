"""The paper's way: the preference and every verdict, weighted and added up."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.reward_agent.judgers.base import (
    EXACT,
    PREFERENCE,
    PureJudger,
    Signal,
    checked_weights,
    levels,
)

__all__ = ["Normalize", "WeightedSum"]

Normalize = Literal["none", "zscore", "minmax", "rank", "sigmoid"]
"""How the preference is brought to the scale of the verdicts."""


class WeightedSum(PureJudger):
    """Adds up the preference and the verdicts: λ·preference + Σ weight·verdict.

    Verdicts lie in 0..1; a preference model may have any scale, and with one that
    ranges over tens no verdict counts. `normalize` acts on the preference alone, within
    the group:

    - `"none"`: as it is.
    - `"zscore"`: distance from the group's mean, in standard deviations.
    - `"minmax"`: from 0 for the group's lowest to 1 for its highest.
    - `"rank"`: even steps from 0 to 1, whatever the distances.
    - `"sigmoid"`: 1/(1+e^-x) of each value alone.

    Where all candidates are equal the first and the middle two give 0.0, 0.5 and 0.5.

    Source: Agentic Reward Modeling (ACL 2025), section 3; the public code adds with
    all weights 1 and normalises nothing.

    Args:
        weights: Weight of each verifier by name; 1 where it names none.
        lambda_: Weight of the preference.
        normalize: How the preference is scaled.

    Raises:
        ConfigurationError: If a weight is negative or not finite, or `normalize` is
            unknown.
    """

    def __init__(
        self,
        weights: Mapping[str, float] | None = None,
        lambda_: float = 1.0,
        normalize: Normalize = "none",
    ) -> None:
        """Check the options."""
        if normalize not in _SCALES:
            msg = f"normalize={normalize!r} is unknown."
            raise ConfigurationError(msg, remedy=f"Use one of {', '.join(_SCALES)}.")
        given = dict(weights or {})
        if PREFERENCE in given:
            msg = f"weights has {PREFERENCE!r}: {given[PREFERENCE]!r}."
            raise ConfigurationError(msg, remedy="Give its weight as lambda_.")
        self.weights = checked_weights("WeightedSum", given)
        self.lambda_ = checked_weights("WeightedSum", {"lambda_": lambda_})["lambda_"]
        self.normalize: Normalize = normalize

    @property
    def names(self) -> frozenset[str]:
        """Verifiers that `weights` names."""
        return frozenset(self.weights)

    def resolution(self, preference: float) -> float:
        """Tell below which difference its scores are ties."""
        if self.normalize == "none":
            return max(EXACT, self.lambda_ * preference)
        return EXACT

    def scores(self, signals: Sequence[Signal]) -> list[float]:
        """Add up each candidate's signals.

        Args:
            signals: At least one, each with a value for every candidate.

        Returns:
            One sum each.
        """
        columns = [
            [self.weights.get(s.name, 1.0) * value for value in s.values]
            if s.verifiable
            else [self.lambda_ * value for value in self._scaled(s)]
            for s in signals
        ]
        return [math.fsum(row) for row in zip(*columns, strict=True)]

    def _scaled(self, signal: Signal) -> list[float]:
        if self.normalize == "none":
            return list(signal.values)
        # Noise below the resolution would be blown up to a difference.
        places = levels(signal.values, signal.resolution)
        means = {
            place: _mean(
                [v for v, p in zip(signal.values, places, strict=True) if p == place]
            )
            for place in set(places)
        }
        return _SCALES[self.normalize]([means[place] for place in places])


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _zscore(values: Sequence[float]) -> list[float]:
    mean = _mean(values)
    spread = math.sqrt(_mean([(v - mean) ** 2 for v in values]))
    return [(v - mean) / spread if spread else 0.0 for v in values]


def _minmax(values: Sequence[float]) -> list[float]:
    low, high = min(values), max(values)
    return [(v - low) / (high - low) if high > low else 0.5 for v in values]


def _rank(values: Sequence[float]) -> list[float]:
    return _minmax([float(place) for place in levels(values, 0.0)])


def _sigmoid(values: Sequence[float]) -> list[float]:
    return [(1 + math.tanh(v / 2)) / 2 for v in values]


_SCALES: dict[str, Callable[[Sequence[float]], list[float]]] = {
    "none": list,
    "zscore": _zscore,
    "minmax": _minmax,
    "rank": _rank,
    "sigmoid": _sigmoid,
}
