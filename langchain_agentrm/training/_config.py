"""What all stages' settings have in common, and how a stage reports on its way."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field

from langchain_agentrm.environments._options import with_options
from langchain_agentrm.environments.base import EnvironmentFactory
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.training._row_files import OnBadRow

__all__ = [
    "PlayConfig",
    "Progress",
    "ReadConfig",
    "StageConfig",
    "derive",
    "find_factory",
    "silent",
    "unit",
]


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


class PlayConfig(StageConfig):
    """Settings of a stage that plays an environment."""

    env: str = Field(default="babyai", description="Registry name.")
    options: dict[str, str] = Field(
        default_factory=dict, description="Of the environment, such as perturbation."
    )

    def plain(self) -> dict[str, Any]:
        """Settings as plain JSON; options only where some are given.

        So what was made before there were options still counts as made.
        """
        out = super().plain()
        if not self.options:
            del out["options"]
        return out


class ReadConfig(StageConfig):
    """Settings of a stage that reads rows."""

    on_bad_row: OnBadRow = Field(
        default="refuse",
        description="Whether a malformed row is an error, or is left out.",
    )

    def plain(self) -> dict[str, Any]:
        """Settings as plain JSON; how bad rows are taken only where it is not usual."""
        out = super().plain()
        if self.on_bad_row == "refuse":
            del out["on_bad_row"]
        return out


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


def find_factory(
    env: str,
    factory: EnvironmentFactory | None,
    options: Mapping[str, str] | None = None,
) -> EnvironmentFactory:
    """Take the factory given, else the one registered under the name.

    Args:
        env: Registry name.
        factory: An environment that is taken as it is.
        options: Of the registered one, as texts by name.

    Returns:
        The factory.

    Raises:
        UnknownTaskError: If no environment has this name.
        ConfigurationError: If it has no such option, or both a factory and options are
            given.
    """
    if factory is not None:
        if options:
            msg = f"options={dict(options)!r} are given beside a factory of one's own."
            raise ConfigurationError(msg, remedy="Make the factory with them.")
        return factory
    from langchain_agentrm.environments import registry

    return with_options(registry.get(env), options or {})


def model_folder_exists(folder: Path) -> bool:
    """Tell whether a folder holds a finished model."""
    return (folder / "model.safetensors").exists()
