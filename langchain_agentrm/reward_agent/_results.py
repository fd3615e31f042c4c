"""One call's results: what it spent, what failed, what is told of a candidate."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_agentrm.errors import RewardModelError, is_retryable
from langchain_agentrm.reward_agent._calls import told
from langchain_agentrm.reward_agent._signals import Group
from langchain_agentrm.reward_agent.explanation import Explanation
from langchain_agentrm.types import Batch, Score, Usage

__all__ = ["Run", "explained", "nothing_left"]


@dataclass(slots=True)
class Run:
    """What one call has spent and what failed in it."""

    groups: list[Group]
    gate: asyncio.Semaphore
    usage: Usage = field(default_factory=Usage)
    failures: list[Exception] = field(default_factory=list)

    def note(self, outcome: Any) -> None:
        """Count what an answer cost, or keep the failure."""
        if isinstance(outcome, Batch):
            self.usage += outcome.usage
        elif isinstance(outcome, Exception):
            self.failures.append(outcome)

    def read(self, outcome: Any, group: Group) -> list[Score]:
        """Take the judger's scores, one for each member of a group."""
        self.note(outcome)
        everyone = range(len(group.members))
        if isinstance(outcome, Exception):
            why = f"the judger failed: {told(outcome)}"
            return [Score(error=why) for _ in everyone]
        judged: dict[int, Score] = {}
        if group.used:
            judged = dict(zip(group.alive, outcome.items, strict=True))
        return [judged.get(i) or Score(error=group.why_nothing(i)) for i in everyone]


def explained(group: Group, scores: Sequence[Score]) -> list[Explanation]:
    """Put together what is known of each member."""
    reached = sorted((s.value for s in scores if s.value is not None), reverse=True)
    out = []
    for i, (member, score) in enumerate(zip(group.members, scores, strict=True)):
        signals = group.values(i)
        marks = {f"judger.{name}": value for name, value in score.signals.items()}
        out.append(
            Explanation(
                trajectory=member,
                score=Score(score.value, {**signals, **marks}, score.error),
                rank=None if score.value is None else reached.index(score.value) + 1,
                rivals=len(group.members),
                signals=signals,
                used=tuple(s.name for s in group.used),
                left_out=dict(group.left_out),
                verdicts={name: v[i] for name, v in group.verdicts.items()},
                route=group.route,
            )
        )
    return out


def nothing_left(failures: Sequence[Exception]) -> RewardModelError:
    msg = f"No candidate could be scored; first failure: {told(failures[0])}."
    error = RewardModelError(
        msg,
        remedy="Mend the part that failed, or give a signal that does not need it.",
        retryable=any(is_retryable(e) for e in failures),
    )
    error.__cause__ = failures[0]
    return error
