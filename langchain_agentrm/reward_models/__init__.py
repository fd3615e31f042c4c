"""Reward models and the protocol they share; backends load when first asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_agentrm.reward_models.base import RewardModel, checked
from langchain_agentrm.reward_models.function import FunctionRewardModel

if TYPE_CHECKING:
    from langchain_agentrm.reward_models.sequence_classification import AgentRM

__all__ = ["AgentRM", "FunctionRewardModel", "RewardModel", "checked"]


def __getattr__(name: str) -> Any:
    """Load a backend that needs torch."""
    if name == "AgentRM":
        from langchain_agentrm.reward_models.sequence_classification import (
            AgentRM,
        )

        return AgentRM
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
