"""Two sandboxes, the second for what the first cannot run."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_agentrm.reward_agent.sandbox.types import Outcome, Sandbox

__all__ = ["LayeredSandbox"]

# Limits decide alike in both; what raises may be Python that the first one lacks.
_AGAIN = frozenset({"raised", "crashed"})


class LayeredSandbox:
    """Asks one sandbox, and a second one about answers on which the code raised.

    Meant for `MontySandbox` before `BubblewrapSandbox`: the first is fast and lacks
    parts of Python, the second is CPython.

    Args:
        first: Asked about every answer.
        second: Asked where the first says that the code raised.
    """

    def __init__(self, first: Sandbox, second: Sandbox) -> None:
        self.first = first
        self.second = second

    @property
    def name(self) -> str:
        """Both names."""
        return f"{self.first.name}, then {self.second.name}"

    @property
    def modules(self) -> frozenset[str]:
        """What either of them has."""
        return self.first.modules | self.second.modules

    def check(
        self, code: str, answers: Sequence[str], *, seconds: float | None = None
    ) -> list[Outcome]:
        """Run a checker on each answer.

        Args:
            code: Python that defines `check_following`.
            answers: What is checked.
            seconds: Time for one answer, instead of the sandboxes' limits.

        Returns:
            One outcome each, in order: the first sandbox's unless the code raised.

        Raises:
            ConfigurationError: If a sandbox cannot be started.
        """
        outcomes = self.first.check(code, answers, seconds=seconds)
        open_ = [i for i, o in enumerate(outcomes) if o.fault in _AGAIN]
        if open_:
            again = self.second.check(
                code, [answers[i] for i in open_], seconds=seconds
            )
            for i, outcome in zip(open_, again, strict=True):
                outcomes[i] = outcome
        return outcomes

    def close(self) -> None:
        """End the processes of both."""
        self.first.close()
        self.second.close()
