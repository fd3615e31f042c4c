"""Stage `pool`: episodes on dev task types, kept to choose a checkpoint by."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from langchain_agentrm._files import (
    finished,
    folder_digest,
    write_jsonl,
    write_manifest,
)
from langchain_agentrm.environments.base import EnvironmentFactory
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.sampling.base import Proposer
from langchain_agentrm.training._config import (
    PlayConfig,
    Progress,
    find_factory,
    silent,
)
from langchain_agentrm.training._policy import MakeProposer, local_policy
from langchain_agentrm.training.episodes import plant, run_rollouts
from langchain_agentrm.training.samples import LabelledPath, TaskSamples, leaf_paths
from langchain_agentrm.training.store import ChunkResult
from langchain_agentrm.types import TaskRef

__all__ = ["POOL_FILE", "PoolConfig", "build_pool", "greedy_score"]

POOL_FILE = "pool.jsonl"
_CHUNK = 120


class PoolConfig(PlayConfig):
    """Settings of stage `pool`."""

    types: tuple[str, ...] = Field(
        default=(), description="Task types; empty: those neither trained nor tested."
    )
    tasks: int = Field(default=400, ge=1, description="Tasks in all.")
    samples: int = Field(default=5, ge=2, description="Episodes a task.")
    temperature: float = Field(default=0.7, gt=0, description="Sampling temperature.")
    policy_hash: str = Field(default="", description="Digest of the policy's folder.")


def build_pool(
    config: PoolConfig,
    policy: Path,
    out: Path,
    *,
    factory: EnvironmentFactory | None = None,
    make_proposer: MakeProposer | None = None,
    progress: Progress = silent,
) -> dict[str, object]:
    """Play the pool's episodes once and keep them.

    Args:
        config: Settings.
        policy: Folder of the policy's checkpoint.
        out: Output folder.
        factory: The environment; by default the one registered as `config.env`.
        make_proposer: Makes another policy than the checkpoint.
        progress: Told about each chunk.

    Returns:
        The manifest; its counts hold greedy, mean and best possible score.

    Raises:
        ConfigurationError: If no episode has a valid action.
    """
    if make_proposer is None:
        config = config.model_copy(update={"policy_hash": folder_digest(policy)})
        make_proposer = functools.partial(local_policy, policy)
    done = finished(out, config.plain())
    if done is not None:
        return done
    began = time.monotonic()
    found = find_factory(config.env, factory, config.options)
    tasks = found.tasks("dev", list(config.types) or found.types("dev"), config.tasks)
    proposer = make_proposer()
    rows: list[TaskSamples] = []
    for first in range(0, len(tasks), _CHUNK):
        trees = [plant(found, task) for task in tasks[first : first + _CHUNK]]
        run_rollouts(
            trees,
            proposer,
            config.samples,
            seed=config.seed,
            temperature=config.temperature,
        )
        for tree in trees:
            nodes = ChunkResult.pack(tree)[3]
            paths = [
                LabelledPath(
                    [(node.action, node.observation or "") for node in path],
                    [None] * len(path),
                    path[-1].reward,
                    path[-1].n,
                )
                for path in leaf_paths(nodes)
            ]
            start = tree.start
            row = TaskSamples(
                tree.task, start.goal, start.observation, paths, start.instruction
            )
            rows.append(row)
            tree.release()
        progress(len(rows), len(tasks))
    rows = [row for row in rows if row.paths]
    if not rows:
        msg = f"The policy gave no valid action in any of {len(tasks)} tasks."
        raise ConfigurationError(
            msg, remedy="Train the policy for longer, or on more demonstrations."
        )
    write_jsonl(out / POOL_FILE, (row.plain() for row in rows))
    played = sum(path.count for row in rows for path in row.paths)
    scored = sum(path.count * path.score for row in rows for path in row.paths)
    best = sum(max(path.score for path in row.paths) for row in rows)
    counts = {
        "tasks": len(rows),
        "greedy": greedy_score(found, proposer, tasks),
        "mean": round(scored / max(1, played), 4),
        "oracle": round(best / max(1, len(rows)), 4),
    }
    return write_manifest(
        out,
        stage="pool",
        config=config.plain(),
        inputs={"policy": config.policy_hash},
        counts=counts,
        seconds=time.monotonic() - began,
        outputs=[POOL_FILE],
    )


def greedy_score(
    factory: EnvironmentFactory, proposer: Proposer, tasks: Sequence[TaskRef]
) -> float:
    """Mean score of the policy's most likely episodes.

    Args:
        factory: The environment.
        proposer: The policy.
        tasks: At least one task.

    Returns:
        The mean, 0..1.
    """
    total = 0.0
    for first in range(0, len(tasks), _CHUNK):
        trees = [plant(factory, task) for task in tasks[first : first + _CHUNK]]
        run_rollouts(trees, proposer, 1, seed=0, greedy=True)
        total += sum(tree.root.w for tree in trees)
        for tree in trees:
            tree.release()
    return round(total / len(tasks), 4)
