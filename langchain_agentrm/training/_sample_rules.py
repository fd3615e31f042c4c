"""Rules over labels: one per text, at most so many per task, bin and environment.

A rule takes labels away and never changes one, but for `pooled`, which makes one label
of several that stand on the same text.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.training._config import unit
from langchain_agentrm.training._sample_rows import LabelledPath, TaskSamples

__all__ = [
    "Label",
    "balanced",
    "capped",
    "check_apart",
    "check_tasks_apart",
    "labels_of",
    "pooled",
    "quota",
    "shared_texts",
]

_SHOWN = 3
_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Label:
    """One label and where it stands.

    Attributes:
        task: The task's id.
        env: Its environment.
        path: Number of the path.
        step: Number of the action that the labelled text ends with.
        value: Mean return.
        n: Visits.
        text: Digest of what a reward model reads there.
    """

    task: str
    env: str
    path: int
    step: int
    value: float
    n: int
    text: str


def labels_of(samples: TaskSamples) -> list[Label]:
    """List a task's labels, each with the digest of its text."""
    out: list[Label] = []
    for number, path in enumerate(samples.paths):
        texts = _texts(samples, path)
        for step, (label, text) in enumerate(zip(path.labels, texts, strict=True)):
            if label is not None:
                where = samples.task["id"], samples.task["env"], number, step
                out.append(Label(*where, *label, text))
    return out


def _texts(samples: TaskSamples, path: LabelledPath) -> list[str]:
    # What is rendered is a function of exactly these parts in this order.
    total = hashlib.blake2b(digest_size=12)

    def add(part: str) -> None:
        data = part.encode("utf-8", "surrogatepass")
        total.update(len(data).to_bytes(4, "big") + data)

    out = []
    add(samples.instruction)
    add(samples.goal)
    add(samples.observation)
    for action, after in path.steps:
        add(action)
        out.append(total.hexdigest())
        add(after)
    return out


def pooled(labels: Iterable[Label]) -> list[Label]:
    """Make one label of those of a task that stand on one text: the mean by visits.

    It stands where the first of them stood.
    """
    groups: dict[str, list[Label]] = defaultdict(list)
    for label in labels:
        groups[label.text].append(label)
    out = []
    for same in groups.values():
        first = same[0]
        if len(same) > 1:
            n = sum(x.n for x in same)
            value = round(sum(x.value * x.n for x in same) / n, _DIGITS)
            where = first.task, first.env, first.path, first.step
            first = Label(*where, value, n, first.text)
        out.append(first)
    return out


def capped(labels: Sequence[Label], limit: int) -> list[Label]:
    """Keep at most `limit` labels of each task, the best visited first."""
    out: list[Label] = []
    for some in _by(labels, "task").values():
        ranked = sorted(some, key=lambda x: (-x.n, x.text))
        kept = set(ranked[:limit])
        out += [x for x in some if x in kept]
    return out


def quota(labels: Sequence[Label], limit: int, seed: int) -> list[Label]:
    """Keep at most `limit` labels of each environment, whole tasks first come."""
    out: list[Label] = []
    for some in _by(labels, "env").values():
        ranked = sorted(
            some, key=lambda x: (unit(seed, "quota", x.task), x.task, x.path, x.step)
        )
        kept = set(ranked[:limit])
        out += [x for x in some if x in kept]
    return out


def balanced(
    labels: Sequence[Label], ratio: float, bins: int, seed: int
) -> list[Label]:
    """Keep at most `ratio` times the median count of the bins of values that hold any.

    Args:
        labels: Labels of the training side.
        ratio: Most that a bin may hold, in medians.
        bins: Bins over 0..1.
        seed: Seed of the choice within a bin.

    Returns:
        What is kept, in order.
    """
    table: dict[int, list[Label]] = defaultdict(list)
    for label in labels:
        table[min(bins - 1, max(0, int(label.value * bins)))].append(label)
    most = int(ratio * median(map(len, table.values()))) if table else 0
    kept: set[Label] = set()
    for some in table.values():
        some.sort(key=lambda x: (unit(seed, "bin", x.task, x.text), x.task))
        kept.update(some[: max(1, most)])
    return [x for x in labels if x in kept]


def shared_texts(sides: Mapping[str, Sequence[Label]]) -> dict[str, list[Label]]:
    """Find labels of the training side whose text another side holds, too."""
    others: dict[str, set[str]] = {
        name: {x.text for x in some} for name, some in sides.items() if name != "train"
    }
    return {
        name: [x for x in sides.get("train", ()) if x.text in texts]
        for name, texts in others.items()
    }


def check_apart(sides: Mapping[str, Sequence[Label]], *, texts: bool = True) -> None:
    """Refuse sides that share a task or a text.

    Args:
        sides: Labels by side: `train`, `val`, `held_out`.
        texts: Whether equal texts of different tasks are refused, too.

    Raises:
        ConfigurationError: If two sides share a task, or a text; names examples.
    """
    _refuse_shared(
        {side: {(x.env, x.task) for x in some} for side, some in sides.items()}
    )
    if not texts:
        return
    for one, other in itertools.combinations(sides, 2):
        known = {x.text: x for x in sides[one]}
        same = [(known[x.text], x) for x in sides[other] if x.text in known]
        if same:
            shown = [
                f"{a.task} action {a.step + 1} and {b.task} action {b.step + 1}"
                for a, b in same[:_SHOWN]
            ]
            msg = f"{len(same)} texts are in {one} and in {other}: {'; '.join(shown)}."
            raise ConfigurationError(
                msg, remedy="Use shared_texts='drop', which takes them from train."
            )


def check_tasks_apart(sides: Mapping[str, Sequence[TaskSamples]]) -> None:
    """Refuse sides that share a task.

    Args:
        sides: Samples by side, such as `train`, `val` and `pool`.

    Raises:
        ConfigurationError: If two sides share a task; names examples.
    """
    _refuse_shared(
        {
            side: {(x.task["env"], x.task["id"]) for x in some}
            for side, some in sides.items()
        }
    )


def _refuse_shared(sides: Mapping[str, set[tuple[str, str]]]) -> None:
    for one, other in itertools.combinations(sides, 2):
        both = sorted(sides[one] & sides[other])
        if both:
            msg = f"{len(both)} tasks are in {one} and in {other}: {_few(both)}."
            raise ConfigurationError(
                msg, remedy="Split by task: a task's states belong on one side."
            )


def _few(names: Sequence[object]) -> str:
    return ", ".join(map(str, names[:_SHOWN]))


def _by(labels: Iterable[Label], name: str) -> dict[str, list[Label]]:
    out: dict[str, list[Label]] = defaultdict(list)
    for label in labels:
        out[getattr(label, name)].append(label)
    return out
