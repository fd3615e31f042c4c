"""Training data of the studies: joined demonstrations, subsets, parts of a state."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from langchain_agentrm._files import (
    MANIFEST,
    file_digest,
    finished,
    read_jsonl,
    write_jsonl,
    write_manifest,
)
from langchain_agentrm.environments import registry
from langchain_agentrm.environments.base import Demonstration
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.evaluation._block import Installed
from langchain_agentrm.evaluation.suite_config import RewardModelChoice
from langchain_agentrm.reward_models.base import Comparable, RewardModel
from langchain_agentrm.training._config import derive
from langchain_agentrm.training.demos import DEMOS_FILE, DemonstratingFactory
from langchain_agentrm.training.pool import POOL_FILE
from langchain_agentrm.training.samples import TaskSamples, read_samples
from langchain_agentrm.trajectory import Trajectory
from langchain_agentrm.types import Batch, Score, TaskRef

__all__ = [
    "KeptModel",
    "StudyParts",
    "demonstrating",
    "join_demos",
    "keep_part",
    "subset",
]

BLANK = "-"
"""Stands for what a reward model is not shown; a turn keeps its place so."""


@dataclass(frozen=True, slots=True)
class _TrainTasks:
    """Demonstrates train tasks, where an environment has no others for its expert.

    ScienceWorld's splits are the official ones, and leave no variation over.
    """

    factory: Any

    def demonstrations(self, types: Sequence[str], n_per_type: int) -> list[TaskRef]:
        """Tasks of the train split."""
        some: list[TaskRef] = []
        for type_ in types:
            some += self.factory.tasks("train", [type_], n_per_type)
        return some

    def demonstrate(self, task: TaskRef) -> Demonstration | None:
        """Let the expert act."""
        shown: Demonstration | None = self.factory.demonstrate(task)
        return shown

    def __getattr__(self, name: str) -> Any:
        """Everything else is the environment's own."""
        return getattr(self.factory, name)


def demonstrating(env: str) -> Any:
    """Find an environment whose expert can be asked for demonstrations."""
    factory = registry.get(env)
    if isinstance(factory, DemonstratingFactory) or not hasattr(factory, "demonstrate"):
        return factory
    return _TrainTasks(factory)


def join_demos(folders: Sequence[Path], out: Path) -> dict[str, Any]:
    """Put the demonstrations of several environments into one file."""
    inputs = {
        folder.parent.name: file_digest(folder / DEMOS_FILE) for folder in folders
    }
    return _made(
        out,
        "joined-demos",
        {},
        inputs,
        lambda: {
            DEMOS_FILE: [row for f in folders for row in read_jsonl(f / DEMOS_FILE)]
        },
    )


def subset(samples: Path, size: int, seed: int, out: Path) -> dict[str, Any]:
    """Keep so many labelled states of the training tasks; validation stays whole.

    Subsets of one seed are nested: tasks come in an order that the seed alone decides,
    and the last one gives only its first labels.

    Raises:
        ConfigurationError: If there are fewer.
    """

    def make() -> dict[str, list[Any]]:
        tasks = read_samples(samples / "train.jsonl")
        tasks.sort(key=lambda t: derive("subset", seed, t.task["env"], t.task["id"]))
        rows, left = [], size
        for task in tasks:
            if left:
                kept, used = _first(task, left)
                rows.append(kept.plain())
                left -= used
        if left:
            msg = f"{samples} has {size - left} labelled states; {size} are asked for."
            raise ConfigurationError(
                msg, remedy="Build more trees, or give smaller sizes."
            )
        return {"train.jsonl": rows, "val.jsonl": [*read_jsonl(samples / "val.jsonl")]}

    inputs = {"samples": file_digest(samples / MANIFEST)}
    return _made(out, "subset", {"size": size, "seed": seed}, inputs, make)


