"""From the outcomes of pairs to one verdict an answer."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from langchain_agentrm.reward_agent.types import Finding, Passage, Verdict
from langchain_agentrm.reward_agent.verifiers._factuality.pairs import Outcome, Pair

__all__ = ["verdicts_of"]

_SHOWN = 60


def verdicts_of(answers: Sequence[str], pairs: Sequence[Pair]) -> list[Verdict]:
    """Join what the pairs say.

    An answer's value is the mean of its scores. Answers between which no difference was
    found share theirs, unless two of them were scored against each other.

    Args:
        answers: Distinct texts of a group.
        pairs: All of them decided or given up.

    Returns:
        One verdict for each answer.
    """
    kin = _kin(len(answers), pairs)
    return [
        _verdict(place, kin[place], answers, pairs) for place in range(len(answers))
    ]


def _verdict(
    place: int, kin: frozenset[int], answers: Sequence[str], pairs: Sequence[Pair]
) -> Verdict:
    scores: list[float] = []
    bases: list[str] = []
    reasons: list[str] = []
    findings: list[Finding] = []
    passages: dict[Passage, None] = {}
    errors: list[str] = []
    for pair, outcome in ((p, p.outcome) for p in pairs):
        if outcome is None or not kin & set(pair.members):
            continue
        if outcome.scores is not None:
            scores += [outcome.scores[i] for i in (0, 1) if pair.members[i] in kin]
            passages |= dict.fromkeys(outcome.passages)
            bases.append(outcome.reason)
        if place not in pair.members:
            continue
        own = pair.members.index(place)
        findings.append(_finding(own, answers[pair.members[1 - own]], outcome))
        reasons.append(outcome.reason)
        if outcome.error:
            errors.append(outcome.error)
    if scores:
        reason = (
            f"Mean of {len(scores)} score{'s' if len(scores) > 1 else ''}: "
            + " ".join(dict.fromkeys(bases))
        )
        return Verdict(fmean(scores), reason, tuple(findings), tuple(passages))
    return Verdict(
        reason="No pair of it was decided: " + " ".join(dict.fromkeys(reasons)),
        findings=tuple(findings),
        error="; ".join(dict.fromkeys(errors)) or None,
    )


def _finding(own: int, rival: str, outcome: Outcome) -> Finding:
    flat = " ".join(rival.split())
    shown = flat if len(flat) <= _SHOWN else f"{flat[:_SHOWN]}..."
    check = f"facts, compared with {shown!r}"
    if outcome.scores is None:
        return Finding(check, None, outcome.reason)
    mine, its = outcome.scores[own], outcome.scores[1 - own]
    detail = f"{mine * 10:g} against {its * 10:g} of 10: {outcome.reason}"
    return Finding(check, None if mine == its else mine > its, detail)


def _kin(count: int, pairs: Sequence[Pair]) -> list[frozenset[int]]:
    """Join answers that do not differ."""
    of = [frozenset({i}) for i in range(count)]
    for pair in pairs:
        if pair.outcome is not None and pair.outcome.equal:
            joined = of[pair.members[0]] | of[pair.members[1]]
            for i in joined:
                of[i] = joined
    apart = [
        set(pair.members)
        for pair in pairs
        if pair.outcome is not None and pair.outcome.scores is not None
    ]
    return [
        frozenset({i}) if any(both <= kin for both in apart) else kin
        for i, kin in enumerate(of)
    ]
