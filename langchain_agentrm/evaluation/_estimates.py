"""Means and differences with intervals, by resampling tasks; numpy does the draws."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Estimate", "estimate", "expected_best", "resampled"]

DRAWS = 2000
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure, its 95 % interval, and what it rests on.

    Attributes:
        value: The figure.
        low: Lower bound.
        high: Upper bound.
        tasks: Tasks that were resampled.
        n: Values, several a task where there are several seeds.
    """

    value: float
    low: float
    high: float
    tasks: int
    n: int

    @property
    def above(self) -> bool:
        """Whether the whole interval lies above zero."""
        return self.low > 0

    @property
    def below(self) -> bool:
        """Whether the whole interval lies below zero."""
        return self.high < 0

    def plain(self) -> dict[str, float]:
        """As JSON, rounded to six places."""
        return {
            "value": round(self.value, 6),
            "low": round(self.low, 6),
            "high": round(self.high, 6),
            "tasks": self.tasks,
            "n": self.n,
        }


Strata = Mapping[Hashable, Mapping[Hashable, Sequence[float]]]
"""Values by stratum and task."""


def estimate(strata: Strata, *, seed: int = 0) -> Estimate | None:
    """Mean over strata of the mean over values, tasks resampled within each stratum.

    With one stratum it is the micro average, with one a task family the macro average.

    Args:
        strata: Values by stratum and task; a task's values are never torn apart.
        seed: Seed of the draws.

    Returns:
        The estimate; None of nothing.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    value, n, tasks, parts = 0.0, 0, 0, 0
    drawn = np.zeros(DRAWS)
    for by_task in strata.values():
        rows = [(math.fsum(v), len(v)) for v in by_task.values() if v]
        if not rows:
            continue
        sums = np.array(rows, dtype=float)
        total = sums.sum(axis=0)
        value += total[0] / total[1]
        picks = rng.multinomial(len(rows), [1 / len(rows)] * len(rows), DRAWS) @ sums
        drawn += picks[:, 0] / picks[:, 1]
        n += int(total[1])
        tasks += len(rows)
        parts += 1
    if not parts:
        return None
    low, high = _bounds(drawn / parts)
    return Estimate(float(value) / parts, low, high, tasks, n)


def resampled(
    sums: Mapping[str, Sequence[float]],
    figure: Callable[[Any], Any],
    *,
    seed: int = 0,
) -> Estimate | None:
    """Any figure of sums over tasks, with its interval.

    Args:
        sums: What adds up over tasks, by task; the first number counts its values.
        figure: Makes the figure of an array of totals whose last axis is that of
            `sums`; NaN where it has no meaning.
        seed: Seed of the draws.

    Returns:
        The estimate; None of nothing, or where the figure has no meaning.
    """
    import numpy as np

    if not sums:
        return None
    table = np.array([list(row) for row in sums.values()], dtype=float)
    rng = np.random.default_rng(seed)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(figure(table.sum(axis=0)))
        share = [1 / len(table)] * len(table)
        drawn = figure(rng.multinomial(len(table), share, DRAWS) @ table)
    if not math.isfinite(value):
        return None
    low, high = _bounds(drawn[np.isfinite(drawn)])
    return Estimate(value, low, high, len(table), int(table[:, 0].sum()))


def _bounds(drawn: Any) -> tuple[float, float]:
    import numpy as np

    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(drawn, [tail, 100 - tail])
    return float(low), float(high)


def expected_best(pairs: Sequence[tuple[float, float]], n: int) -> float:
    """Mean score of the highest valued of n draws, over all subsets of a pool.

    Exact: the r-th best of M is the best of a random subset of n with probability
    C(M-r, n-1) / C(M, n). Equal values share their places.

    Args:
        pairs: Value and score of each draw of the pool.
        n: How many are drawn; all where the pool is smaller.

    Returns:
        The expected score; 0.0 of nothing.
    """
    if not pairs:
        return 0.0
    order = sorted(pairs, key=lambda p: -p[0])
    size = len(order)
    n = min(n, size)
    whole = math.comb(size, n)
    total = 0.0
    at = 0
    while at < size:
        end = at
        while end < size and order[end][0] == order[at][0]:
            end += 1
        chance = sum(math.comb(size - 1 - r, n - 1) for r in range(at, end)) / whole
        total += chance * math.fsum(s for _, s in order[at:end]) / (end - at)
        at = end
    return total
