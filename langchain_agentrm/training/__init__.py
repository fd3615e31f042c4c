"""The training pipeline: demonstrations, policy, search trees, samples, reward model.

Every stage is a function with a frozen config. It reads and writes files only, goes on
where it was stopped, and writes its `manifest.json` last. Stages that need torch live
in modules of their own, so that importing this package loads none of it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_agentrm.training.audit import AuditConfig, audit_labels
    from langchain_agentrm.training.backends import (
        Backend,
        LocalBackend,
        RayBackend,
        make_backend,
    )
    from langchain_agentrm.training.bc import CloneConfig, clone_policy
    from langchain_agentrm.training.cost import TreesCost, estimate_trees
    from langchain_agentrm.training.demos import (
        Demonstration,
        DemosConfig,
        collect_demos,
    )
    from langchain_agentrm.training.dialogues import DialoguesConfig, convert_dialogues
    from langchain_agentrm.training.explicit import ExplicitConfig, train_explicit
    from langchain_agentrm.training.export import export_mini
    from langchain_agentrm.training.hub import (
        CardConfig,
        pull_from_hub,
        push_to_hub,
        write_card,
    )
    from langchain_agentrm.training.implicit import ImplicitConfig, train_implicit
    from langchain_agentrm.training.keep import KeepConfig, keep_part
    from langchain_agentrm.training.mini import MiniConfig, train_mini
    from langchain_agentrm.training.pool import PoolConfig, build_pool
    from langchain_agentrm.training.rm import RewardConfig, train_reward_model
    from langchain_agentrm.training.rollouts import RolloutsConfig, extract_rollouts
    from langchain_agentrm.training.samples import (
        SamplesConfig,
        check_splits,
        extract_samples,
        read_samples,
        state_rows,
    )
    from langchain_agentrm.training.sft import FineTuneConfig, fine_tune
    from langchain_agentrm.training.store import TreeStore
    from langchain_agentrm.training.trees import TreesConfig, build_trees

__all__ = [
    "AuditConfig",
    "Backend",
    "CardConfig",
    "CloneConfig",
    "Demonstration",
    "DemosConfig",
    "DialoguesConfig",
    "ExplicitConfig",
    "FineTuneConfig",
    "ImplicitConfig",
    "KeepConfig",
    "LocalBackend",
    "MiniConfig",
    "PoolConfig",
    "RayBackend",
    "RewardConfig",
    "RolloutsConfig",
    "SamplesConfig",
    "TreeStore",
    "TreesConfig",
    "TreesCost",
    "audit_labels",
    "build_pool",
    "build_trees",
    "check_splits",
    "clone_policy",
    "collect_demos",
    "convert_dialogues",
    "estimate_trees",
    "export_mini",
    "extract_rollouts",
    "extract_samples",
    "fine_tune",
    "keep_part",
    "make_backend",
    "pull_from_hub",
    "push_to_hub",
    "read_samples",
    "state_rows",
    "train_explicit",
    "train_implicit",
    "train_mini",
    "train_reward_model",
    "write_card",
]

_HOME = {
    "AuditConfig": "audit",
    "Backend": "backends",
    "CardConfig": "hub",
    "CloneConfig": "bc",
    "Demonstration": "demos",
    "DemosConfig": "demos",
    "DialoguesConfig": "dialogues",
    "ExplicitConfig": "explicit",
    "FineTuneConfig": "sft",
    "ImplicitConfig": "implicit",
    "KeepConfig": "keep",
    "LocalBackend": "backends",
    "MiniConfig": "mini",
    "PoolConfig": "pool",
    "RayBackend": "backends",
    "RewardConfig": "rm",
    "RolloutsConfig": "rollouts",
    "SamplesConfig": "samples",
    "TreeStore": "store",
    "TreesConfig": "trees",
    "TreesCost": "cost",
    "audit_labels": "audit",
    "build_pool": "pool",
    "build_trees": "trees",
    "check_splits": "samples",
    "clone_policy": "bc",
    "collect_demos": "demos",
    "convert_dialogues": "dialogues",
    "estimate_trees": "cost",
    "export_mini": "export",
    "extract_rollouts": "rollouts",
    "extract_samples": "samples",
    "fine_tune": "sft",
    "keep_part": "keep",
    "make_backend": "backends",
    "pull_from_hub": "hub",
    "push_to_hub": "hub",
    "read_samples": "samples",
    "state_rows": "samples",
    "train_explicit": "explicit",
    "train_implicit": "implicit",
    "train_mini": "mini",
    "train_reward_model": "rm",
    "write_card": "hub",
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
