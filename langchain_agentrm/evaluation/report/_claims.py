"""The paper's findings, each with a rule, and what the rule says of these runs.

Findings: AgentRM (ACL 2025) as summarised by third parties; its abstract has the
headline figures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_agentrm.evaluation._estimates import Estimate
from langchain_agentrm.evaluation.report._data import ASIDE, Row, Runs, difference
from langchain_agentrm.evaluation.report._main import Scope, scopes, strongest_control
from langchain_agentrm.evaluation.report._model import Percent, Section, Table, show
from langchain_agentrm.evaluation.report._scaling import curves, rise
from langchain_agentrm.evaluation.report._transfer import (
    chosen_methods,
    data_points,
    gain,
    policy_gain,
    slope_per_doubling,
)

__all__ = ["Claim", "claims", "claims_section"]

NOT_ANSWERABLE = "not answerable"


@dataclass(frozen=True, slots=True)
class Claim:
    """One finding and what these runs say of it.

    Attributes:
        name: Short name.
        paper: The paper's finding.
        rule: How the answer is computed.
        answer: `yes`, `no`, `not shown`, `in part` or `not answerable`.
        evidence: The figures behind it, or what is missing.
        estimates: The same as numbers.
    """

    name: str
    paper: str
    rule: str
    answer: str
    evidence: str
    estimates: tuple[Estimate, ...] = ()


@dataclass(frozen=True, slots=True)
class _Found:
    """Named differences that each speak for the finding where they are positive."""

    parts: Sequence[tuple[str, Estimate]] = ()
    missing: str = ""


def claims(runs: Runs) -> list[Claim]:
    """Answer every claim."""
    return [
        _claim(name, paper, rule, find(runs)) for name, paper, rule, find in _CLAIMS
    ]


def _claim(name: str, paper: str, rule: str, found: _Found) -> Claim:
    if not found.parts:
        return Claim(name, paper, rule, NOT_ANSWERABLE, found.missing)
    estimates = tuple(e for _, e in found.parts)
    answers = {_answer(e) for e in estimates}
    answer = answers.pop() if len(answers) == 1 else "in part"
    evidence = "; ".join(
        f"{text} {show(Percent(e, signed=True))} points ({e.tasks} tasks)"
        for text, e in found.parts
    )
    return Claim(name, paper, rule, answer, evidence, estimates)


def _answer(e: Estimate) -> str:
    if e.above:
        return "yes"
    return "no" if e.below else "not shown"


def claims_section(answers: Sequence[Claim]) -> Section:
    """Make the table of claims."""
    rows = [[c.name, c.paper, c.answer, c.evidence, c.rule] for c in answers]
    table = Table(
        "Claims",
        ["claim", "paper's finding", "here", "figures", "rule"],
        rows,
        strong=frozenset(i for i, r in enumerate(rows) if r[2] != NOT_ANSWERABLE),
    )
    text = (
        (
            "Each rule makes differences that are positive where the finding holds. "
            "`yes`: the 95 % interval of every one lies above 0. `no`: below 0. `not "
            "shown`: it contains 0. `in part`: the differences disagree. Intervals "
            "are not corrected for the number of claims."
        ),
    )
    return Section("claims", "Claim by claim", text, (table,))


def _rows(runs: Runs) -> list[Row]:
    usual = set(runs.usual)
    return [r for r in runs.episodes if r["env"] in usual and r["group"] != ASIDE]


def _kept(parts: Iterator[tuple[str, Estimate | None]], missing: str) -> _Found:
    some = [(text, e) for text, e in parts if e is not None]
    return _Found(some, "" if some else missing)


def _gains(rows: list[Row], runs: Runs) -> Iterator[tuple[str, Estimate | None]]:
    for method in chosen_methods(runs, rows):
        yield f"{method} minus greedy", gain(rows, method)


def _headline(runs: Runs) -> _Found:
    return _kept(_gains(_rows(runs), runs), "No run has greedy and a guided method.")


def _against_control(runs: Runs) -> _Found:
    rows = _rows(runs)
    control = strongest_control(runs, rows)

    def parts() -> Iterator[tuple[str, Estimate | None]]:
        rival = [r for r in rows if r["method"] == control]
        for method in chosen_methods(runs, rows):
            left = [r for r in rows if r["method"] == method]
            yield f"{method} minus {control}", difference(left, rival)

    return _kept(parts(), "No run has a control such as likelihood-of-5.")


def _kinds(runs: Runs) -> _Found:
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


def _beam(runs: Runs) -> _Found:
    rows = _rows(runs)
    names = chosen_methods(runs, rows)
    if len(names) < 2:  # noqa: PLR2004 - best-of-N and a beam
        return _Found(missing="No run has both best-of-N and a beam.")
    best, beam = names
    left = [r for r in rows if r["method"] == beam]
    right = [r for r in rows if r["method"] == best]
    return _kept(
        iter([(f"{beam} minus {best}", difference(left, right))]),
        "The two were not run on the same tasks.",
    )


def _held_out_types(runs: Runs) -> _Found:
    rows = [r for r in _rows(runs) if r["group"] == "held_out"]
    return _kept(_gains(rows, runs), "No held-out task types in the runs.")


def _held_out_env(runs: Runs) -> _Found:
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


def _single_task(runs: Runs) -> _Found:
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


def _robust(runs: Runs) -> _Found:
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


def _more_states(runs: Runs) -> _Found:
    def parts() -> Iterator[tuple[str, Estimate | None]]:
        for method, found in data_points(runs).items():
            yield f"{method}, for each doubling", slope_per_doubling(found)

    return _kept(parts(), "Needs reward models with different `states`.")


def _actions(runs: Runs) -> _Found:
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


def _weak_to_strong(runs: Runs) -> _Found:
    rows = _rows(runs)

    def parts() -> Iterator[tuple[str, Estimate | None]]:
        for rm, choice in runs.reward_models.items():
            for policy in dict.fromkeys(r["policy"] for r in rows if r["rm"] == rm):
                if choice.trees_from and policy != choice.trees_from:
                    some = [r for r in rows if r["policy"] == policy]
                    for method in chosen_methods(runs, some):
                        yield f"{policy} with {rm}, {method}", gain(some, method, rm)

    return _kept(parts(), "Needs a policy that is not the reward model's `trees_from`.")


def _scaling(runs: Runs) -> _Found:
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


_Find = Callable[[Runs], _Found]
_CLAIMS: tuple[tuple[str, str, str, _Find], ...] = (
    (
        "the reward model helps",
        (
            "Best-of-5 and beam search lift greedy by 8.8 points on average over nine "
            "tasks."
        ),
        "Guided methods minus greedy, paired by task and seed.",
        _headline,
    ),
    (
        "it is the reward model that helps",
        "Not tested in the paper.",
        "Guided methods minus the strongest method without a reward model.",
        _against_control,
    ),
    (
        "explicit > implicit > judge",
        "Best-of-5 overall: explicit 61.5, implicit 54.7, judge 52.1.",
        "Best-of-N of one kind of reward model minus that of the next.",
        _kinds,
    ),
    (
        "beam > best-of-N",
        "Overall 63.3 against 61.5; better on Web and Embodied, worse on Tool.",
        "The beam minus best-of-N, of the paper's sizes where they were run.",
        _beam,
    ),
    (
        "gain on held-out task types",
        "A reward model trained on three tasks helps on six others.",
        "Guided methods minus greedy on held-out task types alone.",
        _held_out_types,
    ),
    (
        "gain on a held-out environment",
        "A reward model trained on three tasks helps on six others.",
        "Guided methods minus greedy, reward models outside their `trained_on` alone.",
        _held_out_env,
    ),
    (
        "one task: policy narrow, reward model broad",
        (
            "A policy fine-tuned on one task helps only there; a reward model "
            "fine-tuned on one task helps on most."
        ),
        (
            "Outside the task: base policy's greedy minus the tuned one's, and "
            "best-of-N minus greedy for the reward model."
        ),
        _single_task,
    ),
    (
        "robust to perturbed grammars",
        "Perturbed ALFWorld: 54.5 to 52.4, sd 2.7; rivals lose 25 to 30 points.",
        (
            "10 points minus the mean loss over the perturbations, paired by task: the "
            "limit of 10 is ours."
        ),
        _robust,
    ),
    (
        "more states help log-linearly",
        "From 4k states (57.6) on the score grows log-linearly, not saturated.",
        (
            "Least-squares slope over log2 of the states; its interval takes the "
            "points as independent."
        ),
        _more_states,
    ),
    (
        "actions carry most of the state",
        "Without thoughts and observations the score falls by 3.2.",
        (
            "Score with actions alone minus the middle of greedy's and the full "
            "state's: positive if more than half of the gain is left."
        ),
        _actions,
    ),
    (
        "weak to strong",
        "The 8B policy's reward model lifts a 70B policy by 12.6 points.",
        (
            "Guided methods minus greedy of a policy whose trees the reward model "
            "never saw."
        ),
        _weak_to_strong,
    ),
    (
        "more samples help",
        "The explicit reward model keeps rising with N.",
        (
            "Expected score of best-of-N at N = 4 minus 1, and at the largest N minus "
            "its half, paired by task."
        ),
        _scaling,
    ),
)
