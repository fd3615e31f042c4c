"""Pure statistics: intervals, paired bootstrap by task, correlation, calibration."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from statistics import fmean

__all__ = [
    "bootstrap",
    "calibration_bins",
    "calibration_error",
    "mean",
    "paired_bootstrap",
    "pearson",
    "ranks",
    "sibling_accuracy",
    "spearman",
    "top_one",
]


def mean(values: Sequence[float]) -> float:
    """Arithmetic mean; 0.0 of nothing."""
    return fmean(values) if values else 0.0


def bootstrap(
    by_task: Mapping[Hashable, Sequence[float]],
    *,
    draws: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[float, float]:
    """Interval of a mean, resampling tasks and not single episodes.

    Args:
        by_task: Values of each task (several training seeds give several values).
        draws: Bootstrap draws.
        seed: Seed of the draws.
        level: Coverage.

    Returns:
        Lower and upper bound; (0, 0) of nothing.
    """
    groups = [(sum(v), len(v)) for v in by_task.values() if v]
    if not groups:
        return 0.0, 0.0
    rng = random.Random(seed)  # noqa: S311 - statistics
    means = []
    for _ in range(draws):
        picked = rng.choices(groups, k=len(groups))
        means.append(sum(s for s, _ in picked) / sum(n for _, n in picked))
    means.sort()
    cut = int(draws * (1 - level) / 2)
    return means[cut], means[draws - 1 - cut]


def paired_bootstrap(
    left: Mapping[Hashable, Mapping[Hashable, float]],
    right: Mapping[Hashable, Mapping[Hashable, float]],
    *,
    draws: int = 2000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Mean difference of two methods on the same tasks, with its 95 % interval.

    Args:
        left: Value by task and run (training seed).
        right: The same for what it is compared with; only common cells count.
        draws: Bootstrap draws.
        seed: Seed of the draws.

    Returns:
        Mean of left minus right, lower and upper bound.
    """
    diffs: dict[Hashable, list[float]] = defaultdict(list)
    for task, runs in left.items():
        for run, value in runs.items():
            other = right.get(task, {}).get(run)
            if other is not None:
                diffs[task].append(value - other)
    low, high = bootstrap(diffs, draws=draws, seed=seed)
    return mean([d for v in diffs.values() for d in v]), low, high


def sibling_accuracy(
    groups: Sequence[Sequence[tuple[float, float]]], *, gap: float = 0.1
) -> tuple[float, int]:
    """How often a model orders two siblings as their true values do.

    Args:
        groups: For each set of siblings, pairs of (predicted, true).
        gap: Pairs whose true values differ by less are left out.

    Returns:
        Accuracy (ties count half) and the number of pairs.
    """
    right = 0.0
    pairs = 0
    for group in groups:
        for i, (p, t) in enumerate(group):
            for q, u in group[i + 1 :]:
                if abs(t - u) >= gap:
                    pairs += 1
                    right += 0.5 if p == q else float((p > q) == (t > u))
    return (right / pairs if pairs else 0.0), pairs


def calibration_bins(
    pairs: Sequence[tuple[float, float]], *, bins: int = 10
) -> list[tuple[float, float, int]]:
    """Mean prediction, mean truth and count of each bin of predictions in 0..1."""
    table: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for predicted, true in pairs:
        at = min(bins - 1, max(0, int(predicted * bins)))
        table[at].append((predicted, true))
    return [
        (mean([p for p, _ in v]), mean([t for _, t in v]), len(v))
        for _, v in sorted(table.items())
    ]


def calibration_error(
    pairs: Sequence[tuple[float, float]], *, bins: int = 10
) -> float | None:
    """Expected calibration error: mean distance of prediction and truth over bins.

    Args:
        pairs: Predictions in 0..1 and true values.
        bins: Bins of equal width.

    Returns:
        The error, bins weighed by their counts; None of nothing.
    """
    if not pairs:
        return None
    table = calibration_bins(pairs, bins=bins)
    return sum(n * abs(p - t) for p, t, n in table) / len(pairs)


def pearson(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Linear correlation; None where either side does not vary."""
    xs, ys = [x for x, _ in pairs], [y for _, y in pairs]
    mx, my = mean(xs), mean(ys)
    sxx = math.fsum((x - mx) ** 2 for x in xs)
    syy = math.fsum((y - my) ** 2 for y in ys)
    if sxx <= 0 or syy <= 0:
        return None
    return math.fsum((x - mx) * (y - my) for x, y in pairs) / math.sqrt(sxx * syy)


def ranks(values: Sequence[float]) -> list[float]:
    """Places from 1; equal values share the mean of theirs."""
    order = sorted(range(len(values)), key=values.__getitem__)
    out = [0.0] * len(values)
    at = 0
    while at < len(order):
        end = at
        while end < len(order) and values[order[end]] == values[order[at]]:
            end += 1
        for i in order[at:end]:
            out[i] = (at + end + 1) / 2
        at = end
    return out


def spearman(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Correlation of ranks; None where either side does not vary."""
    left = ranks([x for x, _ in pairs])
    right = ranks([y for _, y in pairs])
    return pearson(list(zip(left, right, strict=True)))


def top_one(
    groups: Sequence[Sequence[tuple[float, float]]], *, gap: float = 0.1
) -> tuple[float, int]:
    """How often the sibling with the highest prediction has the highest true value.

    Args:
        groups: For each set of siblings, pairs of (predicted, true).
        gap: Sets whose best and worst true values differ by less are left out.

    Returns:
        Share of sets (equal predictions share the pick) and the number of sets.
    """
    right = 0.0
    sets = 0
    for group in groups:
        truths = [t for _, t in group]
        if not truths or max(truths) - min(truths) < gap:
            continue
        sets += 1
        highest = max(p for p, _ in group)
        picked = [t for p, t in group if p == highest]
        right += sum(t == max(truths) for t in picked) / len(picked)
    return (right / sets if sets else 0.0), sets
