"""Stage `samples`: what the reward model learns from, read out of the tree store."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from langchain_agentrm._files import (
    file_digest,
    finished,
    write_jsonl,
    write_manifest,
)
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.training._config import StageConfig, unit
from langchain_agentrm.training._sample_rows import (
    LabelledPath,
    TaskSamples,
    read_samples,
    state_rows,
)
from langchain_agentrm.training._sample_rules import (
    Label,
    balanced,
    capped,
    check_apart,
    labels_of,
    pooled,
    quota,
    shared_texts,
)
from langchain_agentrm.training.store import StoredNode, StoredTree, TreeStore
from langchain_agentrm.training.trees import STORE_FILE
from langchain_agentrm.trajectory import SERIALIZER
from langchain_agentrm.types import TaskRef

__all__ = [
    "LabelledPath",
    "SamplesConfig",
    "TaskSamples",
    "check_splits",
    "extract_samples",
    "leaf_paths",
    "read_samples",
    "state_rows",
]


_OPTIONS: dict[str, Any] = {
    "held_out_types": [],
    "max_labels": None,
    "env_quota": None,
    "balance": None,
    "bins": 10,
    "shared_texts": "count",
}


class SamplesConfig(StageConfig):
    """Settings of stage `samples`."""

    min_visits: int = Field(
        default=1, ge=1, description="Visits a label needs, unless the episode ended."
    )
    val_share: float = Field(
        default=1 / 12, gt=0, lt=1, description="Share of tasks kept for validation."
    )
    max_paths: int = Field(default=16, ge=1, description="Distinct paths of one task.")
    held_out_types: tuple[str, ...] = Field(
        default=(), description="Task types that go to held_out.jsonl alone."
    )
    max_labels: int | None = Field(
        default=None, ge=1, description="Most labels of one task."
    )
    env_quota: int | None = Field(
        default=None, ge=1, description="Most training labels of one environment."
    )
    balance: float | None = Field(
        default=None,
        ge=1,
        description="Most that a bin of values may hold, in median bins; train only.",
    )
    bins: int = Field(default=10, ge=2, description="Bins of `balance` over 0..1.")
    shared_texts: Literal["count", "drop", "refuse"] = Field(
        default="count",
        description="What becomes of training labels whose text another side holds.",
    )

    def plain(self) -> dict[str, Any]:
        """Settings as plain JSON; a later option only where it is used.

        So what was made before there was such an option still counts as made.
        """
        out = super().plain()
        for name, unused in _OPTIONS.items():
            if out[name] == unused:
                del out[name]
        return out


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
        end = path[-1]
        score = end.reward if end.done else round(end.w / end.n, 4)
        paths.append(LabelledPath(steps, labels, score, end.n))
    return TaskSamples(tree.task, tree.goal, tree.observation, paths, tree.instruction)


def extract_samples(
    config: SamplesConfig, trees: Path | Sequence[Path], out: Path
) -> dict[str, object]:
    """Write `train.jsonl` and `val.jsonl`, split by task, and `held_out.jsonl`.

    A tree that is tainted gives nothing. Where a task, or a text of it, comes more than
    once, its labels are pooled by visits. A label's value is W/N in the environment's
    own scale. Source: AgentRM, section 3.2 (visit filter); the split is by task and not
    by state, because siblings on both sides would give the answer away.

    Args:
        config: Settings.
        trees: Folder of stage `trees`, or several that are pooled.
        out: Output folder.

    Returns:
        The manifest.

    Raises:
        ConfigurationError: If the trees give no label at all, or two sides share a task
            or, with `shared_texts="refuse"`, a text.
    """
    folders = [trees] if isinstance(trees, Path) else list(trees)
    digests = [file_digest(folder / "manifest.json") for folder in folders]
    source = "+".join(digests)
    settings = {**config.plain(), "trees": source}
    done = finished(out, settings)
    if done is not None:
        return done
    began = time.monotonic()
    counts: dict[str, Any] = {"labels": 0, "paths": 0, "mean": 0.0}
    tasks = _gather(config, folders, counts)
    sides: dict[str, list[TaskSamples]] = {"train": [], "val": []}
    if config.held_out_types:
        sides["held_out"] = []
    for samples in tasks:
        sides[_side(config, samples.task)].append(samples)
    chosen = _choose(config, sides, counts)
    rows = {
        side: [_keep(samples, chosen[side]) for samples in some]
        for side, some in sides.items()
    }
    for some in rows.values():
        for samples in (x for x in some if x is not None):
            counts["paths"] += len(samples.paths)
            given = [x[0] for path in samples.paths for x in path.labels if x]
            counts["labels"] += len(given)
            counts["mean"] += sum(given)
    lines = {
        side: [samples.plain() for samples in some if samples is not None]
        for side, some in rows.items()
    }
    if not counts["labels"] or not all(lines.values()):
        held = "".join(
            f" and {len(lines[side])} held-out" for side in lines if side == "held_out"
        )
        msg = (
            f"The trees give {counts['labels']} labels over {len(lines['train'])} "
            f"training and {len(lines['val'])} validation{held} tasks."
        )
        raise ConfigurationError(
            msg, remedy="Build more trees, or lower min_visits or val_share."
        )
    for side, written in lines.items():
        counts[f"{side}_tasks"] = write_jsonl(out / f"{side}.jsonl", written)
    counts["mean"] = round(counts["mean"] / counts["labels"], 4)
    return write_manifest(
        out,
        stage="samples",
        config=settings,
        inputs={"trees": source, "serializer": SERIALIZER},
        counts=counts,
        seconds=time.monotonic() - began,
        outputs=[f"{side}.jsonl" for side in lines],
    )


def _gather(
    config: SamplesConfig, folders: Sequence[Path], counts: dict[str, Any]
) -> list[TaskSamples]:
    """Read all trees; those of one task become one."""
    tasks: dict[tuple[str, str], TaskSamples] = {}
    options: dict[tuple[str, str], Mapping[str, str]] = {}
    for folder in folders:
        with TreeStore(folder / STORE_FILE) as store:
            given = store.config.get("options", {})
            for tree in store.trees():
                if tree.status == "tainted":
                    counts["tainted"] = counts.get("tainted", 0) + 1
                    continue
                samples = label_tree(tree, config)
                if not samples.paths:
                    continue
                name = tree.task["env"], tree.task["id"]
                if options.setdefault(name, given) != given:
                    raise _other_options(folder, name[1], options[name], given)
                known = tasks.get(name)
                if known is not None:
                    samples = _joined(known, samples)
                tasks[name] = samples
    return list(tasks.values())


def _other_options(
    folder: Path, task: str, one: Mapping[str, str], other: Mapping[str, str]
) -> ConfigurationError:
    msg = (
        f"Task {task!r} was played with the options {dict(one)} of its environment, in "
        f"{folder} with {dict(other)}."
    )
    return ConfigurationError(msg, remedy="Take the samples of each store apart.")


def _joined(one: TaskSamples, other: TaskSamples) -> TaskSamples:
    if (one.goal, one.observation) != (other.goal, other.observation):
        msg = f"Task {one.task['id']!r} starts differently in two of the tree stores."
        raise ConfigurationError(
            msg, remedy="Its environment changed between them: use one of the two."
        )
    return replace(one, paths=[*one.paths, *other.paths])


def _side(config: SamplesConfig, task: TaskRef) -> str:
    if task["type"] in config.held_out_types:
        return "held_out"
    # By the task's id, so that the same task lies on one side in every run.
    return "val" if unit("val", task["id"]) < config.val_share else "train"


def _choose(
    config: SamplesConfig,
    sides: Mapping[str, Sequence[TaskSamples]],
    counts: dict[str, Any],
) -> dict[str, dict[tuple[str, str], list[Label]]]:
    """Apply the rules; give what is kept by side and task."""
    labels = {
        side: [x for samples in some for x in pooled(labels_of(samples))]
        for side, some in sides.items()
    }
    for side, shared in shared_texts(labels).items():
        if shared:
            counts[f"shared_with_{side}"] = len(shared)
        if config.shared_texts == "drop":
            known = set(shared)
            labels["train"] = [x for x in labels["train"] if x not in known]
    check_apart(labels, texts=config.shared_texts == "refuse")
    if config.max_labels is not None:
        labels = {k: capped(some, config.max_labels) for k, some in labels.items()}
    if config.env_quota is not None:
        labels["train"] = quota(labels["train"], config.env_quota, config.seed)
    if config.balance is not None:
        labels["train"] = balanced(
            labels["train"], config.balance, config.bins, config.seed
        )
    out: dict[str, dict[tuple[str, str], list[Label]]] = {}
    for side, some in labels.items():
        table = out[side] = {}
        for label in some:
            table.setdefault((label.env, label.task), []).append(label)
    return out


def _keep(
    samples: TaskSamples, chosen: Mapping[tuple[str, str], Sequence[Label]]
) -> TaskSamples | None:
    """Leave only the labels that were chosen; None if the rules took the last one."""
    kept = chosen.get((samples.task["env"], samples.task["id"]), ())
    had = any(label for path in samples.paths for label in path.labels)
    if had and not kept:
        return None
    values = {(x.path, x.step): (x.value, x.n) for x in kept}
    paths = [
        replace(path, labels=[values.get((number, i)) for i in range(len(path.labels))])
        for number, path in enumerate(samples.paths)
    ]
    return replace(samples, paths=paths)


def check_splits(sides: Mapping[str, Sequence[TaskSamples]]) -> None:
    """Refuse sides that share a task or a text, as read from files of any origin.

    Args:
        sides: Samples by side, such as `train`, `val` and `held_out`.

    Raises:
        ConfigurationError: If they share one; names examples.
    """
    check_apart({k: [x for s in v for x in labels_of(s)] for k, v in sides.items()})
