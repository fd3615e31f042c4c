"""The training pipeline: demonstrations, policy, search trees, samples, reward model.

Every stage is a function with a frozen config. It reads and writes files only, goes on
where it was stopped, and writes its `manifest.json` last. Stages that need torch live
in modules of their own, so that importing this package loads none of it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_agentrm.training.bc import CloneConfig, clone_policy
    from langchain_agentrm.training.demos import (
        Demonstration,
        DemosConfig,
        collect_demos,
    )
    from langchain_agentrm.training.export import export_mini
    from langchain_agentrm.training.mini import MiniConfig, train_mini
    from langchain_agentrm.training.pool import PoolConfig, build_pool
    from langchain_agentrm.training.rm import RewardConfig, train_reward_model
    from langchain_agentrm.training.samples import SamplesConfig, extract_samples
    from langchain_agentrm.training.store import TreeStore
    from langchain_agentrm.training.trees import TreesConfig, build_trees

__all__ = [
    "CloneConfig",
    "Demonstration",
    "DemosConfig",
    "MiniConfig",
    "PoolConfig",
    "RewardConfig",
    "SamplesConfig",
    "TreeStore",
    "TreesConfig",
    "build_pool",
    "build_trees",
    "clone_policy",
    "collect_demos",
    "export_mini",
    "extract_samples",
    "train_mini",
    "train_reward_model",
]

_HOME = {
    "CloneConfig": "bc",
    "Demonstration": "demos",
    "DemosConfig": "demos",
    "MiniConfig": "mini",
    "PoolConfig": "pool",
    "RewardConfig": "rm",
    "SamplesConfig": "samples",
    "TreeStore": "store",
    "TreesConfig": "trees",
    "build_pool": "pool",
    "build_trees": "trees",
    "clone_policy": "bc",
    "collect_demos": "demos",
    "export_mini": "export",
    "extract_samples": "samples",
    "train_mini": "mini",
    "train_reward_model": "rm",
}


def __getattr__(name: str) -> Any:
    """Import the module of a public name when the name is first used."""
    if name not in _HOME:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
