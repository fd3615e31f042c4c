"""Evaluation over many tasks: chunks on workers, each kept when it is done."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from langchain_agentrm._files import (
    folder_digest,
    read_json,
    same_settings,
    write_json,
)
from langchain_agentrm.environments import registry
from langchain_agentrm.evaluation.methods import MethodSettings, Record, run_chunk
from langchain_agentrm.training._policy import check_digest, settle
from langchain_agentrm.training.backends import Backend, LocalBackend
from langchain_agentrm.types import TaskRef

__all__ = ["Plan", "evaluate"]

CHUNK = 25
"""Tasks in lockstep: enough for full batches, few enough for a table that moves."""


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
    backend: Backend | None = None,
    keep: Path | None = None,
    on_chunk: Callable[[list[Record]], None] | None = None,
) -> list[Record]:
    """Run a plan.

    Args:
        plan: What to evaluate.
        workers: Processes; 0 or 1 runs in this one.
        backend: Where the chunks are run, such as a Ray cluster; by default `workers`
            processes here. The records do not depend on it, but for their seconds.
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
    setup = functools.partial(_setup, _absolute(plan), _digests(plan) if todo else {})
    results = (backend or LocalBackend(workers)).run(setup, [chunks[i] for i in todo])
    for at, records in results:
        i = todo[at]
        if keep is not None:
            write_json(_path(keep, i), [asdict(r) for r in records])
        done[i] = records
        if on_chunk:
            on_chunk(records)
    return [r for i in range(len(chunks)) for r in done[i]]


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


def _folder(word: str) -> tuple[str, Path]:
    """Split `KIND:FOLDER`, or a folder alone, into its beginning and the folder."""
    kind, colon, rest = word.partition(":")
    return (f"{kind}:", Path(rest)) if colon and rest else ("", Path(word))


def _absolute(plan: Plan) -> Plan:
    """Name folders so that a worker that runs in another folder finds them."""

    def moved(word: str) -> str:
        kind, folder = _folder(word)
        return f"{kind}{folder.resolve()}" if folder.is_dir() else word

    return replace(
        plan, policy=moved(plan.policy), reward_model=moved(plan.reward_model)
    )


def _digests(plan: Plan) -> dict[Path, str]:
    """What the folders hold here, where the run is begun."""
    folders = {_folder(word)[1].resolve() for word in (plan.policy, plan.reward_model)}
    return {f: folder_digest(f) for f in folders if f.is_dir()}


def _setup(
    plan: Plan, digests: Mapping[Path, str]
) -> Callable[[list[TaskRef]], list[Record]]:
    for folder, digest in digests.items():
        check_digest(folder, digest)
    proposer, reward_model = _load(plan)

    def work(tasks: list[TaskRef]) -> list[Record]:
        return run_chunk(
            registry.get(plan.env),
            tasks,
            proposer,
            reward_model,
            plan.methods,
            plan.settings,
        )

    return work


def _load(plan: Plan) -> tuple[Any, Any]:
    from langchain_agentrm.chat_models.factory import chat_model
    from langchain_agentrm.engine import as_proposer
    from langchain_agentrm.reward_models.factory import reward_model

    settle()
    policy = chat_model(plan.policy, base_url=plan.base_url)
    scorer = reward_model(plan.reward_model, base_url=plan.reward_url)
    return as_proposer(policy), scorer