def _first(task: TaskSamples, most: int) -> tuple[TaskSamples, int]:
    paths, used = [], 0
    for path in task.paths:
        labels: list[tuple[float, int] | None] = []
        for label in path.labels:
            fits = label is not None and used < most
            used += fits
            labels.append(label if fits else None)
        paths.append(replace(path, labels=labels))
    return replace(task, paths=paths), used


def keep_part(keep: str, samples: Path, pool: Path, out: Path) -> dict[str, Any]:
    """Blank the actions or the observations of samples and pool; the goal stays."""

    def make() -> dict[str, list[Any]]:
        files = {
            "train.jsonl": samples / "train.jsonl",
            "val.jsonl": samples / "val.jsonl",
            POOL_FILE: pool / POOL_FILE,
        }
        return {
            name: [_kept(task, keep).plain() for task in read_samples(path)]
            for name, path in files.items()
        }

    inputs = {
        "samples": file_digest(samples / MANIFEST),
        "pool": file_digest(pool / MANIFEST),
    }
    return _made(out, "kept-part", {"keep": keep}, inputs, make)


def _kept(task: TaskSamples, keep: str) -> TaskSamples:
    paths = [
        replace(
            path,
            steps=[_shown(keep, after, action)[::-1] for action, after in path.steps],
        )
        for path in task.paths
    ]
    first, _ = _shown(keep, task.observation, "")
    return replace(task, observation=first, paths=paths)


def _shown(keep: str, observation: str, action: str) -> tuple[str, str]:
    return (
        BLANK if keep == "action" else observation,
        BLANK if keep == "observation" else action,
    )


@dataclass(frozen=True, slots=True)
class KeptModel:
    """A reward model that is shown what it was trained on, and no more."""

    model: RewardModel
    keep: str

    @property
    def resolution(self) -> float:
        """That of the model."""
        return self.model.resolution

    @property
    def comparable(self) -> Comparable:
        """That of the model."""
        return self.model.comparable

    def score(self, trajectories: Sequence[Trajectory]) -> Batch[Score]:
        """Score what is left of the trajectories."""
        return self.model.score([self.reduced(t) for t in trajectories])

    async def ascore(self, trajectories: Sequence[Trajectory]) -> Batch[Score]:
        """Async twin of `score`."""
        return await self.model.ascore([self.reduced(t) for t in trajectories])

    def reduced(self, trajectory: Trajectory) -> Trajectory:
        """Blank a trajectory as `keep_part` blanks samples."""
        turns = []
        for turn in trajectory.turns:
            seen, action = _shown(self.keep, turn.observation, turn.action)
            turns.append(replace(turn, observation=seen, action=action))
        return replace(trajectory, turns=tuple(turns))


class StudyParts(Installed):
    """What is installed; a suite's settings say more of a reward model here.

    One with `keep` is shown that part alone; one of kind `implicit` is an adapter.
    """

    def reward_model(self, choice: RewardModelChoice) -> RewardModel:
        """Load a reward model, once a process."""
        if choice.kind == "implicit":
            return _implicit(choice.model)
        model = super().reward_model(choice)
        whole = choice.keep in {"", "all"}
        return model if whole else KeptModel(model, choice.keep)


@functools.lru_cache(maxsize=4)
def _implicit(folder: str) -> RewardModel:
    from langchain_agentrm.reward_models.implicit import ImplicitRewardModel

    return ImplicitRewardModel(folder)


def _made(
    out: Path,
    stage: str,
    config: Mapping[str, Any],
    inputs: Mapping[str, str],
    make: Callable[[], Mapping[str, Iterable[object]]],
) -> dict[str, Any]:
    settings = {**config, "inputs": dict(inputs)}
    done = finished(out, settings)
    if done is not None:
        return done
    began = time.monotonic()
    counts = {name: write_jsonl(out / name, rows) for name, rows in make().items()}
    return write_manifest(
        out,
        stage=stage,
        config=settings,
        inputs=inputs,
        counts=counts,
        seconds=time.monotonic() - began,
        outputs=[*counts],
    )
