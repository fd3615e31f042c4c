"""Labelled paths as plain data, and their files."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_agentrm.search.ids import node_id
from langchain_agentrm.training._row_files import (
    BadRow,
    OnBadRow,
    finite,
    take_rows,
    task_of,
)
from langchain_agentrm.trajectory import SERIALIZER, Trajectory, Turn, render
from langchain_agentrm.types import TaskRef

__all__ = ["LabelledPath", "TaskSamples", "read_samples", "state_rows"]


@dataclass(frozen=True, slots=True)
class LabelledPath:
    """One episode with the value of each of its prefixes.

    Attributes:
        steps: Action, and the observation after it.
        labels: Value and visits of the prefix that ends with each action; None where an
            earlier path of the task has the prefix, or it has too few visits.
        score: The episode's score; where the path ends before its episode, the value of
            its end.
        count: How many equal episodes it stands for.
    """

    steps: Sequence[tuple[str, str]]
    labels: Sequence[tuple[float, int] | None]
    score: float
    count: int = 1


@dataclass(frozen=True, slots=True)
class TaskSamples:
    """All labelled paths of one task.

    Attributes:
        task: The task.
        goal: Its goal.
        observation: What it showed first.
        paths: The paths.
        instruction: Role and rules, where the environment has a text for them; a search
            shows them to a reward model too.
    """

    task: TaskRef
    goal: str
    observation: str
    paths: Sequence[LabelledPath]
    instruction: str = ""

    def plain(self) -> dict[str, Any]:
        """Write as plain JSON."""
        return {
            "serializer": SERIALIZER,
            "task": self.task,
            "goal": self.goal,
            "observation": self.observation,
            **({"instruction": self.instruction} if self.instruction else {}),
            "paths": [
                {
                    "steps": [list(step) for step in path.steps],
                    "labels": [None if x is None else list(x) for x in path.labels],
                    "score": path.score,
                    "count": path.count,
                }
                for path in self.paths
            ],
        }


def read_samples(path: Path, *, on_bad: OnBadRow = "refuse") -> list[TaskSamples]:
    """Read tasks with labelled paths, as `extract_samples` and `build_pool` write.

    Args:
        path: The file.
        on_bad: Whether a malformed row is an error or is left out with a warning.

    Returns:
        The tasks.

    Raises:
        CheckpointError: If the file is absent, a row is malformed and `on_bad` is
            `"refuse"`, or a row was rendered by another serializer; names file and
            line.
    """
    rows = take_rows(
        path, _read, "samples", on_bad=on_bad, remedy="Extract the samples again"
    )
    return [samples for _, samples in rows]


def _read(row: Any) -> TaskSamples:
    paths = []
    for p in row["paths"]:
        steps = [(str(action), str(after)) for action, after in p["steps"]]
        labels = [None if x is None else (float(x[0]), int(x[1])) for x in p["labels"]]
        if len(steps) != len(labels):
            msg = f"{len(steps)} steps with {len(labels)} labels"
            raise BadRow(msg)
        if not all(x is None or math.isfinite(x[0]) for x in labels):
            msg = "a label that is no finite number"
            raise BadRow(msg)
        score = finite(p["score"], "score")
        paths.append(LabelledPath(steps, labels, score, int(p["count"])))
    return TaskSamples(
        task_of(row),
        str(row["goal"]),
        str(row["observation"]),
        paths,
        str(row.get("instruction", "")),
    )


def state_rows(
    samples: TaskSamples, split: str, *, instruction: str = ""
) -> Iterator[dict[str, Any]]:
    """Write a task's labels one a row, as `datasets` loads them.

    Args:
        samples: The task.
        split: Name of the split.
        instruction: Role and rules, where the environment has a text for them.

    Yields:
        Rows of `sample_id`, `task`, `task_id`, `split`, `messages`, `value`, `n`,
        `depth`, `parent_id` (siblings share it) and `serializer`.
    """
    for number, path in enumerate(samples.paths):
        seen = [samples.observation, *(after for _, after in path.steps)]
        turns = tuple(
            Turn(before, action)
            for before, (action, _) in zip(seen, path.steps, strict=False)
        )
        parent = samples.task["id"]
        for i, label in enumerate(path.labels):
            if label is not None:
                said = instruction or samples.instruction
                state = Trajectory(turns[: i + 1], samples.goal, said)
                yield {
                    "sample_id": f"{samples.task['id']}#{number}.{i}",
                    "task": samples.task,
                    "task_id": samples.task["id"],
                    "split": split,
                    "messages": render(state),
                    "value": label[0],
                    "n": label[1],
                    "depth": i + 1,
                    "parent_id": parent,
                    "serializer": SERIALIZER,
                }
            parent = node_id(parent, json.dumps(path.steps[i]))
