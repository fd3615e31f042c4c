"""A value as probabilities of a few values, which is what a distributional head learns.

Of the targets beyond the paper's mean return, this alone won (docs/evidence.md, "Which
value a reward model should learn").
"""

from __future__ import annotations

from collections.abc import Sequence

from langchain_agentrm.errors import ConfigurationError

__all__ = ["bin_centres", "two_hot"]


def bin_centres(bins: int, low: float = 0.0, high: float = 1.0) -> list[float]:
    """Values that a distributional head gives probabilities to.

    Args:
        bins: How many, at least 2.
        low: The lowest.
        high: The highest.

    Returns:
        The values, evenly spaced.

    Raises:
        ConfigurationError: If there are too few bins or no range.
    """
    if bins < 2 or not low < high:  # noqa: PLR2004 - a range has two ends
        msg = f"{bins} bins over {low}..{high} are no distribution."
        raise ConfigurationError(msg, remedy="Use 2 bins or more and low below high.")
    return [low + (high - low) * i / (bins - 1) for i in range(bins)]


def two_hot(value: float, centres: Sequence[float]) -> list[float]:
    """Write a value as probabilities of the two bins next to it.

    Args:
        value: The value; outside the range it counts as the range's end.
        centres: Values of the bins, rising.

    Returns:
        Probabilities whose mean is the value.
    """
    inside = min(max(value, centres[0]), centres[-1])
    out = [0.0] * len(centres)
    upper = next(i for i, centre in enumerate(centres) if centre >= inside)
    if upper == 0:
        out[0] = 1.0
        return out
    share = (inside - centres[upper - 1]) / (centres[upper] - centres[upper - 1])
    out[upper - 1], out[upper] = 1 - share, share
    return out
