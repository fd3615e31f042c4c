"""Stage `trees`: label the states of the policy's own episodes."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field

from langchain_agentrm._files import finished, write_manifest
from langchain_agentrm.environments.base import EnvironmentFactory, Split
from langchain_agentrm.sampling.base import Proposer
from langchain_agentrm.training._config import (
    PlayConfig,
    Progress,
    find_factory,
    silent,
)
from langchain_agentrm.training._effects import Steps, run_searches
from langchain_agentrm.training._parts import Part
from langchain_agentrm.training._policy import MakeProposer, find_policy
from langchain_agentrm.training.backends import Backend, LocalBackend
from langchain_agentrm.training.episodes import Tree, mcts_steps, plant, rollout_steps
from langchain_agentrm.training.mcts import SearchSettings, search_steps
from langchain_agentrm.training.store import ChunkResult, TreeStore
from langchain_agentrm.types import TaskRef, Usage

__all__ = ["STORE_FILE", "TreesConfig", "build_trees"]

STORE_FILE = "trees.sqlite"
_PARTS = "parts"
_OF_SEARCH = (
    "rollouts",
    "rollout_temperature",
    "merge_actions",
    "merge_states",
    "cache",
    "budget",
)


class TreesConfig(PlayConfig):
    """Settings of stage `trees`."""

    labeller: Literal["rollouts", "mcts", "agentrm"] = Field(
        default="rollouts",
        description="Plain episodes; UCB search with one episode a simulation; or the "
        "paper's, with rollouts from every new state.",
    )
    types: tuple[str, ...] = Field(
        default=(), description="Task types; empty: the held-in ones."
    )
    split: Split = Field(default="train", description="Split of the tasks.")
    tasks: int = Field(default=8400, ge=1, description="Tasks in all.")
    simulations: int = Field(
        default=8, ge=1, description="Episodes, or simulations, a task."
    )
    width: int = Field(default=4, ge=1, description="Answers that an expansion asks.")
    c: float = Field(default=0.5, ge=0, description="Weight of exploration.")
    temperature: float = Field(default=1.0, gt=0, description="Sampling temperature.")
    rollouts: int = Field(
        default=2, ge=1, description="agentrm: episodes from each new state."
    )
    rollout_temperature: float = Field(
        default=0.7, gt=0, description="agentrm: sampling temperature in rollouts."
    )
    merge_actions: bool = Field(
        default=True, description="agentrm: equal actions are one child."
    )
    merge_states: bool = Field(
        default=False, description="agentrm: children that show the same are one."
    )
    cache: bool = Field(
        default=True, description="agentrm: no step is executed a second time."
    )
    budget: int | None = Field(
        default=None, ge=1, description="agentrm: most answers that a tree asks for."
    )
    chunk: int = Field(default=120, ge=1, description="Tasks played in lockstep.")
    policy_hash: str = Field(
        default="", description="Digest of the policy's folder, or the served name."
    )

    @classmethod
    def paper(cls, **given: Any) -> Self:
        """The paper's search, with the settings of the closest open code where it names
        none: 30 iterations, 5 answers an expansion, 2 rollouts, c 0.7, T 1 and 0.7.

        Args:
            **given: Settings that win over these.
        """  # noqa: D205 - one sentence
        here = {"labeller": "agentrm", "simulations": 30, "width": 5, "c": 0.7}
        return cls(**{**here, **given})

    def plain(self) -> dict[str, Any]:
        """Settings as plain JSON, without those that the labeller does not read."""
        out = super().plain()
        if self.labeller != "agentrm":
            for name in _OF_SEARCH:
                out.pop(name)
        return out

    def search(self, engines: int) -> SearchSettings:
        """Settings of one tree's search.

        Args:
            engines: Most engines alive in one tree where they cannot be copied.
        """
        return SearchSettings(
            iterations=self.simulations,
            width=self.width,
            rollouts=self.rollouts,
            c=self.c,
            temperature=self.temperature,
            rollout_temperature=self.rollout_temperature,
            merge_actions=self.merge_actions,
            merge_states=self.merge_states,
            cache=self.cache,
            budget=self.budget,
            engines=engines,
            seed=self.seed,
        )


def build_trees(
    config: TreesConfig,
    policy: Path | str,
    out: Path,
    *,
    base_url: str | None = None,
    workers: int = 1,
    backend: Backend | None = None,
    in_flight: int = 8,
    engines: int = 4,
    factory: EnvironmentFactory | None = None,
    make_proposer: MakeProposer | None = None,
    progress: Progress = silent,
) -> dict[str, object]:
    """Play or search the tasks, chunk by chunk, into a resumable SQLite store.

    Killed at any moment, a run loses at most the iterations under way, one a tree, with
    labeller `agentrm`, and the chunks under way, one a worker, with the others.

    Args:
        config: Settings.
        policy: Folder of the policy's checkpoint, or `openai:MODEL`.
        out: Output folder.
        base_url: Server of an `openai:` policy.
        workers: Processes; the result does not depend on their number.
        backend: Where the chunks are played, such as a Ray cluster; by default
            `workers` processes here. The result does not depend on it.
        in_flight: Trees of a process that a served policy is asked about at once.
        engines: Most engines alive in one tree where they cannot be copied.
        factory: The environment; by default the one registered as `config.env`.
        make_proposer: Makes another policy than the checkpoint; picklable.
        progress: Told about each chunk.

    Returns:
        The manifest.

    Raises:
        CheckpointError: If the store cannot be written, as when the disk is full.
        ConfigurationError: If the store was begun with other settings.
        EnvironmentFailedError: If a worker process died.
        PolicyError: If the policy fails for now; run the stage again.
    """
    if make_proposer is None:
        make_proposer, name = find_policy(policy, base_url)
        config = config.model_copy(update={"policy_hash": name})
    done = finished(out, config.plain())
    if done is not None:
        return done
    began = time.monotonic()
    found = find_factory(config.env, factory, config.options)
    types = list(config.types) or found.types("held_in")
    tasks = found.tasks(config.split, types, config.tasks)
    count = math.ceil(len(tasks) / config.chunk)
    with TreeStore(out / STORE_FILE, config.plain()) as store:
        ready = store.chunks()
        jobs = [
            _Job(
                config,
                i,
                tasks[i * config.chunk : (i + 1) * config.chunk],
                out.resolve() / _PARTS,
                in_flight,
                engines,
            )
            for i in range(count)
            if i not in ready
        ]
        played = len(ready)
        progress(played, count)
        setup = functools.partial(
            _setup, config.env, config.options, factory, make_proposer
        )
        for _, result in (backend or LocalBackend(workers)).run(setup, jobs):
            store.add(result, chunk_size=config.chunk)
            Part.forget(out / _PARTS, result.chunk)
            played += 1
            roots = [tree[3][0] for tree in result.trees]
            value = sum(r.w for r in roots) / max(1, sum(r.n for r in roots))
            progress(played, count, value=value)
        totals = store.totals()
    return write_manifest(
        out,
        stage="trees",
        config=config.plain(),
        inputs={"policy": config.policy_hash},
        counts=totals,
        seconds=time.monotonic() - began,
    )


@dataclass(frozen=True, slots=True)
class _Job:
    config: TreesConfig
    chunk: int
    tasks: Sequence[TaskRef]
    parts: Path
    in_flight: int = 8
    engines: int = 4


def _play(job: _Job, factory: EnvironmentFactory, proposer: Proposer) -> ChunkResult:
    config = job.config
    began = time.process_time()
    if config.labeller == "agentrm":
        trees, usage = _search(job, factory, proposer)
    else:
        trees = [plant(factory, task) for task in job.tasks]
        usage = run_searches(
            [_steps(config, tree) for tree in trees],
            proposer,
            in_flight=job.in_flight,
            threads=factory.spec.thread_safe,
        )
    packed = [ChunkResult.pack(tree) for tree in trees]
    for tree in trees:
        tree.release()
    return ChunkResult(
        chunk=job.chunk,
        trees=packed,
        requests=usage.requests,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        lost=sum(tree.lost for tree in trees),
        cpu_seconds=time.process_time() - began,
    )


def _steps(config: TreesConfig, tree: Tree) -> Steps:
    if config.labeller == "rollouts":
        return rollout_steps(
            tree, config.simulations, seed=config.seed, temperature=config.temperature
        )
    return mcts_steps(
        tree,
        config.simulations,
        seed=config.seed,
        width=config.width,
        c=config.c,
        temperature=config.temperature,
    )


def _search(
    job: _Job, factory: EnvironmentFactory, proposer: Proposer
) -> tuple[list[Tree], Usage]:
    settings = job.config.search(job.engines)
    with Part(Part.file(job.parts, job.chunk), job.config.plain()) as part:
        searches = [
            part.search(i, task, factory, settings) for i, task in enumerate(job.tasks)
        ]
        run_searches(
            [search_steps(search) for search in searches],
            proposer,
            in_flight=job.in_flight,
            threads=factory.spec.thread_safe,
            after=part.flush,
        )
        return [search.tree for search in searches], part.usage


def _setup(
    env: str,
    options: Mapping[str, str],
    factory: EnvironmentFactory | None,
    make_proposer: MakeProposer,
) -> Callable[[_Job], ChunkResult]:
    found = find_factory(env, factory, options)
    return functools.partial(_play, factory=found, proposer=make_proposer())
