"""The main table: every method, its differences, its cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from langchain_agentrm.evaluation.report._data import (
    ASIDE,
    Row,
    Runs,
    difference,
    mean_of,
)
from langchain_agentrm.evaluation.report._model import Cell, Percent, Section, Table

__all__ = ["Scope", "main_section", "scopes", "strongest_control"]


@dataclass(frozen=True, slots=True)
class Scope:
    """Which episodes a table or curve is about.

    Attributes:
        title: What it is called.
        policy: The policy.
        rows: Its episodes.
        stratum: Field whose values weigh the same in the macro average.
        whole: Whether it takes in all groups of its environments.
    """

    title: str
    policy: str
    rows: Sequence[Row]
    stratum: str
    whole: bool


def scopes(runs: Runs) -> list[Scope]:
    """List the scopes: all environments, each environment, each of its groups."""
    out = []
    for policy in dict.fromkeys(r["policy"] for r in runs.episodes):
        mine = runs.select(policy=policy, env=set(runs.usual))
        envs = list(dict.fromkeys(r["env"] for r in mine))
        usual = [r for r in mine if r["group"] != ASIDE]
        if len(envs) > 1:
            out.append(Scope("all environments", policy, usual, "env", whole=True))
        for env in envs:
            here = [r for r in usual if r["env"] == env]
            groups = list(dict.fromkeys(r["group"] for r in mine if r["env"] == env))
            if here:
                out.append(Scope(env, policy, here, "type", whole=True))
            if len(groups) > 1:
                for group in groups:
                    some = [r for r in mine if r["env"] == env and r["group"] == group]
                    name = f"{env}, {group.replace('_', '-')}"
                    out.append(Scope(name, policy, some, "type", whole=False))
    return out


def strongest_control(runs: Runs, rows: Sequence[Row]) -> str | None:
    """Name the method without a reward model that scores best, greedy aside.

    Only those that were run in most environments count: one that was run in the easiest
    alone would look the best.
    """
    means: dict[str, tuple[int, float]] = {}
    for name, method in runs.methods.items():
        mine = [r for r in rows if r["method"] == name]
        found = mean_of(mine)
        if method.control and found:
            means[name] = len({r["env"] for r in mine}), found.value
    return max(means, key=lambda name: means[name]) if means else None


def main_section(runs: Runs) -> Section:
    """Make the main tables, and one by task type."""
    every = scopes(runs)
    if not every:
        return Section(
            "main", "Main table", missing="Run `agentrm eval run` on any environment."
        )
    tables = [_table(runs, scope) for scope in every]
    tables += [_by_type(runs, scope) for scope in every if scope.whole]
    text = (
        (
            "Score in % of the best possible, with 95 % intervals by bootstrap over "
            "tasks. Micro: every episode weighs the same. Macro: every environment "
            "weighs the same, or every task type where a table is about one "
            "environment. Differences are paired by task and seed. The strongest "
            "control is the best method without a reward model in that table, chosen "
            "after the fact and so in its favour. A failed episode scores 0. "
            "An interval without width says that all tasks scored alike, not that the "
            "figure is certain."
        ),
        (
            "Tokens, environment steps and seconds are means an episode. For methods "
            "that choose among samples they are the method's share of one pool, in "
            "which equal beginnings are read once: alone it would read a little more, "
            "its reward model up to about twice as much."
        ),
    )
    return Section("main", "Main table", text, tables)


def _table(runs: Runs, scope: Scope) -> Table:
    control = strongest_control(runs, scope.rows)
    by_method: dict[tuple[str, str], list[Row]] = {}
    for row in scope.rows:
        by_method.setdefault((row["method"], row["rm"]), []).append(row)
    greedy = by_method.get(("greedy", "-"), [])
    rival = [r for r in scope.rows if r["method"] == control]
    order = list(runs.methods)
    cells: list[list[Cell | Percent]] = []
    strong = set()
    for method, rm in sorted(by_method, key=lambda k: (order.index(k[0]), k[1])):
        some = by_method[method, rm]
        if runs.methods[method].guided:
            strong.add(len(cells))
        cells.append(
            [
                method,
                rm if rm != "-" else "",
                len(some),
                Percent(mean_of(some)),
                Percent(mean_of(some, scope.stratum)),
                Percent(
                    None if method == "greedy" else difference(some, greedy),
                    signed=True,
                ),
                Percent(
                    None
                    if method in {control, "greedy"} or control is None
                    else difference(some, rival),
                    signed=True,
                ),
                _cost(some, "policy_tokens"),
                _cost(some, "rm_tokens"),
                _cost(some, "env_steps"),
                _cost(some, "wall_s"),
            ]
        )
    failed = sum(bool(r.get("failure")) for r in scope.rows)
    return Table(
        f"{scope.title} (policy {scope.policy})",
        [
            "method",
            "RM",
            "n",
            "score %, micro",
            "score %, macro",
            "minus greedy",
            f"minus {control}" if control else "minus control",
            "policy tokens",
            "RM tokens",
            "env steps",
            "s",
        ],
        cells,
        note=f"{_tasks(scope.rows)} Episodes that failed: {failed}.",
        strong=frozenset(strong),
    )


def _cost(rows: Sequence[Row], name: str) -> float | None:
    known = [r[name] for r in rows if r.get(name) is not None]
    return sum(known) / len(known) if known else None


def _tasks(rows: Sequence[Row]) -> str:
    tasks = {(r["env"], r["task_id"]) for r in rows}
    seeds = sorted({r["seed"] for r in rows})
    types = sorted({r["type"] for r in rows})
    named = f": {', '.join(types)}" if len(types) <= 12 else ""  # noqa: PLR2004
    return (
        f"{len(tasks)} tasks of {len(types)} task type{'s' * (len(types) > 1)}{named}; "
        f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}."
    )


def _by_type(runs: Runs, scope: Scope) -> Table:
    """Means alone: a type has too few episodes for more, and the note says so."""
    field = scope.stratum
    names = [m for m in runs.methods if any(r["method"] == m for r in scope.rows)]
    values = list(dict.fromkeys(r[field] for r in scope.rows))
    cells: list[list[Cell | Percent]] = []
    for value in values:
        some = [r for r in scope.rows if r[field] == value]
        row: list[Cell | Percent] = [value]
        row.append(len({(r["env"], r["task_id"], r["seed"]) for r in some}))
        for name in names:
            found = [r["score"] for r in some if r["method"] == name]
            mean = sum(found) / len(found) if found else None
            row.append(None if mean is None else f"{100 * mean:.0f}")
        cells.append(row)
    what = "environment" if field == "env" else "task type"
    return Table(
        f"{scope.title} by {what} (policy {scope.policy}), mean score %",
        [what, "n", *names],
        cells,
        note="Few episodes a row: a look, not a result. Reward models are pooled.",
    )
