"""Where a gain holds: other grammars, parts of a state, less data, other models."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import stdev

from langchain_agentrm.evaluation._estimates import Estimate
from langchain_agentrm.evaluation.report._data import (
    ASIDE,
    Row,
    Runs,
    difference,
    mean_of,
    slug,
)
from langchain_agentrm.evaluation.report._model import Cell, Percent, Section, Table
from langchain_agentrm.evaluation.report._plots import Line, bars, heat_map, lines

__all__ = [
    "ablation_section",
    "chosen_methods",
    "data_section",
    "gain",
    "heat_section",
    "robustness_section",
    "weak_to_strong_section",
]


def chosen_methods(runs: Runs, rows: Sequence[Row]) -> list[str]:
    """Guided methods that stand for their families, of those run in most environments.

    Returns:
        One best-of-N (N = 5, else the largest) and one beam (5x5, else the widest).
    """
    where: dict[str, set[str]] = {}
    for row in rows:
        where.setdefault(row["method"], set()).add(row["env"])
    out = []
    for kind, usual in (("best", "best-of-5"), ("beam", "beam-5x5")):
        some = [m for m in runs.methods.values() if m.kind == kind and m.name in where]
        most = max((len(where[m.name]) for m in some), default=0)
        some = [m for m in some if len(where[m.name]) == most]
        if some:
            best = max(some, key=lambda m: (m.name == usual, m.n, m.w1 * m.w2))
            out.append(best.name)
    return out


def gain(rows: Sequence[Row], method: str, rm: str | None = None) -> Estimate | None:
    """Paired difference of a method to greedy, of one reward model or of all."""
    left = [r for r in rows if r["method"] == method and rm in {None, r["rm"]}]
    return difference(left, [r for r in rows if r["method"] == "greedy"])


def _usual(runs: Runs) -> list[Row]:
    """Rows of unperturbed environments, those set aside left out."""
    usual = set(runs.usual)
    return [r for r in runs.episodes if r["env"] in usual and r["group"] != ASIDE]


def robustness_section(runs: Runs) -> Section:
    """Compare perturbed action grammars with the usual one."""
    by: dict[int, list[Row]] = {}
    for row in runs.episodes:
        number = runs.environments[row["env"]].perturbation
        if number is not None and row["group"] != ASIDE:
            by.setdefault(number, []).append(row)
    if not any(by):
        return Section(
            "robustness",
            "Perturbed action grammars",
            missing="Run ALFWorld with option perturbation=0 and with 1 to 5.",
        )
    numbers = sorted(by)
    cells: list[list[Cell | Percent]] = []
    series = []
    rows = [r for some in by.values() for r in some]
    names = ["greedy", *chosen_methods(runs, rows)]
    for policy in dict.fromkeys(r["policy"] for r in rows):
        for method in names:
            means = {
                n: mean_of(
                    r for r in by[n] if (r["policy"], r["method"]) == (policy, method)
                )
                for n in numbers
            }
            known = [e.value for n, e in means.items() if n and e]
            if not known:
                continue
            label = f"{policy}, {method}"
            sd = f"{100 * stdev(known):.1f}" if len(known) > 1 else None
            average = f"{100 * sum(known) / len(known):.1f}"
            cells.append([label, *(Percent(means[n]) for n in numbers), average, sd])
            series.append((label, [means[n] for n in numbers]))
    heads = ["unperturbed" if n == 0 else f"P{n}" for n in numbers]
    table = Table(
        "Score % under each perturbation",
        ["policy, method", *heads, "mean of P", "sd over P"],
        cells,
        note="Mean and standard deviation are over the perturbations that were run.",
    )
    title = "Score under perturbed action grammars"
    figure = bars("robustness", title, heads, series)
    return Section("robustness", "Perturbed action grammars", (), (table,), (figure,))


def ablation_section(runs: Runs) -> Section:
    """Compare reward models that read different parts of a state."""
    kept = {k: v.keep for k, v in runs.reward_models.items() if v.keep}
    rows = [r for r in _usual(runs) if r["rm"] in kept or r["rm"] == "-"]
    if len(set(kept.values())) < 2:  # noqa: PLR2004 - a comparison
        return Section(
            "ablation",
            "What of the state the reward model reads",
            missing="Train reward models on parts of the state, and name the part with "
            "`keep` in the suite's settings.",
        )
    names = chosen_methods(runs, rows)
    labels = list(dict.fromkeys(kept.values()))
    cells: list[list[Cell | Percent]] = []
    for label in labels:
        models = [name for name, keep in kept.items() if keep == label]
        some = [r for r in rows if r["rm"] in models]
        means = [Percent(mean_of(r for r in some if r["method"] == m)) for m in names]
        cells.append([label, len(models), *means])

    def of(method: str, label: str) -> Estimate | None:
        return mean_of(
            r for r in rows if r["method"] == method and kept.get(r["rm"]) == label
        )

    series = [(method, [of(method, label) for label in labels]) for method in names]
    title = "Score by what of the state is kept"
    table = Table(title, ["kept", "reward models", *names], cells)
    figure = bars("ablation", title, labels, series)
    return Section(
        "ablation", "What of the state the reward model reads", (), (table,), (figure,)
    )


def data_points(runs: Runs) -> dict[str, dict[int, Estimate]]:
    """Score by method and by training states of the reward model."""
    sizes = {k: v.states for k, v in runs.reward_models.items() if v.states}
    rows = [r for r in _usual(runs) if r["rm"] in sizes]
    out: dict[str, dict[int, Estimate]] = {}
    for method in chosen_methods(runs, rows):
        for size in sorted(set(sizes.values())):
            found = mean_of(
                r for r in rows if r["method"] == method and sizes[r["rm"]] == size
            )
            if found:
                out.setdefault(method, {})[size] = found
    return out


def data_section(runs: Runs) -> Section:
    """Draw the score over the number of training states."""
    found = data_points(runs)
    if not any(len(points) > 1 for points in found.values()):
        return Section(
            "data",
            "More training states",
            missing="Train reward models on nested subsets of the samples, and give "
            "their number with `states` in the suite's settings.",
        )
    sizes = sorted({n for points in found.values() for n in points})
    table = Table(
        "Score % by training states",
        ["method", *(f"{n:,}" for n in sizes)],
        [[m, *(Percent(points.get(n)) for n in sizes)] for m, points in found.items()],
        note="Reward models trained on as many states are pooled.",
    )
    figure = lines(
        "data-scaling",
        "Score over training states of the reward model",
        [Line(m, [*points], [*points.values()]) for m, points in found.items()],
        x_label="training states (log scale)",
        log=10,
    )
    return Section("data", "More training states", (), (table,), (figure,))


def weak_to_strong_section(runs: Runs) -> Section:
    """Compare a reward model's gain for its own policy and for others."""
    source = {k: v.trees_from for k, v in runs.reward_models.items() if v.trees_from}
    rows = _usual(runs)
    cells: list[list[Cell | Percent]] = []
    for rm, own in source.items():
        policies = dict.fromkeys(r["policy"] for r in rows if r["rm"] == rm)
        if not any(policy != own for policy in policies):
            continue
        for policy in policies:
            some = [r for r in rows if r["policy"] == policy]
            for method in chosen_methods(runs, some):
                greedy = mean_of(r for r in some if r["method"] == "greedy")
                mean = mean_of(
                    r for r in some if (r["method"], r["rm"]) == (method, rm)
                )
                whose = "its own" if policy == own else f"trees of {own}"
                size = runs.policies[policy].size
                cells.append(
                    [
                        rm,
                        policy,
                        f"{size:,.0f}" if size else None,
                        whose,
                        method,
                        Percent(greedy),
                        Percent(mean),
                        Percent(gain(some, method, rm), signed=True),
                    ]
                )
    if not cells:
        return Section(
            "weak-to-strong",
            "One reward model, other policies",
            missing="Run a reward model with a policy that its trees are not from, and "
            "give `trees_from` in the suite's settings.",
        )
    columns = ["reward model", "policy", "size", "trained on", "method", "greedy %"]
    table = Table("Gain by policy", [*columns, "score %", "minus greedy"], cells)
    return Section("weak-to-strong", "One reward model, other policies", (), (table,))


