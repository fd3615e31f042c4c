"""The seams of RewardAgent: verdicts, verifiers, evidence, sandboxes.

Source: Agentic Reward Modeling (Peng et al., ACL 2025), where a reward joins a
preference model's score with signals that can be verified. That a verifier may abstain,
and all of what it says besides its value, is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from langchain_agentrm.trajectory import Trajectory
from langchain_agentrm.types import Batch

__all__ = [
    "Evidence",
    "Finding",
    "Passage",
    "Verdict",
    "Verifier",
    "VerifierMode",
    "answer_of",
    "request_of",
]

VerifierMode = Literal["pointwise", "group"]
"""`"pointwise"`: a verdict depends on its candidate alone; `"group"`: on its rivals."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A text that speaks for or against a claim.

    Attributes:
        text: What was found.
        source: Where: an address, a file's name, a model's name.
    """

    text: str
    source: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One check within a verdict.

    Attributes:
        check: What was checked, in words that a user can read.
        passed: The outcome; None where this check could not decide.
        detail: What was seen, such as `"3 bullet points, 5 asked for"`.
    """

    check: str
    passed: bool | None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verifier says of one candidate: a value, or that it abstains.

    Attributes:
        value: From 0 (violated, refuted) to 1 (satisfied, supported); None abstains.
        reason: Why, in one sentence; for an abstention, what was missing.
        findings: The single checks behind the value.
        passages: Citations.
        error: Set where the verifier abstains because something failed.
    """

    value: float | None = None
    reason: str = ""
    findings: tuple[Finding, ...] = ()
    passages: tuple[Passage, ...] = ()
    error: str | None = None

    @property
    def abstains(self) -> bool:
        """Whether there is no value."""
        return self.value is None


@runtime_checkable
class Verifier(Protocol):
    """Checks candidates, and abstains where it has nothing to say.

    Attributes:
        name: Name of its signal, unique within a `RewardAgent`.
        mode: Whether a verdict depends on the candidate's rivals.
        purpose: One sentence on what it checks, for a router that is a model.
    """

    @property
    def name(self) -> str:
        """Name of its signal."""
        ...

    @property
    def mode(self) -> VerifierMode:
        """Whether a verdict depends on the candidate's rivals."""
        ...

    @property
    def purpose(self) -> str:
        """One sentence on what it checks."""
        ...

    def applies(self, trajectory: Trajectory) -> bool:
        """Tell, cheaply and without a model, whether there may be something to check.

        Args:
            trajectory: Any candidate of the group.

        Returns:
            False only if every verdict would be an abstention.
        """
        ...

    def verify(self, trajectories: Sequence[Trajectory]) -> Batch[Verdict]:
        """Check the candidates of one group.

        Args:
            trajectories: What competes.

        Returns:
            One verdict each, in the order given, and what they cost. A failure is an
            abstention with its `error`, never a made-up value.
        """
        ...

    async def averify(self, trajectories: Sequence[Trajectory]) -> Batch[Verdict]:
        """Async twin of `verify`."""
        ...


@runtime_checkable
class Evidence(Protocol):
    """Finds passages for queries."""

    def search(self, queries: Sequence[str]) -> Batch[Sequence[Passage] | Exception]:
        """Search.

        Args:
            queries: What is to be found.

        Returns:
            For each query, in order, its passages (none if nothing was found), or the
            exception that came in their place: one failure moves no other answer.
        """
        ...

    async def asearch(
        self, queries: Sequence[str]
    ) -> Batch[Sequence[Passage] | Exception]:
        """Async twin of `search`."""
        ...


def request_of(trajectory: Trajectory) -> str:
    """Read what the candidate answers: the user's request."""
    return trajectory.goal


def answer_of(trajectory: Trajectory) -> str:
    """Read the candidate: its text, and its tool calls as text."""
    return trajectory.turns[-1].action if trajectory.turns else ""
