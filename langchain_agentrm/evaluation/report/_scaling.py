"""Score against test-time compute: over N, over policy tokens, over all tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from langchain_agentrm.evaluation._estimates import Estimate, estimate, expected_best
from langchain_agentrm.evaluation.report._data import (
    ASIDE,
    Row,
    Runs,
    mean_of,
    slug,
    task_of,
)
from langchain_agentrm.evaluation.report._main import Scope, scopes
from langchain_agentrm.evaluation.report._model import (
    Cell,
    Figure,
    Percent,
    Section,
    Table,
)
from langchain_agentrm.evaluation.report._plots import Line, lines, points

__all__ = ["Curve", "cost_section", "curves", "rise", "scaling_section"]

Curve = dict[int, Estimate]
"""Expected score by N."""

_ADVICE = (
    "Run a suite with pooled methods up to best-of-32, such as the usual ones of "
    "`agentrm eval run`."
)


def curves(runs: Runs, scope: Scope) -> dict[str, Curve]:
    """Expected score over N for each way to choose among samples.

    Every N is the exact mean over all subsets of one pool a task, so that the points
    differ by N and not by luck.

    Args:
        runs: The runs.
        scope: Which episodes.

    Returns:
        Curves by chooser: each reward model, likelihood, the oracle and chance.
    """
    pools = _pools(runs, scope)
    if not pools:
        return {}
    most = min(len(p["draws"]) for p in pools)
    sizes = [2**i for i in range(most.bit_length()) if 2**i <= most]
    choosers: dict[str, Callable[[Row], list[float] | None]] = {}
    for name in sorted({name for p in pools for name in p["values"]}):
        choosers[f"best-of-N, {name}"] = _by_values(name)
    choosers["likelihood-of-N"] = lambda p: [d["logprob"] for d in p["draws"]]
    choosers["oracle-of-N"] = lambda p: [d["score"] for d in p["draws"]]
    choosers["random"] = lambda p: [0.0] * len(p["draws"])
    out: dict[str, Curve] = {}
    for label, chooser in choosers.items():
        curve = {n: _at(pools, chooser, n) for n in sizes}
        out[label] = {n: e for n, e in curve.items() if e}
    return {label: curve for label, curve in out.items() if curve}


def _pools(runs: Runs, scope: Scope) -> list[Row]:
    wanted = {(task_of(r), r["seed"]) for r in scope.rows}
    return [
        p
        for p in runs.pools
        if p["policy"] == scope.policy
        and p["draws"]
        and (task_of(p), p["seed"]) in wanted
    ]


def rise(
    runs: Runs, scope: Scope, label: str
) -> Iterator[tuple[int, int, Estimate | None]]:
    """Paired differences along a reward model's curve: its start and its end.

    Yields:
        The smaller N, the larger one, and the difference.
    """
    name = label.removeprefix("best-of-N, ")
    pools = _pools(runs, scope)
    most = max(curves(runs, scope)[label])
    for low, high in dict.fromkeys([(1, 4), (most // 2, most)]):
        by_task: dict[Any, list[float]] = {}
        for pool in pools:
            values = pool["values"].get(name)
            if values is not None:
                pairs = [
                    (value, draw["score"])
                    for value, draw in zip(values, pool["draws"], strict=True)
                ]
                more = expected_best(pairs, high) - expected_best(pairs, low)
                by_task.setdefault(task_of(pool), []).append(more)
        yield low, high, estimate({"": by_task})


def _by_values(name: str) -> Callable[[Row], list[float] | None]:
    return lambda pool: pool["values"].get(name)


def _at(
    pools: Sequence[Row], chooser: Callable[[Row], list[float] | None], n: int
) -> Estimate | None:
    by_task: dict[Any, list[float]] = {}
    for pool in pools:
        values = chooser(pool)
        if values is None:
            continue
        pairs = [
            (value, draw["score"])
            for value, draw in zip(values, pool["draws"], strict=True)
        ]
        by_task.setdefault(task_of(pool), []).append(expected_best(pairs, n))
    return estimate({"": by_task})


def tokens_per_draw(rows: Sequence[Row]) -> float | None:
    """Mean policy tokens of one sampled episode, from any method that samples."""
    for kind in ("random-of-", "likelihood-of-", "oracle-of-"):
        some = [
            r
            for r in rows
            if r["method"].startswith(kind) and r["policy_tokens"] is not None
        ]
        if some:
            share = 1 if kind == "random-of-" else None
            total = sum(r["policy_tokens"] / (share or r["N"]) for r in some)
            return float(total) / len(some)
    return None


def scaling_section(runs: Runs) -> Section:
    """Make the curves over N and over policy tokens."""
    tables, figures = [], []
    for scope in scopes(runs):
        found = curves(runs, scope)
        if not found:
            continue
        title = f"{scope.title} (policy {scope.policy})"
        name = slug(f"scaling {scope.title} {scope.policy}")
        tables.append(_table(title, found))
        if scope.whole:
            figures.append(_over_n(name, title, found))
            figures += _over_tokens(runs, scope, name, title, found)
    if not tables:
        return Section("scaling", "Test-time scaling", missing=_ADVICE)
    text = (
        (
            "One pool of samples a task; the score at N is its exact mean over all "
            "subsets of N. `random` is what one sample scores, `oracle-of-N` the "
            "share where any sample succeeds: no chooser can be above it. Beams are "
            "drawn against the policy tokens they took, as their widths have no N."
        ),
    )
    return Section("scaling", "Test-time scaling", text, tables, figures)


def _table(title: str, found: dict[str, Curve]) -> Table:
    sizes = sorted({n for curve in found.values() for n in curve})
    cells: list[list[Cell | Percent]] = [
        [label, *(Percent(curve.get(n)) for n in sizes)]
        for label, curve in found.items()
    ]
    some = next(iter(found.values()))[sizes[0]]
    return Table(
        f"{title}: score % over N",
        ["chosen by", *(f"N = {n}" for n in sizes)],
        cells,
        note=f"{some.tasks} tasks, {some.n} pools.",
        strong=frozenset(i for i, k in enumerate(found) if k.startswith("best")),
    )


def _over_n(name: str, title: str, found: dict[str, Curve]) -> Figure:
    series = [Line(k, [*curve], [*curve.values()]) for k, curve in found.items()]
    return lines(
        name,
        f"{title}: score over N",
        series,
        x_label="N, samples a task (log scale)",
        log=2,
    )


def _over_tokens(
    runs: Runs, scope: Scope, name: str, title: str, found: dict[str, Curve]
) -> list[Figure]:
    each = tokens_per_draw(scope.rows)
    if not each:
        return []
    series = [
        Line(label, [n * each for n in curve], [*curve.values()])
        for label, curve in found.items()
        if label.startswith(("best", "likelihood"))
    ]
    for rm in sorted({r["rm"] for r in scope.rows}):
        beams = [
            method
            for method in runs.methods.values()
            if method.kind == ("random-beam" if rm == "-" else "beam")
        ]
        xs, ys, labels = [], [], []
        for method in beams:
            some = [
                r for r in scope.rows if (r["method"], r["rm"]) == (method.name, rm)
            ]
            costs = [r["policy_tokens"] for r in some if r["policy_tokens"] is not None]
            mean = mean_of(some)
            if mean and costs:
                xs.append(sum(costs) / len(costs))
                ys.append(mean)
                labels.append(f"{method.w1}x{method.w2}")
        if xs:
            label = "beams, random scores" if rm == "-" else f"beams W1xW2, {rm}"
            series.append(Line(label, xs, ys, joined=False, labels=labels))
    return [
        lines(
            f"{name}-tokens",
            f"{title}: score over policy tokens",
            series,
            x_label="policy tokens an episode (log scale)",
            log=10,
        )
    ]


def cost_section(runs: Runs) -> Section:
    """Draw every method's score against all tokens it took."""
    figures = []
    for scope in scopes(runs):
        if not scope.whole:
            continue
        series = []
        for label, kinds in _FAMILIES.items():
            line = _family(runs, scope, label, kinds)
            if line:
                series.append(line)
        if series:
            figures.append(
                points(
                    slug(f"cost {scope.title} {scope.policy}"),
                    f"{scope.title} (policy {scope.policy}): score against cost",
                    series,
                    x_label="tokens of policy and reward model an episode (log scale)",
                )
            )
    if not figures:
        missing = "No run counted tokens: run `agentrm eval run`."
        return Section("cost", "Score against cost", missing=missing)
    text = (
        (
            "Up and to the left is better. Tokens are those of the main table, of "
            f"policy and reward model; types in group {ASIDE!r} are left out."
        ),
    )
    return Section("cost", "Score against cost", text, figures=figures)


_FAMILIES = {
    "without reward model": {
        "greedy",
        "random",
        "vote",
        "likelihood",
        "finished-first",
    },
    "best-of-N": {"best", "best-greedy"},
    "beams": {"beam"},
    "beams, random scores": {"random-beam"},
}


def _family(runs: Runs, scope: Scope, label: str, kinds: set[str]) -> Line | None:
    xs, ys, labels = [], [], []
    for method in runs.methods.values():
        if method.kind not in kinds:
            continue
        some = [r for r in scope.rows if r["method"] == method.name]
        costs = [
            r["policy_tokens"] + r["rm_tokens"]
            for r in some
            if r["policy_tokens"] is not None and r["rm_tokens"] is not None
        ]
        mean = mean_of(some)
        if mean and sum(costs):
            xs.append(sum(costs) / len(costs))
            ys.append(mean)
            labels.append(method.name.replace("-of-", " "))
    return Line(label, xs, ys, joined=False, labels=labels) if xs else None
