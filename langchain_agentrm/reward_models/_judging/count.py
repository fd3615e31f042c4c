"""From a judge's readings to scores: places become points, points become means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from langchain_agentrm.types import Score

__all__ = ["Ballot", "Tiers", "duels", "mean_of", "pairs_of", "points_of", "rankings"]

_TOP_GRADE = 10.0

Tiers = tuple[tuple[int, ...], ...]
"""Candidates best first, those of equal rank together."""


@dataclass(slots=True)
class Ballot:
    """One question and what came of it."""

    order: tuple[int, ...]
    reading: Tiers | float | None = None
    error: str = ""
    failure: Exception | None = None


def pairs_of(ring: Sequence[int], opponents: int) -> list[tuple[int, int]]:
    """All pairs, or those of neighbours on a seeded ring, as many for each.

    Args:
        ring: The candidates, shuffled.
        opponents: How many others each is compared with at least.

    Returns:
        Pairs of candidates.
    """
    n = len(ring)
    if n - 1 <= opponents:
        return list(combinations(ring, 2))
    reach = (opponents + 1) // 2
    pairs = {
        frozenset((ring[i], ring[(i + step) % n]))
        for i in range(n)
        for step in range(1, reach + 1)
    }
    return sorted((min(pair), max(pair)) for pair in pairs)


def points_of(reading: Tiers | float | None) -> dict[int, float]:
    """Turn a ranking into points, 1 for the first and 0 for the last; a grade too."""
    if reading is None:
        return {}
    if isinstance(reading, float):
        return {0: reading / _TOP_GRADE}
    n = sum(len(tier) for tier in reading)
    out: dict[int, float] = {}
    ahead = 0
    for tier in reading:
        # Those of equal rank share the mean of the places that they take up.
        place = ahead + (len(tier) - 1) / 2
        out |= dict.fromkeys(tier, (n - 1 - place) / (n - 1))
        ahead += len(tier)
    return out


def rankings(ballots: Sequence[Ballot], n: int) -> tuple[list[list[float]], list[int]]:
    """Count rankings and grades, each on its own.

    Args:
        ballots: One a vote.
        n: How many candidates there are.

    Returns:
        Points of each candidate in 0..1, and how many votes were lost.
    """
    votes: list[list[float]] = [[] for _ in range(n)]
    for ballot in ballots:
        for i, points in points_of(ballot.reading).items():
            votes[i].append(points)
    return votes, [sum(b.reading is None for b in ballots)] * n


def duels(ballots: Sequence[Ballot], n: int) -> tuple[list[list[float]], list[int]]:
    """Count comparisons, both orders of one together.

    Args:
        ballots: Two a comparison, one after the other.
        n: How many candidates there are.

    Returns:
        Points of each candidate in 0..1, and how many of its comparisons were lost.
    """
    votes: list[list[float]] = [[] for _ in range(n)]
    lost = [0] * n
    for one, other in zip(ballots[::2], ballots[1::2], strict=True):
        for i in one.order:
            if one.reading is None or other.reading is None:
                # One order alone would let the judge's favourite place decide.
                lost[i] += 1
            else:
                mean = (points_of(one.reading)[i] + points_of(other.reading)[i]) / 2
                votes[i].append(mean)
    return votes, lost


def mean_of(votes: Sequence[float], lost: int, last: str) -> Score:
    if not votes:
        return Score(error=f"all {lost} votes of the judge were lost; the last: {last}")
    signals = {"votes": float(len(votes))}
    if lost:
        signals["lost_votes"] = float(lost)
    # Sorted, so that equal votes in another order give the very same float.
    return Score(sum(sorted(votes)) / len(votes), signals)
