"""Reward-guided search for LangChain and LangGraph agents: sample, score, keep, go on.

The public names load on first use, so that importing the package stays cheap and loads
neither a model library nor LangGraph.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from langchain_agentrm._version import __version__

if TYPE_CHECKING:
    from langchain_agentrm.budgets import Budget, Price
    from langchain_agentrm.chat_models import ChatAgentRM, ChatLocal
    from langchain_agentrm.environments import Environment, EnvironmentFactory
    from langchain_agentrm.environments.pool import BranchPool
    from langchain_agentrm.errors import AgentRMError, is_retryable
    from langchain_agentrm.graphs import (
        create_beam_search,
        create_best_of_n,
        create_tool_search,
    )
    from langchain_agentrm.middleware import AgentRMMiddleware
    from langchain_agentrm.reward_agent import RewardAgent
    from langchain_agentrm.reward_models import (
        AgentRM,
        FunctionRewardModel,
        RewardModel,
    )
    from langchain_agentrm.search import SearchOptions
    from langchain_agentrm.selector import AgentRMSelector
    from langchain_agentrm.state import BeamState, StepInput
    from langchain_agentrm.trajectory import Trajectory
    from langchain_agentrm.types import Candidate, Score, TaskRef

__all__ = [
    "AgentRM",
    "AgentRMError",
    "AgentRMMiddleware",
    "AgentRMSelector",
    "BeamState",
    "BranchPool",
    "Budget",
    "Candidate",
    "ChatAgentRM",
    "ChatLocal",
    "Environment",
    "EnvironmentFactory",
    "FunctionRewardModel",
    "Price",
    "RewardAgent",
    "RewardModel",
    "Score",
    "SearchOptions",
    "StepInput",
    "TaskRef",
    "Trajectory",
    "__version__",
    "create_beam_search",
    "create_best_of_n",
    "create_tool_search",
    "is_retryable",
]

_MODULES = {
    "AgentRM": "reward_models",
    "AgentRMError": "errors",
    "AgentRMMiddleware": "middleware",
    "AgentRMSelector": "selector",
    "BeamState": "state",
    "BranchPool": "environments.pool",
    "Budget": "budgets",
    "Candidate": "types",
    "ChatAgentRM": "chat_models",
    "ChatLocal": "chat_models",
    "Environment": "environments",
    "EnvironmentFactory": "environments",
    "FunctionRewardModel": "reward_models",
    "Price": "budgets",
    "RewardAgent": "reward_agent",
    "RewardModel": "reward_models",
    "Score": "types",
    "SearchOptions": "search",
    "StepInput": "state",
    "TaskRef": "types",
    "Trajectory": "trajectory",
    "create_beam_search": "graphs",
    "create_best_of_n": "graphs",
    "create_tool_search": "graphs",
    "is_retryable": "errors",
}


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
