"""How good scores are in themselves: calibration, order of siblings, errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_agentrm.evaluation._estimates import Estimate
from langchain_agentrm.evaluation._offline_figures import calibration
from langchain_agentrm.evaluation.report._data import ASIDE, Runs, slug
from langchain_agentrm.evaluation.report._model import Figure, Section, Table
from langchain_agentrm.evaluation.report._plots import Line, lines

__all__ = ["calibration_section", "offline_section"]

_ADVICE = "Run `agentrm eval offline` on a sample file."
_FEW = 5
"""Bins and depths of fewer tasks are not drawn."""

_ONE = "outcome of sampled episodes"


def calibration_section(runs: Runs) -> Section:
    """Hold scores in 0..1 against what they predict."""
    tables, figures = [], []
    rows: list[list[Any]] = []
    for title, found in _calibrations(runs):
        ece = _estimate(found["ece"])
        rows.append(
            [title, ece.n if ece else 0, ece, f"{100 * found['outside']:.1f} %"]
        )
        known = [(b["predicted"], _estimate(b["truth"])) for b in found["bins"]]
        # An interval over fewer tasks says next to nothing.
        some = [(x, e) for x, e in known if e and e.tasks >= _FEW]
        if some:
            line = Line(title, [x for x, _ in some], [e for _, e in some])
            figures.append(
                lines(
                    slug(f"calibration {title}"),
                    f"Calibration: {title}",
                    [line],
                    x_label="mean score in bin",
                    y_label="mean true value in bin",
                    scale=1.0,
                    diagonal=True,
                )
            )
    if not rows:
        return Section("calibration", "Calibration", missing=_ADVICE)
    tables.append(
        Table(
            "Expected calibration error",
            ["reward model, against", "n", "ECE", "scores outside 0..1"],
            rows,
            note="Ten bins of equal width, drawn where they have 5 tasks or more; "
            "scores outside 0..1 count in the outer ones. A reward model not trained "
            "on values in 0..1 has no calibration.",
        )
    )
    return Section("calibration", "Calibration", (), tables, figures)


def _calibrations(runs: Runs) -> list[tuple[str, Mapping[str, Any]]]:
    out: list[tuple[str, Mapping[str, Any]]] = []
    usual = set(runs.usual)
    pools = [p for p in runs.pools if p["env"] in usual and p["group"] != ASIDE]
    for name in sorted({name for p in pools for name in p["values"]}):
        kind = runs.reward_models[name].kind if name in runs.reward_models else "other"
        if kind != "explicit":
            continue
        rows = [
            (f"{p['env']}|{p['task_id']}", value, draw["score"])
            for p in pools
            for value, draw in zip(p["values"].get(name, ()), p["draws"], strict=False)
        ]
        out.append((f"{name}, {_ONE}", calibration(rows)))
    out += [
        (f"{o['reward_model']}, labels of states", o["calibration"])
        for o in runs.offline
        if o["calibration"]["bins"]
    ]
    return out


def _estimate(plain: Mapping[str, Any] | None) -> Estimate | None:
    return Estimate(**plain) if plain else None


_COLUMNS = {
    "siblings": "sibling accuracy",
    "top_one": "top one",
    "mse": "MSE",
    "variance": "variance",
    "pearson": "Pearson",
    "spearman": "Spearman",
    "ece": "ECE",
    "with_length": "r(score, length)",
    "with_depth": "r(score, depth)",
}


def offline_section(runs: Runs) -> Section:
    """Show each reward model's figures on its sample file, and by depth."""
    title = "Scores against labels of states"
    if not runs.offline:
        return Section("offline", title, missing=_ADVICE)
    tables, figures = [], []
    for found in runs.offline:
        name = found["reward_model"]
        tables.append(_figures(name, found))
        figures += _by_depth(name, found)
    text = (
        (
            "Sibling accuracy: how often the model orders two actions of one state as "
            "their labels do, where these differ by the gap or more; 0.5 is chance. "
            "Top one: how often its favourite is the best of its siblings. MSE stands "
            "beside the variance of the labels, which is the MSE of a constant. The "
            "labels are themselves estimates: `agentrm train audit-labels` tells the "
            "ceiling."
        ),
    )
    return Section("offline", title, text, tables, figures)


def _figures(name: str, found: Mapping[str, Any]) -> Table:
    rows = []
    for label, some in [("all", found["pooled"]), *found["by_type"].items()]:
        known = [_estimate(some.get(key)) for key in _COLUMNS]
        mse = _estimate(some.get("mse"))
        rows.append([label, mse.n if mse else None, *known])
    return Table(
        f"{name}: figures on {found['states']:,} labelled states",
        ["task type", "states", *_COLUMNS.values()],
        rows,
        note=f"95 % intervals by bootstrap over tasks; gap {found['gap']}; "
        f"{found['failed']} states without a score.",
        strong=frozenset({0}),
    )


def _by_depth(name: str, found: Mapping[str, Any]) -> list[Figure]:
    known = [(d["depth"], _estimate(d["siblings"])) for d in found["by_depth"]]
    some = [(x, e) for x, e in known if e and e.tasks >= _FEW]
    out = []
    if some:
        line = Line(name, [float(x) for x, _ in some], [e for _, e in some])
        out.append(
            lines(
                slug(f"siblings {name}"),
                f"{name}: sibling accuracy by depth (50 % is chance)",
                [line],
                x_label="depth (actions)",
                y_label="sibling accuracy (%)",
            )
        )
    depths = [d for d in found["by_depth"] if d["states"] >= _FEW]
    if depths:
        series = []
        for text, key in (("label", "value"), ("score", "score")):
            known = [(float(d["depth"]), _estimate(d[key])) for d in depths]
            drawn = [(x, e) for x, e in known if e]
            series.append(Line(text, [x for x, _ in drawn], [e for _, e in drawn]))
        out.append(
            lines(
                slug(f"by depth {name}"),
                f"{name}: mean label and mean score by depth",
                series,
                x_label="depth (actions)",
                y_label="mean value",
                scale=1.0,
            )
        )
    return out
