"""Training data of the studies: joined demonstrations, and subsets of samples."""

from __future__ import annotations

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
from langchain_agentrm.training._config import derive
from langchain_agentrm.training.demos import DEMOS_FILE, DemonstratingFactory
from langchain_agentrm.training.samples import TaskSamples, read_samples
from langchain_agentrm.types import TaskRef

__all__ = ["demonstrating", "join_demos", "subset"]


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
        f"{folder.parent.name}/{folder.name}": file_digest(folder / DEMOS_FILE)
        for folder in folders
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
