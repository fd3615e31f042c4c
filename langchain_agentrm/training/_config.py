"""What all stages' settings have in common, and how a stage reports on its way."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field

from langchain_agentrm.environments.base import EnvironmentFactory

__all__ = ["Progress", "StageConfig", "derive", "find_factory", "silent", "unit"]


class StageConfig(BaseModel):
    """Settings of one stage; all of them decide what it makes.

    Where files lie, and how many processes work, are arguments of the stage: they
    change nothing about the result.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(default=0, description="Seed that all draws derive from.")

    def plain(self) -> dict[str, Any]:
        """Settings as plain JSON."""
        return self.model_dump(mode="json")


class Progress(Protocol):
    """Called on the way with what was done, the whole, and figures worth seeing."""

    def __call__(self, done: float, total: float, /, **figures: float) -> None:
        """Report."""
        ...


def silent(done: float, total: float, /, **figures: float) -> None:
    """Report nothing."""
    del done, total, figures


def derive(*parts: object) -> int:
    """Hash the parts to a seed, so that a run can go on without any generator's state.

    Args:
        *parts: The run's seed, and what tells this draw apart from all others.

    Returns:
        A non-negative integer of 63 bits.
    """
    text = "\x1f".join(str(part) for part in parts)
    raw = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(raw, "big") >> 1


def unit(*parts: object) -> float:
    """Hash the parts to a number in [0, 1)."""
    return derive(*parts) / 2**63


def find_factory(env: str, factory: EnvironmentFactory | None) -> EnvironmentFactory:
    """Take the factory given, else the one registered under the name."""
    if factory is not None:
        return factory
    from langchain_agentrm.environments import registry

    return registry.get(env)


def model_folder_exists(folder: Path) -> bool:
    """Tell whether a folder holds a finished model."""
    return (folder / "model.safetensors").exists()
