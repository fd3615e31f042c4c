"""Stage `rollouts`: a policy's whole episodes, which an implicit reward learns from."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from langchain_agentrm._files import (
    file_digest,
    finished,
    write_jsonl,
    write_manifest,
)
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.training._config import StageConfig, derive
from langchain_agentrm.training._row_files import (
    BadRow,
    OnBadRow,
    finite,
    take_rows,
    task_of,
)
from langchain_agentrm.training.samples import leaf_paths
from langchain_agentrm.training.store import StoredNode, StoredTree, TreeStore
from langchain_agentrm.training.trees import STORE_FILE
from langchain_agentrm.trajectory import SERIALIZER, Trajectory, Turn
from langchain_agentrm.types import TaskRef

__all__ = [
    "ROLLOUTS_FILE",
    "Rollout",
    "RolloutsConfig",
    "extract_rollouts",
    "read_rollouts",
]

ROLLOUTS_FILE = "rollouts.jsonl"


class RolloutsConfig(StageConfig):
    """Settings of stage `rollouts`."""

    per_task: int = Field(default=16, ge=1, description="Episodes of a task (paper).")


@dataclass(frozen=True, slots=True)
class Rollout:
    """A finished episode.

    Attributes:
        task: The task.
        goal: Its goal.
        observation: What it showed first.
        steps: Action, and the observation after it.
        score: The episode's score, 0..1.
        progress: Score so far after every step; None where the environment scores an
            episode at its end only.
        count: How many equal episodes it stands for.
        instruction: Role and rules, where the environment has a text for them.
    """

    task: TaskRef
    goal: str
    observation: str
    steps: Sequence[tuple[str, str]]
    score: float
    progress: Sequence[float] | None = None
    count: int = 1
    instruction: str = ""

    @property
    def trajectory(self) -> Trajectory:
        """The episode up to its last action, as a search would have it scored."""
        seen = [self.observation, *(after for _, after in self.steps)]
        turns = tuple(
            Turn(before, action)
            for before, (action, _) in zip(seen, self.steps, strict=False)
        )
        return Trajectory(
            turns, goal=self.goal, instruction=self.instruction, task=self.task
        )

    def plain(self) -> dict[str, Any]:
        """Write as plain JSON."""
        return {
            "task": self.task,
            "goal": self.goal,
            "observation": self.observation,
            "steps": [list(step) for step in self.steps],
            "score": self.score,
            "progress": None if self.progress is None else list(self.progress),
            "count": self.count,
            "instruction": self.instruction,
            "serializer": SERIALIZER,
        }


def extract_rollouts(config: RolloutsConfig, trees: Path, out: Path) -> dict[str, Any]:
    """Write `rollouts.jsonl` from the finished episodes of a tree store.

    A tree that is tainted gives none. Where no state of the store scores anything
    before its episode ends, the environment reports no progress, and the final score
    stands alone.

    Args:
        config: Settings.
        trees: Folder of stage `trees`.
        out: Output folder.

    Returns:
        The manifest.

    Raises:
        ConfigurationError: If no episode finished.
    """
    settings = {**config.plain(), "trees": file_digest(trees / "manifest.json")}
    done = finished(out, settings)
    if done is not None:
        return done
    began = time.monotonic()
    rows: list[Rollout] = []
    reports = False
    with TreeStore(trees / STORE_FILE) as store:
        for tree in store.trees():
            if tree.status == "tainted":
                continue
            reports = reports or any(x.reward and not x.done for x in tree.nodes)
            rows += _drawn(tree, config)
    if not rows:
        msg = f"No episode of {trees} came to its end."
        raise ConfigurationError(msg, remedy="Build more trees, or check the policy.")
    plain = [row.plain() for row in rows]
    if not reports:
        for row in plain:
            row["progress"] = None
    write_jsonl(out / ROLLOUTS_FILE, plain)
    episodes = sum(row.count for row in rows)
    return write_manifest(
        out,
        stage="rollouts",
        config=settings,
        inputs={"trees": settings["trees"]},
        counts={
            "tasks": len({row.task["id"] for row in rows}),
            "episodes": episodes,
            "distinct": len(rows),
            "mean": round(sum(row.score * row.count for row in rows) / episodes, 4),
            "progress": reports,
        },
        seconds=time.monotonic() - began,
        outputs=[ROLLOUTS_FILE],
    )


def _drawn(tree: StoredTree, config: RolloutsConfig) -> list[Rollout]:
    paths: list[list[StoredNode]] = [p for p in leaf_paths(tree.nodes) if p[-1].done]
    episodes = [
        (derive(config.seed, tree.task["id"], i, k), i)
        for i, path in enumerate(paths)
        for k in range(path[-1].n)
    ]
    kept = Counter(i for _, i in sorted(episodes)[: config.per_task])
    return [
        Rollout(
            tree.task,
            tree.goal,
            tree.observation,
            [(node.action, node.observation or "") for node in paths[i]],
            paths[i][-1].reward,
            [node.reward for node in paths[i]],
            count,
            tree.instruction,
        )
        for i, count in sorted(kept.items())
    ]


def read_rollouts(path: Path, *, on_bad: OnBadRow = "refuse") -> list[Rollout]:
    """Read what `extract_rollouts` wrote, or rows of the same form.

    Args:
        path: The file.
        on_bad: Whether a malformed row is an error or is left out with a warning.

    Returns:
        The episodes.

    Raises:
        CheckpointError: If the file is absent, a row is malformed and `on_bad` is
            `"refuse"`, or a row was made with another serializer; names file and line.
    """
    rows = take_rows(
        path, _read, "rollout", on_bad=on_bad, remedy="Extract the rollouts again"
    )
    return [rollout for _, rollout in rows]


def _read(row: Any) -> Rollout:
    progress = row.get("progress")
    rollout = Rollout(
        task_of(row),
        str(row["goal"]),
        str(row["observation"]),
        [(str(action), str(after)) for action, after in row["steps"]],
        finite(row["score"], "score"),
        None if progress is None else [finite(x, "progress") for x in progress],
        int(row.get("count", 1)),
        str(row.get("instruction", "")),
    )
    known = rollout.progress is None or len(rollout.progress) == len(rollout.steps)
    if not rollout.steps or not known or rollout.count < 1:
        msg = (
            f"{len(rollout.steps)} steps, {len(rollout.progress or [])} values of "
            f"progress and the count {rollout.count}"
        )
        raise BadRow(msg)
    return rollout