def heat_section(runs: Runs) -> Section:
    """Map the gain of models trained on one task, by where they are evaluated."""
    rows = _usual(runs)
    figures = []
    envs = list(dict.fromkeys(r["env"] for r in rows))
    models = {k: v for k, v in runs.reward_models.items() if len(v.trained_on) == 1}
    methods = chosen_methods(runs, [r for r in rows if r["rm"] in models])
    if len(models) > 1 and methods:

        def by_rm(name: str, env: str) -> Estimate | None:
            return gain([r for r in rows if r["env"] == env], methods[0], name)

        figures.append(
            heat_map(
                slug(f"heat rm {methods[0]}"),
                f"Reward model trained on one task: {methods[0]} minus greedy",
                list(models),
                envs,
                by_rm,
            )
        )
    base = [k for k, v in runs.policies.items() if not v.trained_on]
    tuned = [k for k, v in runs.policies.items() if len(v.trained_on) == 1]
    if base and len(tuned) > 1:

        def by_policy(name: str, env: str) -> Estimate | None:
            return policy_gain(runs, name, base[0], env)

        figures.append(
            heat_map(
                "heat-policy",
                f"Policy fine-tuned on one task: greedy minus {base[0]}'s greedy",
                tuned,
                envs,
                by_policy,
            )
        )
    if not figures:
        return Section(
            "heat",
            "Trained on one task, evaluated on all",
            missing="Run several reward models, or policies, each with one environment "
            "in `trained_on`, over several environments.",
        )
    return Section("heat", "Trained on one task, evaluated on all", (), (), figures)


def policy_gain(runs: Runs, name: str, base: str, env: str) -> Estimate | None:
    """Paired difference of two policies' greedy episodes in an environment."""
    rows = [r for r in _usual(runs) if r["method"] == "greedy" and r["env"] == env]
    # Under one name, because differences are else taken within a policy.
    tuned, usual = (
        [{**r, "policy": ""} for r in rows if r["policy"] == which]
        for which in (name, base)
    )
    return difference(tuned, usual)


def slope_per_doubling(points: dict[int, Estimate]) -> Estimate | None:
    """Least-squares slope of the score over log2 of the training states.

    The interval takes the points as independent: it rests on their own intervals.
    """
    if len(points) < 2:  # noqa: PLR2004 - a line
        return None
    xs = [math.log2(n) for n in points]
    middle = sum(xs) / len(xs)
    spread = sum((x - middle) ** 2 for x in xs)
    weights = [(x - middle) / spread for x in xs]
    value = sum(w * e.value for w, e in zip(weights, points.values(), strict=True))
    errors = [(e.high - e.low) / (2 * 1.96) for e in points.values()]
    half = 1.96 * math.sqrt(
        sum((w * e) ** 2 for w, e in zip(weights, errors, strict=True))
    )
    tasks = min(e.tasks for e in points.values())
    return Estimate(value, value - half, value + half, tasks, len(points))
