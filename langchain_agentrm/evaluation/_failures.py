"""What failed, told apart from what had nothing to say."""

from __future__ import annotations

from langchain_agentrm.reward_agent._signals import FAILED, NO_SIGNAL
from langchain_agentrm.reward_agent.agent import RewardAgent
from langchain_agentrm.reward_models.base import RewardModel
from langchain_agentrm.types import Score

__all__ = ["has_failed"]


def has_failed(score: Score, reward_model: RewardModel) -> bool:
    """Tell whether something failed for a score, be there a value or not.

    Args:
        score: The score, or the error in its place.
        reward_model: Who gave it.

    Returns:
        True if a signal of a `RewardAgent` or its judger failed, or another reward
        model gave no score. False for an agent all of whose verifiers abstained.
    """
    if score.signals.get(FAILED):
        return True
    if score.ok:
        return False
    said = score.error or ""
    return not (isinstance(reward_model, RewardAgent) and said.startswith(NO_SIGNAL))
