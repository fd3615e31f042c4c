"""The rules of the paper's public code, made-up defaults and all, for comparisons."""

from __future__ import annotations

from langchain_agentrm.reward_agent._upstream.constraint import Constraint
from langchain_agentrm.reward_agent._upstream.factuality import Factuality
from langchain_agentrm.reward_agent._upstream.judger import UpstreamJudger, judger
from langchain_agentrm.reward_agent._upstream.planner import Planner

__all__ = ["Constraint", "Factuality", "Planner", "UpstreamJudger", "judger"]
