"""Signals one after the other: the next one decides what the last one left tied."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.reward_agent.judgers.base import (
    EXACT,
    PureJudger,
    Signal,
    levels,
    relative_ranks,
)

__all__ = ["Lexicographic"]


class Lexicographic(PureJudger):
    """What can be verified decides; the preference breaks its ties.

    Candidates are compared by the first signal; where that leaves them equal, by the
    second, and so on. Nothing has to be brought to one scale, and no preference,
    however strong, outweighs a verdict. The scores are places: 1.0 for the best, 0.0
    for the worst, even steps between, equal for those that no signal tells apart, and
    0.5 if that is all of them. So they say who is better, not by how much.

    Source: ours; the paper adds the signals up, see `WeightedSum`.

    Args:
        order: Names of signals, the most important first. Those that it does not name
            follow: verifiers in the order in which the agent has them, then the
            preference.
        eps: Differences of verdicts up to it are ties. For the preference, its model's
            own resolution counts where that is larger.

    Raises:
        ConfigurationError: If a name comes twice or `eps` is negative.
    """

    def __init__(self, order: Sequence[str] | None = None, eps: float = EXACT) -> None:
        """Check the options."""
        self.order = tuple(order or ())
        self.eps = eps
        if len(set(self.order)) != len(self.order):
            msg = f"order={list(self.order)!r} names a signal twice."
            raise ConfigurationError(msg, remedy="Name each signal once.")
        if not 0 <= eps < float("inf"):
            msg = f"eps={eps!r} is no tolerance."
            raise ConfigurationError(msg, remedy="Give 0 or a small positive number.")

    @property
    def names(self) -> frozenset[str]:
        """Signals that `order` names."""
        return frozenset(self.order)

    def scores(self, signals: Sequence[Signal]) -> list[float]:
        """Give every candidate its place.

        Args:
            signals: At least one, each with a value for every candidate.

        Returns:
            Places from 0 to 1.
        """
        named = {name: place for place, name in enumerate(self.order)}
        ordered = sorted(
            signals, key=lambda s: (named.get(s.name, len(named)), not s.verifiable)
        )
        columns = [levels(s.values, max(self.eps, s.resolution)) for s in ordered]
        return relative_ranks(list(zip(*columns, strict=True)))
