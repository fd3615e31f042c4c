"""Reward models and the protocol they share; each backend loads when first asked for.

In process: `AgentRM` for value heads and models of steps, `ImplicitRewardModel` for a
policy beside its reference. Served: `VLLMRewardModel`, `VLLMEngineRewardModel`,
`ServedImplicitRewardModel`. `JudgeRewardModel` asks a chat model.
`EnsembleRewardModel`, `CalibratedRewardModel` and `KeptRewardModel` stand before
others; `FunctionRewardModel` wraps a function. `reward_model` makes one from a word.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from langchain_agentrm.reward_models.base import Comparable, RewardModel, checked
from langchain_agentrm.reward_models.function import FunctionRewardModel

if TYPE_CHECKING:
    from langchain_agentrm.reward_models.calibration import (
        CalibratedRewardModel,
        Calibration,
        fit_isotonic,
        fit_temperature,
    )
    from langchain_agentrm.reward_models.ensemble import EnsembleRewardModel
    from langchain_agentrm.reward_models.evaluator import (
        as_async_evaluator,
        as_evaluator,
    )
    from langchain_agentrm.reward_models.factory import reward_model
    from langchain_agentrm.reward_models.implicit import ImplicitRewardModel
    from langchain_agentrm.reward_models.implicit_served import (
        ServedImplicitRewardModel,
    )
    from langchain_agentrm.reward_models.in_process import AgentRM
    from langchain_agentrm.reward_models.judge import JudgeRewardModel
    from langchain_agentrm.reward_models.kept import KeptRewardModel
    from langchain_agentrm.reward_models.layout import Layout, read_layout
    from langchain_agentrm.reward_models.vllm import VLLMRewardModel
    from langchain_agentrm.reward_models.vllm_engine import VLLMEngineRewardModel

__all__ = [
    "AgentRM",
    "CalibratedRewardModel",
    "Calibration",
    "Comparable",
    "EnsembleRewardModel",
    "FunctionRewardModel",
    "ImplicitRewardModel",
    "JudgeRewardModel",
    "KeptRewardModel",
    "Layout",
    "RewardModel",
    "ServedImplicitRewardModel",
    "VLLMEngineRewardModel",
    "VLLMRewardModel",
    "as_async_evaluator",
    "as_evaluator",
    "checked",
    "fit_isotonic",
    "fit_temperature",
    "read_layout",
    "reward_model",
]

_MODULES = {
    "AgentRM": "in_process",
    "CalibratedRewardModel": "calibration",
    "Calibration": "calibration",
    "EnsembleRewardModel": "ensemble",
    "ImplicitRewardModel": "implicit",
    "JudgeRewardModel": "judge",
    "KeptRewardModel": "kept",
    "Layout": "layout",
    "ServedImplicitRewardModel": "implicit_served",
    "VLLMEngineRewardModel": "vllm_engine",
    "VLLMRewardModel": "vllm",
    "as_async_evaluator": "evaluator",
    "as_evaluator": "evaluator",
    "fit_isotonic": "calibration",
    "fit_temperature": "calibration",
    "read_layout": "layout",
    "reward_model": "factory",
}


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(f"{__name__}.{module}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
