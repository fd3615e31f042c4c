"""Stage `samples`: what the reward model learns from, read out of the tree store."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from langchain_agentrm._files import (
    file_digest,
    finished,
    read_jsonl,
    write_jsonl,
    write_manifest,
)
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.training._config import StageConfig, unit
from langchain_agentrm.training.store import StoredNode, StoredTree, TreeStore
from langchain_agentrm.training.trees import STORE_FILE
from langchain_agentrm.types import TaskRef

__all__ = [
    "LabelledPath",
    "SamplesConfig",
    "TaskSamples",
    "extract_samples",
    "leaf_paths",
    "read_samples",
]


class SamplesConfig(StageConfig):
    """Settings of stage `samples`."""

    min_visits: int = Field(
        default=1, ge=1, description="Visits a label needs, unless the episode ended."
    )
    val_share: float = Field(
        default=1 / 12, gt=0, lt=1, description="Share of tasks kept for validation."
    )
    max_paths: int = Field(default=16, ge=1, description="Distinct paths of one task.")


@dataclass(frozen=True, slots=True)
class LabelledPath:
    """One episode with the value of each of its prefixes.

    Attributes:
        steps: Action, and the observation after it.
        labels: Value and visits of the prefix that ends with each action; None where an
            earlier path of the task has the prefix, or it has too few visits.
        score: The episode's score.
        count: How many equal episodes it stands for.
    """

    steps: Sequence[tuple[str, str]]
    labels: Sequence[tuple[float, int] | None]
    score: float
    count: int = 1


@dataclass(frozen=True, slots=True)
class TaskSamples:
    """All labelled paths of one task."""

    task: TaskRef
    goal: str
    observation: str
    paths: Sequence[LabelledPath]

    def plain(self) -> dict[str, Any]:
        """Write as plain JSON."""
        return {
            "task": self.task,
            "goal": self.goal,
            "observation": self.observation,
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


def leaf_paths(nodes: Sequence[StoredNode]) -> Iterator[list[StoredNode]]:
    """Unfold a tree into its visited paths from below the root to a leaf.

    Invalid answers are left out: a reward model is never asked about one.

    Yields:
        The nodes of one path.
    """
    inner = {x.parent for x in nodes if x.n and not x.invalid}
    for leaf in nodes:
        if not leaf.n or leaf.invalid or leaf.parent is None or leaf.node_id in inner:
            continue
        path = [leaf]
        while (above := path[-1].parent) is not None and above != 0:
            path.append(nodes[above])
        yield path[::-1]


def label_tree(tree: StoredTree, config: SamplesConfig) -> TaskSamples:
    """Label every distinct prefix of a tree once, with its mean return.

    The first label of a prefix is its only one: siblings would otherwise weigh by how
    many paths go on below them.
    """
    seen: set[int] = set()
    paths: list[LabelledPath] = []
    for path in leaf_paths(tree.nodes):
        if len(paths) >= config.max_paths:
            break
        labels: list[tuple[float, int] | None] = []
        for node in path:
            fresh = node.node_id not in seen
            seen.add(node.node_id)
            enough = node.n >= config.min_visits or node.done
            value = round(node.w / node.n, 4)
            labels.append((value, node.n) if fresh and enough else None)
        steps = [(node.action, node.observation or "") for node in path]
        paths.append(LabelledPath(steps, labels, path[-1].reward, path[-1].n))
    return TaskSamples(tree.task, tree.goal, tree.observation, paths)


def extract_samples(config: SamplesConfig, trees: Path, out: Path) -> dict[str, object]:
    """Write `train.jsonl` and `val.jsonl`, split by task.

    Args:
        config: Settings.
        trees: Folder of stage `trees`.
        out: Output folder.

    Returns:
        The manifest.

    Raises:
        ConfigurationError: If the trees give no label at all.
    """
    source = file_digest(trees / "manifest.json")
    settings = {**config.plain(), "trees": source}
    done = finished(out, settings)
    if done is not None:
        return done
    began = time.monotonic()
    rows: dict[str, list[dict[str, Any]]] = {"train": [], "val": []}
    counts: dict[str, Any] = {"labels": 0, "paths": 0, "mean": 0.0}
    with TreeStore(trees / STORE_FILE) as store:
        for tree in store.trees():
            samples = label_tree(tree, config)
            if not samples.paths:
                continue
            # By the task's id, so that the same task lies on one side in every run.
            side = "val" if unit("val", tree.task["id"]) < config.val_share else "train"
            rows[side].append(samples.plain())
            counts["paths"] += len(samples.paths)
            for path in samples.paths:
                given = [label[0] for label in path.labels if label]
                counts["labels"] += len(given)
                counts["mean"] += sum(given)
    if not counts["labels"] or not all(rows.values()):
        msg = (
            f"The trees give {counts['labels']} labels over {len(rows['train'])} "
            f"training and {len(rows['val'])} validation tasks."
        )
        raise ConfigurationError(
            msg, remedy="Build more trees, or lower min_visits or val_share."
        )
    for side, lines in rows.items():
        counts[f"{side}_tasks"] = write_jsonl(out / f"{side}.jsonl", lines)
    counts["mean"] = round(counts["mean"] / counts["labels"], 4)
    return write_manifest(
        out,
        stage="samples",
        config=settings,
        inputs={"trees": source},
        counts=counts,
        seconds=time.monotonic() - began,
        outputs=["train.jsonl", "val.jsonl"],
    )


def read_samples(path: Path) -> list[TaskSamples]:
    """Read tasks with labelled paths, as `extract_samples` and `build_pool` write."""
    out = []
    for row in read_jsonl(path):
        paths = [
            LabelledPath(
                [(action, after) for action, after in p["steps"]],
                [None if x is None else (x[0], x[1]) for x in p["labels"]],
                p["score"],
                p["count"],
            )
            for p in row["paths"]
        ]
        out.append(TaskSamples(row["task"], row["goal"], row["observation"], paths))
    return out
