"""Every signal has a vote on every pair of candidates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from langchain_agentrm.reward_agent.judgers.base import (
    EXACT,
    PureJudger,
    Signal,
    checked_weights,
    levels,
)

__all__ = ["MajorityVote"]


class MajorityVote(PureJudger):
    """Lets the signals vote on each pair; the score is the share of pairs won.

    In a pair each signal votes, with its weight, for the candidate whose value is
    higher, and for neither where they are equal; the heavier side wins, a tie counts
    half. A candidate alone gets 0.5. How far apart two values are plays no part.

    Source: the public code of Agentic Reward Modeling counts, for each signal, a win of
    its single best candidate; for two candidates both ways agree. Pairs also rank those
    that come after the best, which a search that keeps several needs.

    Args:
        weights: Weight of each signal by name, the preference among them; 1 where it
            names none.

    Raises:
        ConfigurationError: If a weight is negative or not finite.
    """

    def __init__(self, weights: Mapping[str, float] | None = None) -> None:
        """Check the weights."""
        self.weights = checked_weights("MajorityVote", dict(weights or {}))

    @property
    def names(self) -> frozenset[str]:
        """Signals that `weights` names."""
        return frozenset(self.weights)

    def scores(self, signals: Sequence[Signal]) -> list[float]:
        """Count the pairs that each candidate wins.

        Args:
            signals: At least one, each with a value for every candidate.

        Returns:
            Shares from 0 to 1.
        """
        votes = [
            (
                self.weights.get(s.name, 1.0),
                levels(s.values, max(EXACT, s.resolution)),
            )
            for s in signals
        ]
        n = len(signals[0].values)
        if n == 1:
            return [0.5]
        return [
            sum(_won(votes, i, j) for j in range(n) if j != i) / (n - 1)
            for i in range(n)
        ]


def _won(votes: Sequence[tuple[float, list[int]]], one: int, other: int) -> float:
    """1 if the first of two candidates has the heavier side, 0.5 for a tie."""
    lead = math.fsum(
        weight * ((places[one] > places[other]) - (places[one] < places[other]))
        for weight, places in votes
    )
    return 0.5 if abs(lead) <= EXACT else float(lead > 0)
