"""What runs say of each of the paper's findings: differences, or what is missing.

A difference is positive where the finding holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_agentrm.evaluation._estimates import Estimate
from langchain_agentrm.evaluation.report._data import ASIDE, Row, Runs, difference
from langchain_agentrm.evaluation.report._main import Scope, scopes, strongest_control
from langchain_agentrm.evaluation.report._scaling import curves, rise
from langchain_agentrm.evaluation.report._transfer import (
    chosen_methods,
    data_points,
    gain,
    policy_gain,
    slope_per_doubling,
)

__all__ = [
    "Found",
    "actions",
    "against_control",
    "beam",
    "headline",
    "held_out_env",
    "held_out_types",
    "kinds",
    "more_states",
    "robust",
    "scaling",
    "single_task",
    "weak_to_strong",
]


@dataclass(frozen=True, slots=True)
class Found:
    """Named differences that each speak for the finding where they are positive."""

    parts: Sequence[tuple[str, Estimate]] = ()
    missing: str = ""


def _rows(runs: Runs) -> list[Row]:
    usual = set(runs.usual)
    return [r for r in runs.episodes if r["env"] in usual and r["group"] != ASIDE]


def _kept(parts: Iterator[tuple[str, Estimate | None]], missing: str) -> Found:
    some = [(text, e) for text, e in parts if e is not None]
    return Found(some, "" if some else missing)


def _gains(rows: list[Row], runs: Runs) -> Iterator[tuple[str, Estimate | None]]:
    for method in chosen_methods(runs, rows):
        yield f"{method} minus greedy", gain(rows, method)


def headline(runs: Runs) -> Found:
    return _kept(_gains(_rows(runs), runs), "No run has greedy and a guided method.")


def against_control(runs: Runs) -> Found:
    rows = _rows(runs)
    control = strongest_control(runs, rows)

    def parts() -> Iterator[tuple[str, Estimate | None]]:
        rival = [r for r in rows if r["method"] == control]
        for method in chosen_methods(runs, rows):
            left = [r for r in rows if r["method"] == method]
            yield f"{method} minus {control}", difference(left, rival)

    return _kept(parts(), "No run has a control such as likelihood-of-5.")


def kinds(runs: Runs) -> Found:
    rows = _rows(runs)
    of_kind = {
        kind: [
            r
            for r in rows
            if r["rm"] in runs.reward_models
            and runs.reward_models[r["rm"]].kind == kind
        ]
        for kind in ("explicit", "implicit", "judge")
    }

    def parts() -> Iterator[tuple[str, Estimate | None]]:
        for left, right in (("explicit", "implicit"), ("implicit", "judge")):
            # The paper compares them under best-of-N.
            for method in chosen_methods(runs, rows)[:1]:
                a, b = ([r for r in of_kind[k] if r["method"] == method]
                        for k in (left, right))  # fmt: skip
                yield f"{method}, {left} minus {right}", difference(a, b)

    have = [kind for kind, some in of_kind.items() if some]
    missing = (
        f"Reward models in the runs: {', '.join(have) or 'none'}; two of explicit, "
        "implicit and judge are needed on the same tasks."
    )
    return _kept(parts(), missing)


def beam(runs: Runs) -> Found:
    rows = _rows(runs)
    names = chosen_methods(runs, rows)
    if len(names) < 2:  # noqa: PLR2004 - best-of-N and a beam
        return Found(missing="No run has both best-of-N and a beam.")
    best, beam = names
    left = [r for r in rows if r["method"] == beam]
    right = [r for r in rows if r["method"] == best]
    return _kept(
        iter([(f"{beam} minus {best}", difference(left, right))]),
        "The two were not run on the same tasks.",
    )


def held_out_types(runs: Runs) -> Found:
    rows = [r for r in _rows(runs) if r["group"] == "held_out"]
    return _kept(_gains(rows, runs), "No held-out task types in the runs.")


def held_out_env(runs: Runs) -> Found:
    trained = {k: set(v.trained_on) for k, v in runs.reward_models.items()}
    rows = [
        r
        for r in _rows(runs)
        if r["rm"] == "-"
        or (
            trained.get(r["rm"])
            and not trained[r["rm"]] & {r["env"], r.get("task"), r["type"]}
        )
    ]
    return _kept(
        _gains(rows, runs) if any(r["rm"] != "-" for r in rows) else iter(()),
        "No reward model was run in an environment outside its `trained_on`.",
    )


def single_task(runs: Runs) -> Found:
    rows = _rows(runs)
    base = [k for k, v in runs.policies.items() if not v.trained_on]
    envs = list(dict.fromkeys(r["env"] for r in rows))

    def parts() -> Iterator[tuple[str, Estimate | None]]:
        for name, choice in runs.policies.items():
            for env in envs if len(choice.trained_on) == 1 and base else ():
                if env not in choice.trained_on:
                    lost = policy_gain(runs, name, base[0], env)
                    yield f"policy {name} in {env}: loss", _negative(lost)
        for name, model in runs.reward_models.items():
            for env in envs if len(model.trained_on) == 1 else ():
                if env not in model.trained_on:
                    some = [r for r in rows if r["env"] == env]
                    for method in chosen_methods(runs, some)[:1]:
                        yield f"RM {name} in {env}: gain", gain(some, method, name)

    return _kept(
        parts(),
        "Needs policies and reward models trained on one environment each, and run in "
        "the others.",
    )


def _negative(e: Estimate | None) -> Estimate | None:
    return Estimate(-e.value, -e.high, -e.low, e.tasks, e.n) if e else None


def robust(runs: Runs) -> Found:
    """Paired by task: the perturbed environments have the same games."""
    number = {k: v.perturbation for k, v in runs.environments.items()}
    rows = [r for r in runs.episodes if number[r["env"]] is not None]

    def parts() -> Iterator[tuple[str, Estimate | None]]:
        for method in chosen_methods(runs, rows):
            some = [dict(r) | {"env": ""} for r in rows if r["method"] == method]
            before = [r for r, o in _with(some, rows, method) if number[o] == 0]
            after = [r for r, o in _with(some, rows, method) if number[o]]
            lost = difference(after, before)
            # Positive while the loss is below the ten points of the rule.
            yield f"{method}, 10 points minus the loss", _shifted(lost, 0.1)

    return _kept(
        parts(), "Needs ALFWorld unperturbed and with perturbations, same tasks."
    )


def _with(
    some: Sequence[Row], rows: Sequence[Row], method: str
) -> Iterator[tuple[Row, str]]:
    original = [r["env"] for r in rows if r["method"] == method]
    return iter(zip(some, original, strict=True))


def _shifted(e: Estimate | None, by: float) -> Estimate | None:
    if e is None:
        return None
    return Estimate(e.value + by, e.low + by, e.high + by, e.tasks, e.n)


def more_states(runs: Runs) -> Found:
    def parts() -> Iterator[tuple[str, Estimate | None]]:
        for method, found in data_points(runs).items():
            yield f"{method}, for each doubling", slope_per_doubling(found)

    return _kept(parts(), "Needs reward models with different `states`.")


def actions(runs: Runs) -> Found:
    rows = _rows(runs)
    kept = {k: v.keep for k, v in runs.reward_models.items() if v.keep}
    only = [k for k, keep in kept.items() if keep == "action"]
    full = [k for k, keep in kept.items() if keep in {"all", "full"}]
    greedy = [r for r in rows if r["method"] == "greedy"]

    def parts() -> Iterator[tuple[str, Estimate | None]]:
        for method in chosen_methods(runs, rows) if only and full else ():
            some = [r for r in rows if r["method"] == method]
            a = [r for r in some if r["rm"] in only]
            b = [r for r in some if r["rm"] in full]
            whole = difference(b, greedy)
            if whole and whole.above:
                # What is left of the gain, over half of it.
                half = [dict(r) | {"score": 0.5 * r["score"]} for r in b]
                part = [dict(r) | {"score": 0.5 * r["score"]} for r in greedy]
                yield f"{method}, actions alone", difference(a, _sum(half, part))

    return _kept(
        parts(),
        "Needs reward models with `keep` action and all, and a gain of the latter.",
    )


def _sum(left: Sequence[Row], right: Sequence[Row]) -> list[Row]:
    def at(r: Row) -> tuple[Any, ...]:
        return r["env"], r["task_id"], r["seed"], r["policy"]

    found = {at(r): r["score"] for r in right}
    return [
        dict(r) | {"score": r["score"] + found[at(r)]} for r in left if at(r) in found
    ]


def weak_to_strong(runs: Runs) -> Found:
    rows = _rows(runs)

    def parts() -> Iterator[tuple[str, Estimate | None]]:
        for rm, choice in runs.reward_models.items():
            for policy in dict.fromkeys(r["policy"] for r in rows if r["rm"] == rm):
                if choice.trees_from and policy != choice.trees_from:
                    some = [r for r in rows if r["policy"] == policy]
                    for method in chosen_methods(runs, some):
                        yield f"{policy} with {rm}, {method}", gain(some, method, rm)

    return _kept(parts(), "Needs a policy that is not the reward model's `trees_from`.")


def scaling(runs: Runs) -> Found:
    def parts() -> Iterator[tuple[str, Estimate | None]]:
        for scope in scopes(runs):
            if not scope.whole:
                continue
            for label, curve in curves(runs, scope).items():
                if label.startswith("best") and max(curve) >= 4:  # noqa: PLR2004
                    yield from _rises(runs, scope, label)

    return _kept(parts(), "Needs pools of 4 samples a task at least.")


def _rises(
    runs: Runs, scope: Scope, label: str
) -> Iterator[tuple[str, Estimate | None]]:
    for low, high, found in rise(runs, scope, label):
        yield f"{scope.title}, {label}, N = {high} minus {low}", found
