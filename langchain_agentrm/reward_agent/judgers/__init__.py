"""How the signals of a group become scores: in order, summed, voted on, or judged."""

from __future__ import annotations

from langchain_agentrm.reward_agent.judgers.base import PREFERENCE, Judger, Signal
from langchain_agentrm.reward_agent.judgers.lexicographic import Lexicographic
from langchain_agentrm.reward_agent.judgers.llm import LLMJudge
from langchain_agentrm.reward_agent.judgers.majority_vote import MajorityVote
from langchain_agentrm.reward_agent.judgers.weighted_sum import Normalize, WeightedSum

__all__ = [
    "PREFERENCE",
    "Judger",
    "LLMJudge",
    "Lexicographic",
    "MajorityVote",
    "Normalize",
    "Signal",
    "WeightedSum",
]
