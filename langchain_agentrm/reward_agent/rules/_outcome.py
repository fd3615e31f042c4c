"""What became of one check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Outcome", "Profile"]

Profile = Literal["natural", "ifeval"]
"""`"natural"`: what a careful reader means; `"ifeval"`: what IFEval's verifiers say."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whether a rule holds, and what was seen.

    Attributes:
        passed: None where it cannot be decided.
        detail: What was seen, or what was missing.
    """

    passed: bool | None
    detail: str = ""
