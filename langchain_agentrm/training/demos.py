"""Stage `demos`: what an environment's own expert does."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from pydantic import Field

from langchain_agentrm._files import finished, write_jsonl, write_manifest
from langchain_agentrm.environments.base import Demonstration, EnvironmentFactory, Start
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.training._config import (
    PlayConfig,
    Progress,
    find_factory,
    silent,
)
from langchain_agentrm.training._row_files import (
    BadRow,
    OnBadRow,
    finite,
    take_rows,
    task_of,
)
from langchain_agentrm.types import TaskRef

__all__ = [
    "DEMOS_FILE",
    "DemonstratingFactory",
    "Demonstration",
    "DemosConfig",
    "collect_demos",
    "read_demos",
]

DEMOS_FILE = "demos.jsonl"


@runtime_checkable
class DemonstratingFactory(Protocol):
    """An environment factory that has tasks for an expert, and the expert."""

    def demonstrations(self, types: Sequence[str], n_per_type: int) -> list[TaskRef]:
        """Tasks that belong to no split."""
        ...

    def demonstrate(self, task: TaskRef) -> Demonstration | None:
        """Let the expert act; None where it has no answer."""
        ...


class DemosConfig(PlayConfig):
    """Settings of stage `demos`."""

    types: tuple[str, ...] = Field(
        default=(), description="Task types; empty: the held-in ones."
    )
    n_per_type: int = Field(default=1600, ge=1, description="Tasks of each type.")
    min_score: float = Field(
        default=1.0, description="Demonstrations that scored less are dropped."
    )


def collect_demos(
    config: DemosConfig,
    out: Path,
    *,
    factory: EnvironmentFactory | None = None,
    progress: Progress = silent,
) -> dict[str, object]:
    """Write the expert's episodes as JSON lines.

    Args:
        config: Settings.
        out: Output folder.
        factory: The environment; by default the one registered as `config.env`.
        progress: Told about each task.

    Returns:
        The manifest.

    Raises:
        ConfigurationError: If the environment has no expert, or nothing succeeded.
    """
    done = finished(out, config.plain())
    if done is not None:
        return done
    factory = find_factory(config.env, factory, config.options)
    if not isinstance(factory, DemonstratingFactory):
        msg = f"Environment {config.env!r} has no expert to demonstrate."
        raise ConfigurationError(
            msg, remedy="Give its factory `demonstrations` and `demonstrate`."
        )
    began = time.monotonic()
    types = list(config.types) or factory.types("held_in")
    tasks = factory.demonstrations(types, config.n_per_type)
    rows: list[dict[str, object]] = []
    kept: Counter[str] = Counter()
    for i, task in enumerate(tasks, 1):
        demo = factory.demonstrate(task)
        if demo is not None and demo.score >= config.min_score and demo.steps:
            rows.append(_row(task, demo))
            kept[task["type"]] += 1
        progress(i, len(tasks), kept=len(rows))
    if not rows:
        msg = f"None of {len(tasks)} demonstrations scored {config.min_score}."
        raise ConfigurationError(msg, remedy="Lower min_score or check the expert.")
    write_jsonl(out / DEMOS_FILE, rows)
    return write_manifest(
        out,
        stage="demos",
        config=config.plain(),
        inputs={},
        counts={"tasks": len(tasks), "kept": len(rows), "by_type": dict(kept)},
        seconds=time.monotonic() - began,
        outputs=[DEMOS_FILE],
    )


def read_demos(
    folder: Path, *, on_bad: OnBadRow = "refuse"
) -> list[tuple[TaskRef, Demonstration]]:
    """Read what `collect_demos` wrote.

    Args:
        folder: Folder of the stage.
        on_bad: Whether a malformed row is an error or is left out with a warning.

    Returns:
        Task and demonstration.

    Raises:
        CheckpointError: If the file is absent, or a row is malformed and `on_bad` is
            `"refuse"`; names file and line.
    """
    rows = take_rows(
        folder / DEMOS_FILE,
        demo_of,
        "demonstration",
        on_bad=on_bad,
        remedy="Collect the demonstrations again",
    )
    return [demo for _, demo in rows]


def demo_of(row: Any) -> tuple[TaskRef, Demonstration]:
    """Read one row.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: If it is none.
    """
    texts = [row["observation"], row["goal"], row.get("instruction", "")]
    steps = [(before, action) for before, action in row["steps"]]
    if not all(isinstance(x, str) for x in (*texts, *(y for z in steps for y in z))):
        msg = "a goal, an observation or an action that is no text"
        raise BadRow(msg)
    if not steps:
        msg = "no steps"
        raise BadRow(msg)
    score = finite(row["score"], "score")
    return task_of(row), Demonstration(
        Start(*texts), steps, score, bool(row["success"])
    )


def _row(task: TaskRef, demo: Demonstration) -> dict[str, object]:
    return {
        "task": task,
        "instruction": demo.start.instruction,
        "goal": demo.start.goal,
        "observation": demo.start.observation,
        "steps": [list(step) for step in demo.steps],
        "score": demo.score,
        "success": demo.success,
    }
