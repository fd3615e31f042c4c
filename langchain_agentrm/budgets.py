"""What a search may spend: one frozen value, checked before each wave."""

from __future__ import annotations

from dataclasses import dataclass

from langchain_agentrm.errors import ConfigurationError

__all__ = ["Budget"]


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits of one search; None means no limit.

    A limit is checked before a step, so that the last step may overshoot it by what one
    step costs. LangGraph's recursion limit is no substitute: it is 10007 by default.

    Attributes:
        requests: Policy requests.
        tokens: Tokens of policy and reward model together, input and output.
        seconds: Wall-clock seconds since the search began.
    """

    requests: int | None = None
    tokens: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        """Refuse limits that allow nothing."""
        for name in ("requests", "tokens", "seconds"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                msg = f"Budget({name}={value!r}) allows nothing."
                raise ConfigurationError(
                    msg, remedy="Give a positive number, or None for no limit."
                )

    def exhausted(self, *, requests: int, tokens: int, seconds: float) -> str | None:
        """Name the first limit that was reached.

        Args:
            requests: Spent so far.
            tokens: Spent so far.
            seconds: Spent so far.

        Returns:
            `"requests"`, `"tokens"`, `"seconds"`, or None.
        """
        if self.requests is not None and requests >= self.requests:
            return "requests"
        if self.tokens is not None and tokens >= self.tokens:
            return "tokens"
        if self.seconds is not None and seconds >= self.seconds:
            return "seconds"
        return None
