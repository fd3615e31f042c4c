"""What verifiers share that look at one candidate at a time, without a model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from langchain_agentrm.reward_agent.types import Verdict, VerifierMode
from langchain_agentrm.trajectory import Trajectory
from langchain_agentrm.types import Batch

__all__ = ["PointwiseVerifier", "abstained", "failed"]


class PointwiseVerifier(ABC):
    """Judges each candidate alone, at once and for nothing.

    Attributes:
        name: Name of its signal.
        mode: Always `"pointwise"`.
        purpose: One sentence on what it checks.
    """

    mode: ClassVar[VerifierMode] = "pointwise"
    purpose: str = ""

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    def applies(self, trajectory: Trajectory) -> bool:
        """Tell whether there may be something to check."""

    @abstractmethod
    def _check(self, trajectory: Trajectory) -> Verdict:
        """Judge one candidate; what it raises becomes an abstention."""

    def verify(self, trajectories: Sequence[Trajectory]) -> Batch[Verdict]:
        """Check the candidates of one group.

        Args:
            trajectories: What competes.

        Returns:
            One verdict each, in the order given; they cost nothing.
        """
        return Batch([self._guarded(t) for t in trajectories])

    async def averify(self, trajectories: Sequence[Trajectory]) -> Batch[Verdict]:
        """Async twin of `verify`."""
        return self.verify(trajectories)

    def _guarded(self, trajectory: Trajectory) -> Verdict:
        try:
            return self._check(trajectory)
        except Exception as error:  # noqa: BLE001 - its rivals are still judged
            return failed(error)


def abstained(reason: str) -> Verdict:
    """Abstain: there was nothing to check."""
    return Verdict(reason=reason)


def failed(error: Exception) -> Verdict:
    """Abstain because something went wrong."""
    text = f"{type(error).__name__}: {error}"
    return Verdict(reason=f"the check failed with {text}", error=text)
