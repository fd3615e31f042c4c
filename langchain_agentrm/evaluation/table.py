"""From records to rows: success, intervals, differences to greedy, cost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

from typing_extensions import TypedDict

from langchain_agentrm.evaluation.methods import CONTROLS, METHODS, Record
from langchain_agentrm.metrics import bootstrap, mean, paired_bootstrap

__all__ = ["Row", "as_json", "compare", "rows", "strongest_control"]

Runs = Mapping[int, Sequence[Record]]
"""Records by training seed."""


class Row(TypedDict):
    """One method on one split; success and deltas in 0..1, deltas against greedy."""

    method: str
    split: str
    types: list[str]
    training_seed: int | str
    episodes: int
    success: float
    ci_low: float
    ci_high: float
    delta: float
    delta_low: float
    delta_high: float
    held: float
    policy_tokens: float
    rm_tokens: float
    seconds: float


def _cells(
    runs: Runs, method: str, types: set[str]
) -> dict[Hashable, dict[Hashable, float]]:
    out: dict[Hashable, dict[Hashable, float]] = defaultdict(dict)
    for seed, records in runs.items():
        for r in records:
            if r.method == method and r.type in types:
                out[r.task][seed] = r.score
    return out


def rows(runs: Runs, splits: Mapping[str, Iterable[str]]) -> list[Row]:
    """Make one row per split and method, pooled over the runs.

    Args:
        runs: Records by training seed.
        splits: Task types of each split's name.

    Returns:
        Rows in the order of the splits and of `METHODS`, other methods after them.
    """
    out: list[Row] = []
    seeds = sorted(runs)
    for split, names in splits.items():
        types = set(names)
        base = _cells(runs, "greedy", types)
        seen = {r.method for records in runs.values() for r in records}
        for method in (*METHODS, *sorted(seen - {*METHODS})):
            cells = _cells(runs, method, types)
            if not cells:
                continue
            some = [
                r
                for records in runs.values()
                for r in records
                if r.method == method and r.type in types
            ]
            low, high = bootstrap({k: list(v.values()) for k, v in cells.items()})
            delta, delta_low, delta_high = paired_bootstrap(cells, base)
            out.append(
                Row(
                    method=method,
                    split=split,
                    types=sorted({r.type for r in some}),
                    training_seed=seeds[0] if len(seeds) == 1 else "pooled",
                    episodes=len(some),
                    success=mean([r.score for r in some]),
                    ci_low=low,
                    ci_high=high,
                    delta=delta,
                    delta_low=delta_low,
                    delta_high=delta_high,
                    held=mean([r.held for r in some]),
                    policy_tokens=mean([r.policy_tokens for r in some]),
                    rm_tokens=mean([r.rm_tokens for r in some]),
                    seconds=mean([r.seconds for r in some]),
                )
            )
    return out


def strongest_control(table: Sequence[Row], split: str) -> str | None:
    """Name the control with the highest success on a split."""
    some = [r for r in table if r["split"] == split and r["method"] in CONTROLS]
    return max(some, key=lambda r: r["success"])["method"] if some else None


def compare(
    runs: Runs, left: str, right: str, types: Iterable[str]
) -> tuple[float, float, float]:
    """Paired difference of two methods on some task types, with its interval."""
    some = set(types)
    return paired_bootstrap(_cells(runs, left, some), _cells(runs, right, some))


def as_json(table: Sequence[Row]) -> list[dict[str, Any]]:
    """Rows as plain JSON with rounded figures."""
    return [
        {k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}
        for row in table
    ]
