"""What a sandbox takes and gives back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

__all__ = ["Fault", "Limits", "Outcome", "Sandbox"]

Fault = Literal["", "crashed", "memory", "not_bool", "raised", "timeout"]
"""Why there is no verdict; empty where there is one."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one check may use.

    Attributes:
        seconds: Time for one answer.
        memory: Bytes, below 1 GiB.
        output: Bytes that may be printed before the check is ended with the fault
            `"memory"`, where the sandbox does not throw them away.
    """

    seconds: float = 2.0
    memory: int = 256 << 20
    output: int = 64 << 10


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a checker said of one answer.

    Attributes:
        passed: The verdict; None where there is none.
        fault: Why there is none.
        error: The same in words, such as `"TypeError: ..."`.
    """

    passed: bool | None
    fault: Fault = ""
    error: str = ""


@runtime_checkable
class Sandbox(Protocol):
    """Runs code that nobody trusts, away from this process.

    Attributes:
        name: For messages.
        modules: Modules that the code may import.
    """

    @property
    def name(self) -> str:
        """For messages."""
        ...

    @property
    def modules(self) -> frozenset[str]:
        """Modules that the code may import."""
        ...

    def check(
        self, code: str, answers: Sequence[str], *, seconds: float | None = None
    ) -> list[Outcome]:
        """Run `check_following(answer)` for each answer.

        May be called from several threads at once. No answer sees what another left
        behind, so far as the code means well.

        Args:
            code: Python that defines `check_following`.
            answers: What is checked.
            seconds: Time for one answer, instead of the sandbox's own limit.

        Returns:
            One outcome each, in order. What the code does wrong is an outcome, never an
            exception.

        Raises:
            ConfigurationError: If the sandbox itself cannot be started.
        """
        ...

    def close(self) -> None:
        """End its processes; another `check` starts them again."""
        ...
