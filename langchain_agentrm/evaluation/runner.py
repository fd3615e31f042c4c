"""Evaluation over many tasks: chunks in worker processes, each kept when it is done."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from langchain_agentrm._files import read_json, same_settings, write_json
from langchain_agentrm.environments import registry
from langchain_agentrm.evaluation.methods import MethodSettings, Record, run_chunk
from langchain_agentrm.types import TaskRef

__all__ = ["Plan", "evaluate"]

CHUNK = 25
"""Tasks in lockstep: enough for full batches, few enough for a table that moves."""

_models: dict[tuple[str | None, ...], Any] = {}


@dataclass(frozen=True, slots=True)
class Plan:
    """What to evaluate.

    Attributes:
        env: Registry name of the environment.
        tasks: The tasks.
        methods: Names of methods.
        policy: Checkpoint folder, or `openai:MODEL`.
        reward_model: A word that `reward_models.factory.reward_model` knows.
        settings: Temperatures and seed.
        base_url: Endpoint of an `openai:` policy.
        reward_url: Server of a `vllm:` or `judge:` reward model.
    """

    env: str
    tasks: Sequence[TaskRef]
    methods: Sequence[str]
    policy: str
    reward_model: str
    settings: MethodSettings = field(default_factory=MethodSettings)
    base_url: str | None = None
    reward_url: str | None = None


def evaluate(
    plan: Plan,
    *,
    workers: int = 2,
    keep: Path | None = None,
    on_chunk: Callable[[list[Record]], None] | None = None,
) -> list[Record]:
    """Run a plan.

    Args:
        plan: What to evaluate.
        workers: Processes; 0 runs in this one.
        keep: Folder that keeps each finished chunk, so that a run can go on.
        on_chunk: Told the records of each chunk when it is done.

    Returns:
        All records, in the order of the tasks.

    Raises:
        ConfigurationError: If `keep` holds chunks of another plan.
    """
    chunks = [list(plan.tasks[i : i + CHUNK]) for i in range(0, len(plan.tasks), CHUNK)]
    done: dict[int, list[Record]] = {}
    if keep is not None:
        _same_plan(plan, keep)
        for i in range(len(chunks)):
            path = _path(keep, i)
            if path.exists():
                done[i] = [Record(**r) for r in json.loads(path.read_text())]
                if on_chunk:
                    on_chunk(done[i])
    todo = [i for i in range(len(chunks)) if i not in done]
    for i, records in _results(plan, {i: chunks[i] for i in todo}, workers):
        if keep is not None:
            write_json(_path(keep, i), [asdict(r) for r in records])
        done[i] = records
        if on_chunk:
            on_chunk(records)
    return [r for i in range(len(chunks)) for r in done[i]]


def _results(
    plan: Plan, chunks: dict[int, list[TaskRef]], workers: int
) -> Iterator[tuple[int, list[Record]]]:
    if workers == 0:
        for i, tasks in chunks.items():
            yield i, _work(plan, tasks)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        max(1, min(workers, len(chunks))), mp_context=context, initializer=_prepare
    ) as pool:
        jobs = {pool.submit(_work, plan, tasks): i for i, tasks in chunks.items()}
        for job in as_completed(jobs):
            yield jobs[job], job.result()


def _path(keep: Path, index: int) -> Path:
    return keep / f"chunk-{index:04d}.json"


def _same_plan(plan: Plan, keep: Path) -> None:
    keep.mkdir(parents=True, exist_ok=True)
    wanted = json.loads(json.dumps(asdict(plan)))
    path = keep / "plan.json"
    if path.exists():
        same_settings(read_json(path), wanted, where=str(keep))
    else:
        write_json(path, wanted)


def _prepare() -> None:
    """One thread a process: small models lose time to more, and cores are shared."""
    import torch
    from transformers.utils import logging

    torch.set_num_threads(1)
    logging.disable_progress_bar()


def _work(plan: Plan, tasks: list[TaskRef]) -> list[Record]:
    proposer, reward_model = _load(plan)
    return run_chunk(
        registry.get(plan.env),
        tasks,
        proposer,
        reward_model,
        plan.methods,
        plan.settings,
    )


def _load(plan: Plan) -> tuple[Any, Any]:
    """Models are loaded once a process."""
    at = (plan.policy, plan.base_url, plan.reward_model, plan.reward_url)
    if at not in _models:
        from langchain_agentrm.chat_models.factory import chat_model
        from langchain_agentrm.engine import as_proposer
        from langchain_agentrm.reward_models.factory import reward_model

        policy = chat_model(plan.policy, base_url=plan.base_url)
        scorer = reward_model(plan.reward_model, base_url=plan.reward_url)
        _models[at] = (as_proposer(policy), scorer)
    return _models[at]  # type: ignore[no-any-return]
