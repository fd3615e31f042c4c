"""From outcomes of verifiers and preference to the signals of one group."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_agentrm.reward_agent._calls import told
from langchain_agentrm.reward_agent.judgers.base import PREFERENCE, Signal
from langchain_agentrm.reward_agent.router import Route
from langchain_agentrm.reward_agent.types import Verdict
from langchain_agentrm.trajectory import Trajectory
from langchain_agentrm.types import Batch, Score

__all__ = ["FAILED", "NO_SIGNAL", "Group", "read_verdicts"]

FAILED = "failed_signals"
"""Signal that counts what failed for a group, where something did."""

NO_SIGNAL = "no signal is there for every candidate"
"""How the error begins where there was nothing to judge by."""


@dataclass(slots=True)
class Group:
    """Distinct candidates that compete, and all that is known of them.

    Attributes:
        members: The candidates.
        positions: Where each one stands in what was asked.
        route: The verifiers chosen for them.
        preference: The preference model's scores, one a member; empty without one.
        verdicts: By verifier, one a member.
        left_out: By signal, why it is not joined.
        failed: Signals of which something failed.
        alive: Members that are judged.
        used: The signals that are joined, with values for those alive.
    """

    members: list[Trajectory]
    positions: list[list[int]]
    route: Route = field(default_factory=lambda: Route((), ""))
    preference: Sequence[Score] = ()
    verdicts: dict[str, Sequence[Verdict]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    alive: list[int] = field(default_factory=list)
    used: list[Signal] = field(default_factory=list)

    def take_verdicts(self, name: str, outcome: Sequence[Verdict] | str) -> None:
        """Note what a verifier said, or why it said nothing.

        Args:
            name: The verifier.
            outcome: One verdict a member, or the failure in words.
        """
        if isinstance(outcome, str):
            self.failed.add(name)
            self.left_out[name] = f"it failed: {outcome}"
            return
        self.verdicts[name] = outcome
        silent = [v for v in outcome if v.abstains]
        errors = [v.error for v in silent if v.error]
        if errors:
            self.failed.add(name)
        if silent:
            why = errors[0] if errors else silent[0].reason or "it gave no reason"
            self.left_out[name] = (
                f"it abstained on {len(silent)} of {len(outcome)} candidates: {why}"
            )

    def take_preference(self, outcome: Sequence[Score] | str) -> None:
        """Note what the preference model said, or why it said nothing.

        Args:
            outcome: One score a member, or the failure in words.
        """
        if isinstance(outcome, str):
            self.failed.add(PREFERENCE)
            self.left_out[PREFERENCE] = f"it failed: {outcome}"
            return
        self.preference = outcome
        errors = [score.error for score in outcome if not score.ok]
        if errors:
            self.failed.add(PREFERENCE)
            self.left_out[PREFERENCE] = (
                f"it has no score for {len(errors)} of {len(outcome)} candidates: "
                f"{errors[0]}"
            )

    def settle(self, names: Sequence[str], resolution: float) -> None:
        """Decide who is judged, by which signals.

        A signal counts only if every candidate has it, so that rivals are always judged
        by the same ones. If there is no such signal, those that the preference model
        could score are judged by what they have in common.

        Args:
            names: The verifiers, in order.
            resolution: Of the preference model.
        """
        everyone = list(range(len(self.members)))
        self.alive, self.used = everyone, self._common(everyone, names, resolution)
        if not self.used:
            some = [i for i in everyone if self.preference and self.preference[i].ok]
            self.alive, self.used = some, self._common(some, names, resolution)

    def values(self, i: int) -> dict[str, float]:
        """Every value there is of one member, by signal."""
        out: dict[str, float] = {}
        if self.preference:
            score = self.preference[i]
            if score.value is not None:
                out[PREFERENCE] = score.value
            out |= {f"{PREFERENCE}.{k}": v for k, v in score.signals.items()}
        for name, verdicts in self.verdicts.items():
            value = verdicts[i].value
            if value is not None:
                out[name] = value
        if self.failed:
            out[FAILED] = float(len(self.failed))
        return out

    def why_nothing(self, i: int) -> str:
        """Say why one member has no score."""
        if self.used:
            return f"the preference model has no score: {self.preference[i].error}"
        reasons = [f"{name}: {why}" for name, why in self.left_out.items()]
        if not reasons:
            reasons = ["no verifier was chosen, and there is no preference model"]
        return f"{NO_SIGNAL}: {'; '.join(reasons)}"

    def _common(
        self, members: Sequence[int], names: Sequence[str], resolution: float
    ) -> list[Signal]:
        if not members:
            return []
        out = []
        for name in names:
            values = [
                v[i].value for v in [self.verdicts.get(name)] if v for i in members
            ]
            if values and None not in values:
                out.append(Signal(name, _whole(values)))
        wanted = [self.preference[i].value for i in members] if self.preference else []
        if wanted and None not in wanted:
            out.append(Signal(PREFERENCE, _whole(wanted), resolution))
        return out


def read_verdicts(
    outcome: Any, count: int, *, any_scale: bool = False
) -> Sequence[Verdict] | str:
    """Hold a verifier to its contract.

    Args:
        outcome: What it returned, or the exception that it raised.
        count: How many candidates it was given.
        any_scale: Whether values outside 0..1 are what it means.

    Returns:
        Its verdicts, a value that is none turned into an abstention with an error; or
        what is wrong, in words.
    """
    if isinstance(outcome, Exception):
        return told(outcome)
    if not isinstance(outcome, Batch):
        return f"it returned a {type(outcome).__name__}, not a Batch"
    if len(outcome.items) != count:
        return f"it returned {len(outcome.items)} verdicts for {count} candidates"
    strange = [item for item in outcome.items if not isinstance(item, Verdict)]
    if strange:
        return f"it returned a {type(strange[0]).__name__}, not a Verdict"
    return [_in_range(verdict, any_scale) for verdict in outcome.items]


def _in_range(verdict: Verdict, any_scale: bool) -> Verdict:
    value: object = verdict.value
    if value is None:
        return verdict
    number = float(value) if isinstance(value, int | float) else math.nan
    if 0 <= number <= 1 or (any_scale and math.isfinite(number)):
        return verdict
    error = f"its value {value!r} is not between 0 and 1"
    return Verdict(None, error, verdict.findings, verdict.passages, error)


def _whole(values: Sequence[float | None]) -> tuple[float, ...]:
    return tuple(float(v) for v in values if v is not None)
