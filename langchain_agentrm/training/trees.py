"""Stage `trees`: label the states of the policy's own episodes."""

from __future__ import annotations

import functools
import math
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from langchain_agentrm._files import finished, folder_digest, write_manifest
from langchain_agentrm.environments.base import EnvironmentFactory, Split
from langchain_agentrm.errors import EnvironmentFailedError
from langchain_agentrm.sampling.base import Proposer
from langchain_agentrm.training._config import (
    Progress,
    StageConfig,
    find_factory,
    silent,
)
from langchain_agentrm.training._policy import (
    MakeProposer,
    die_with_parent,
    local_policy,
)
from langchain_agentrm.training.episodes import plant, run_mcts, run_rollouts
from langchain_agentrm.training.store import ChunkResult, TreeStore
from langchain_agentrm.types import TaskRef

__all__ = ["STORE_FILE", "TreesConfig", "build_trees"]

STORE_FILE = "trees.sqlite"


class TreesConfig(StageConfig):
    """Settings of stage `trees`."""

    env: str = Field(default="babyai", description="Registry name.")
    labeller: Literal["rollouts", "mcts"] = Field(
        default="rollouts", description="Plain episodes, or UCB search."
    )
    types: tuple[str, ...] = Field(
        default=(), description="Task types; empty: the held-in ones."
    )
    split: Split = Field(default="train", description="Split of the tasks.")
    tasks: int = Field(default=8400, ge=1, description="Tasks in all.")
    simulations: int = Field(
        default=8, ge=1, description="Episodes, or simulations, a task."
    )
    width: int = Field(default=4, ge=1, description="mcts: answers an expansion asks.")
    c: float = Field(default=0.5, ge=0, description="mcts: weight of exploration.")
    temperature: float = Field(default=1.0, gt=0, description="Sampling temperature.")
    chunk: int = Field(default=120, ge=1, description="Tasks played in lockstep.")
    policy_hash: str = Field(default="", description="Digest of the policy's folder.")


def build_trees(
    config: TreesConfig,
    policy: Path,
    out: Path,
    *,
    workers: int = 1,
    factory: EnvironmentFactory | None = None,
    make_proposer: MakeProposer | None = None,
    progress: Progress = silent,
) -> dict[str, object]:
    """Play or search the tasks, chunk by chunk, into a resumable SQLite store.

    Args:
        config: Settings.
        policy: Folder of the policy's checkpoint.
        out: Output folder.
        workers: Processes; the result does not depend on their number.
        factory: The environment; by default the one registered as `config.env`.
        make_proposer: Makes another policy than the checkpoint; picklable.
        progress: Told about each chunk.

    Returns:
        The manifest.

    Raises:
        ConfigurationError: If the store was begun with other settings.
        EnvironmentFailedError: If a worker process died.
    """
    if make_proposer is None:
        config = config.model_copy(update={"policy_hash": folder_digest(policy)})
        make_proposer = functools.partial(local_policy, policy)
    done = finished(out, config.plain())
    if done is not None:
        return done
    began = time.monotonic()
    found = find_factory(config.env, factory)
    types = list(config.types) or found.types("held_in")
    tasks = found.tasks(config.split, types, config.tasks)
    count = math.ceil(len(tasks) / config.chunk)
    with TreeStore(out / STORE_FILE, config.plain()) as store:
        ready = store.chunks()
        jobs = [
            _Job(config, i, tasks[i * config.chunk : (i + 1) * config.chunk])
            for i in range(count)
            if i not in ready
        ]
        played = len(ready)
        progress(played, count)
        for result in _run(jobs, workers, factory, make_proposer):
            store.add(result, chunk_size=config.chunk)
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


def _play(job: _Job, factory: EnvironmentFactory, proposer: Proposer) -> ChunkResult:
    config = job.config
    began = time.process_time()
    trees = [plant(factory, task) for task in job.tasks]
    if config.labeller == "rollouts":
        usage = run_rollouts(
            trees,
            proposer,
            config.simulations,
            seed=config.seed,
            temperature=config.temperature,
        )
    else:
        usage = run_mcts(
            trees,
            proposer,
            config.simulations,
            seed=config.seed,
            width=config.width,
            c=config.c,
            temperature=config.temperature,
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


def _run(
    jobs: Sequence[_Job],
    workers: int,
    factory: EnvironmentFactory | None,
    make_proposer: MakeProposer,
) -> Iterator[ChunkResult]:
    if not jobs:
        return
    if workers <= 1:
        proposer = make_proposer()
        found = find_factory(jobs[0].config.env, factory)
        for job in jobs:
            yield _play(job, found, proposer)
        return
    pool = ProcessPoolExecutor(
        min(workers, len(jobs)),
        # A forked child would share torch's thread pool and deadlock.
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
        initargs=(jobs[0].config.env, factory, make_proposer),
    )
    try:
        running: set[Future[ChunkResult]] = {pool.submit(_work, job) for job in jobs}
        for future in as_completed(running):
            yield future.result()
    except BrokenProcessPool as error:
        msg = f"A worker process of {workers} died: {error}."
        raise EnvironmentFailedError(
            msg,
            remedy="Run the stage again: it goes on; fewer workers need less memory.",
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_worker: tuple[EnvironmentFactory, Proposer] | None = None


def _start_worker(
    env: str, factory: EnvironmentFactory | None, make_proposer: MakeProposer
) -> None:
    global _worker  # noqa: PLW0603 - a pool's initializer has nowhere else to put it
    die_with_parent()
    _worker = (find_factory(env, factory), make_proposer())


def _work(job: _Job) -> ChunkResult:
    assert _worker is not None  # noqa: S101 - the initializer ran
    return _play(job, *_worker)
