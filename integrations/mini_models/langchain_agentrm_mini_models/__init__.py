"""A small policy and reward model, embedded: the default of the demo and the tests."""

from __future__ import annotations

from pathlib import Path

from langchain_agentrm.embedded import ModelPaths
from langchain_agentrm.errors import CheckpointError

__all__ = ["babyai"]

_HOME = Path(__file__).parent


def babyai() -> ModelPaths:
    """Find the models for BabyAI.

    Returns:
        The two checkpoint folders inside this package.

    Raises:
        CheckpointError: If the installed package lacks the weights.
    """
    return _checked(ModelPaths(_HOME / "policy", _HOME / "reward_model"))


def _checked(paths: ModelPaths) -> ModelPaths:
    for folder in paths:
        weights = folder / "model.safetensors"
        if not weights.is_file():
            msg = f"The embedded model's weights are missing: {weights}."
            raise CheckpointError(
                msg,
                remedy="Reinstall langchain-agentrm-mini-models, or make the models "
                "with `agentrm train mini --env babyai`.",
            )
    return paths
