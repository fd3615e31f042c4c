"""Figures of scores against labels, each with its interval over tasks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langchain_agentrm.evaluation._estimates import Estimate, resampled
from langchain_agentrm.metrics import ranks, sibling_accuracy, top_one

__all__ = ["BINS", "Scored", "analyse", "calibration"]

BINS = 10
"""Bins of predictions, of equal width over 0..1."""


@dataclass(frozen=True, slots=True)
class Scored:
    """A labelled state and what the reward model says of it.

    Attributes:
        env: Environment.
        type: Task type.
        task: Task id.
        parent: The actions before, which siblings share.
        depth: Actions, the scored one included.
        length: Characters of what the reward model reads.
        n: Visits behind the label.
        value: The label, 0..1.
        score: The reward model's score; None where it failed.
    """

    env: str
    type: str
    task: str
    parent: str
    depth: int
    length: int
    n: int
    value: float
    score: float | None


def analyse(
    rows: Sequence[Scored], *, gap: float = 0.1, comparable: str = "global"
) -> dict[str, Any]:
    """Compute all figures, pooled and by task type, with intervals over tasks.

    Args:
        rows: Labelled states with scores.
        gap: Siblings whose values differ by less make no pair.
        comparable: What scores are comparable across; where it is not everything, only
            the order of siblings has a meaning.

    Returns:
        Figures as JSON; one that has no meaning is None.
    """
    known = [row for row in rows if row.score is not None]
    types = sorted({row.type for row in known})
    depths = sorted({row.depth for row in known})
    return {
        "gap": gap,
        "states": len(rows),
        "failed": len(rows) - len(known),
        "comparable": comparable,
        "pooled": _figures(known, gap, comparable),
        "by_type": {
            t: _figures([r for r in known if r.type == t], gap, comparable)
            for t in types
        },
        "by_depth": [
            {
                "depth": depth,
                "siblings": _plain(
                    _siblings([r for r in known if r.depth == depth], gap)
                ),
                "value": _plain(
                    _mean([(r.task, r.value) for r in known if r.depth == depth])
                ),
                "score": _plain(
                    _mean([(r.task, r.score or 0.0) for r in known if r.depth == depth])
                ),
                "states": sum(r.depth == depth for r in known),
            }
            for depth in depths
        ],
        "calibration": calibration(
            [(r.task, r.score or 0.0, r.value) for r in known]
            if comparable == "global"
            else []
        ),
    }


def _mean(rows: Sequence[tuple[str, float]]) -> Estimate | None:
    sums = _summed([(t, x, 0.0) for t, x in rows], lambda x, _: (1.0, x))
    return resampled(sums, lambda s: s[..., 1] / s[..., 0])


def _figures(
    rows: Sequence[Scored], gap: float, comparable: str
) -> dict[str, dict[str, float] | None]:
    triples = [(r.task, r.score or 0.0, r.value) for r in rows]
    out = {
        "siblings": _siblings(rows, gap),
        "top_one": _top_one(rows, gap),
    }
    if comparable == "global":
        out |= {
            "mse": _squared(triples),
            "variance": _squared([(t, 0.0, v) for t, _, v in triples], centred=True),
            "pearson": _correlation(triples),
            "spearman": _correlation(_ranked(triples)),
            "ece": _error(triples),
            "with_length": _correlation(
                [(r.task, r.score or 0.0, float(r.length)) for r in rows]
            ),
            "with_depth": _correlation(
                [(r.task, r.score or 0.0, float(r.depth)) for r in rows]
            ),
        }
    return {name: _plain(e) for name, e in out.items()}


def _plain(estimate: Estimate | None) -> dict[str, float] | None:
    return estimate.plain() if estimate else None


Triples = Sequence[tuple[str, float, float]]
"""Task, prediction and truth."""


def _summed(rows: Triples, terms: Any) -> dict[str, list[float]]:
    out: dict[str, list[float]] = {}
    for task, x, y in rows:
        new = terms(x, y)
        old = out.setdefault(task, [0.0] * len(new))
        for i, term in enumerate(new):
            old[i] += term
    return out


def _squared(rows: Triples, *, centred: bool = False) -> Estimate | None:
    if centred:
        sums = _summed(rows, lambda _, y: (1.0, y, y * y))
        return resampled(
            sums, lambda s: s[..., 2] / s[..., 0] - (s[..., 1] / s[..., 0]) ** 2
        )
    sums = _summed(rows, lambda x, y: (1.0, (x - y) ** 2))
    return resampled(sums, lambda s: s[..., 1] / s[..., 0])


def _correlation(rows: Triples) -> Estimate | None:
    # Centred first, so that the sums of squares lose no digits.
    mx = sum(x for _, x, _ in rows) / max(1, len(rows))
    my = sum(y for _, _, y in rows) / max(1, len(rows))
    flat = all(x == rows[0][1] for _, x, _ in rows)
    if flat or all(y == rows[0][2] for _, _, y in rows):
        return None
    sums = _summed(
        [(t, x - mx, y - my) for t, x, y in rows],
        lambda x, y: (1.0, x, y, x * x, y * y, x * y),
    )

    def figure(s: Any) -> Any:
        n, x, y, xx, yy, xy = (s[..., i] for i in range(6))
        return (n * xy - x * y) / ((n * xx - x * x) * (n * yy - y * y)) ** 0.5

    return resampled(sums, figure)


def _ranked(rows: Triples) -> Triples:
    """Ranks among all rows; they stay as they are when tasks are resampled."""
    left, right = ranks([x for _, x, _ in rows]), ranks([y for _, _, y in rows])
    return [(t, a, b) for (t, _, _), a, b in zip(rows, left, right, strict=True)]


def _error(rows: Triples) -> Estimate | None:
    def terms(x: float, y: float) -> list[float]:
        out = [0.0] * (1 + 2 * BINS)
        at = min(BINS - 1, max(0, int(x * BINS)))
        out[0], out[1 + at], out[1 + BINS + at] = 1.0, x, y
        return out

    def figure(s: Any) -> Any:
        gaps = abs(s[..., 1 : 1 + BINS] - s[..., 1 + BINS :])
        return gaps.sum(axis=-1) / s[..., 0]

    return resampled(_summed(rows, terms), figure)


def calibration(rows: Triples) -> dict[str, Any]:
    """Bins of predictions with the truth in them, and the expected error.

    Args:
        rows: Task, prediction and truth.

    Returns:
        `bins`, each with its mean prediction, an estimate of the truth and its count,
        `ece` as an estimate or None, and the share of predictions outside 0..1.
    """
    table: dict[int, list[tuple[str, float, float]]] = defaultdict(list)
    for task, x, y in rows:
        table[min(BINS - 1, max(0, int(x * BINS)))].append((task, x, y))
    bins = []
    for _, some in sorted(table.items()):
        truth = resampled(
            _summed(some, lambda _, y: (1.0, y)), lambda s: s[..., 1] / s[..., 0]
        )
        predicted = sum(x for _, x, _ in some) / len(some)
        bins.append({"predicted": round(predicted, 6), "truth": _plain(truth)})
    outside = sum(not 0 <= x <= 1 for _, x, _ in rows)
    return {
        "bins": bins,
        "ece": _plain(_error(rows)),
        "outside": round(outside / len(rows), 6) if rows else 0.0,
    }


def _families(rows: Sequence[Scored]) -> dict[str, list[list[tuple[float, float]]]]:
    found: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for row in rows:
        found[row.task, row.parent].append((row.score or 0.0, row.value))
    out: dict[str, list[list[tuple[float, float]]]] = defaultdict(list)
    for (task, _), family in found.items():
        out[task].append(family)
    return out


def _siblings(rows: Sequence[Scored], gap: float) -> Estimate | None:
    sums = {}
    for task, families in _families(rows).items():
        share, pairs = sibling_accuracy(families, gap=gap)
        if pairs:
            sums[task] = (float(pairs), share * pairs)
    return resampled(sums, lambda s: s[..., 1] / s[..., 0])


def _top_one(rows: Sequence[Scored], gap: float) -> Estimate | None:
    sums = {}
    for task, families in _families(rows).items():
        share, sets = top_one(families, gap=gap)
        if sets:
            sums[task] = (float(sets), share * sets)
    return resampled(sums, lambda s: s[..., 1] / s[..., 0])
