"""The paper's findings, each with a rule, and what the rule says of these runs.

Findings: AgentRM (ACL 2025) as summarised by third parties; its abstract has the
headline figures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from langchain_agentrm.evaluation._estimates import Estimate
from langchain_agentrm.evaluation.report._data import Runs
from langchain_agentrm.evaluation.report._findings import (
    Found,
    actions,
    against_control,
    beam,
    headline,
    held_out_env,
    held_out_types,
    kinds,
    more_states,
    robust,
    scaling,
    single_task,
    weak_to_strong,
)
from langchain_agentrm.evaluation.report._model import Percent, Section, Table, show

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


def claims(runs: Runs) -> list[Claim]:
    """Answer every claim."""
    return [
        _claim(name, paper, rule, find(runs)) for name, paper, rule, find in _CLAIMS
    ]


def _claim(name: str, paper: str, rule: str, found: Found) -> Claim:
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


_Find = Callable[[Runs], Found]
_CLAIMS: tuple[tuple[str, str, str, _Find], ...] = (
    (
        "the reward model helps",
        (
            "Best-of-5 and beam search lift greedy by 8.8 points on average over nine "
            "tasks."
        ),
        "Guided methods minus greedy, paired by task and seed.",
        headline,
    ),
    (
        "it is the reward model that helps",
        "Not tested in the paper.",
        "Guided methods minus the strongest method without a reward model.",
        against_control,
    ),
    (
        "explicit > implicit > judge",
        "Best-of-5 overall: explicit 61.5, implicit 54.7, judge 52.1.",
        "Best-of-N of one kind of reward model minus that of the next.",
        kinds,
    ),
    (
        "beam > best-of-N",
        "Overall 63.3 against 61.5; better on Web and Embodied, worse on Tool.",
        "The beam minus best-of-N, of the sizes that most environments have.",
        beam,
    ),
    (
        "gain on held-out task types",
        "A reward model trained on three tasks helps on six others.",
        "Guided methods minus greedy on held-out task types alone.",
        held_out_types,
    ),
    (
        "gain on a held-out environment",
        "A reward model trained on three tasks helps on six others.",
        "Guided methods minus greedy, reward models outside their `trained_on` alone.",
        held_out_env,
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
        single_task,
    ),
    (
        "robust to perturbed grammars",
        "Perturbed ALFWorld: 54.5 to 52.4, sd 2.7; rivals lose 25 to 30 points.",
        (
            "10 points minus the mean loss over the perturbations, paired by task: the "
            "limit of 10 is ours."
        ),
        robust,
    ),
    (
        "more states help log-linearly",
        "From 4k states (57.6) on the score grows log-linearly, not saturated.",
        (
            "Least-squares slope over log2 of the states; its interval takes the "
            "points as independent."
        ),
        more_states,
    ),
    (
        "actions carry most of the state",
        "Without thoughts and observations the score falls by 3.2.",
        (
            "Score with actions alone minus the middle of greedy's and the full "
            "state's: positive if more than half of the gain is left."
        ),
        actions,
    ),
    (
        "weak to strong",
        "The 8B policy's reward model lifts a 70B policy by 12.6 points.",
        (
            "Guided methods minus greedy of a policy whose trees the reward model "
            "never saw."
        ),
        weak_to_strong,
    ),
    (
        "more samples help",
        "The explicit reward model keeps rising with N.",
        (
            "Expected score of best-of-N at N = 4 minus 1, and at the largest N minus "
            "its half, paired by task."
        ),
        scaling,
    ),
)
