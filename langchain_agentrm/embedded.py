"""Models that ship with an installed distribution, found by entry point."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import NamedTuple

from langchain_agentrm.errors import UnknownTaskError

__all__ = ["ModelPaths", "embedded_models"]

_GROUP = "langchain_agentrm.models"


class ModelPaths(NamedTuple):
    """Folders of a policy and of the reward model made for it."""

    policy: Path
    reward_model: Path


def embedded_models(environment: str) -> ModelPaths:
    """Find the policy and reward model embedded for an environment.

    Args:
        environment: Registry name of the environment.

    Returns:
        The two checkpoint folders.

    Raises:
        UnknownTaskError: If no installed distribution offers models for it.
        CheckpointError: If the distribution lacks its weights.
    """
    found = {e.name: e for e in entry_points(group=_GROUP)}
    if environment not in found:
        known = ", ".join(sorted(found)) or "none"
        msg = f"No embedded models for environment {environment!r} (found: {known})."
        raise UnknownTaskError(
            msg,
            remedy="Run: pip install langchain-agentrm-mini-models, or name models "
            "with --policy and --reward-model.",
        )
    policy, reward_model = found[environment].load()()
    return ModelPaths(Path(policy), Path(reward_model))
