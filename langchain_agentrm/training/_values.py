"""The reward model under training: values at the end of every action of a path."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from langchain_agentrm.training._optim import pad
from langchain_agentrm.training.samples import TaskSamples
from langchain_agentrm.training.tokenizer import PathEncoder

__all__ = ["Group", "ValueModel", "encode_group", "pick_best", "sibling_pairs"]

_CHUNK_TOKENS = 6144


@dataclass(slots=True)
class Group:
    """The encoded paths of one task, and the labels on them.

    Attributes:
        ids: Tokens by path.
        ends: End token of every action, by path.
        labels: Of each label: path, action, value and the prefix it continues.
        scores: Score by path.
        counts: Equal episodes by path.
    """

    ids: list[list[int]] = field(default_factory=list)
    ends: list[list[int]] = field(default_factory=list)
    labels: list[tuple[int, int, float, tuple[str, ...]]] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        """Tokens of all paths."""
        return sum(map(len, self.ids))


def encode_group(encoder: PathEncoder, samples: TaskSamples, context: int) -> Group:
    """Encode a task's paths; one that does not fit the context is left out."""
    group = Group()
    for path in samples.paths:
        encoded = encoder.path(samples.goal, samples.observation, path.steps)
        if len(encoded.ids) > context:
            continue
        row = len(group.ids)
        actions = tuple(action for action, _ in path.steps)
        for i, label in enumerate(path.labels):
            if label is not None:
                group.labels.append((row, i, label[0], actions[:i]))
        group.ids.append(encoded.ids)
        group.ends.append([end for _, end in encoded.spans])
        group.scores.append(path.score)
        group.counts.append(path.count)
    return group


class ValueModel:
    """A body and a head, read at given positions only."""

    def __init__(self, model: Any) -> None:
        """Take a sequence-classification model with one label and a `score` head."""
        self.model = model

    def read(
        self, rows: Sequence[Sequence[int]], places: Sequence[Sequence[int]]
    ) -> Tensor:
        """Values at the given positions of every row, in one flat tensor.

        Rows go through in chunks of like length, so that little is spent on padding.

        Args:
            rows: Tokens.
            places: Positions to read, by row.

        Returns:
            The values, row after row.
        """
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        found: list[Tensor] = [torch.empty(0)] * len(rows)
        chunk: list[int] = []
        for i in order:
            grown = chunk and len(rows[i]) > 1.15 * len(rows[chunk[0]])
            if grown or (len(chunk) + 1) * len(rows[i]) > _CHUNK_TOKENS:
                self._chunk(rows, places, chunk, found)
                chunk = []
            chunk.append(i)
        self._chunk(rows, places, chunk, found)
        return torch.cat(found)

    def _chunk(
        self,
        rows: Sequence[Sequence[int]],
        places: Sequence[Sequence[int]],
        chunk: list[int],
        found: list[Tensor],
    ) -> None:
        if not chunk:
            return
        ids = pad([rows[i] for i in chunk], self.model.config.pad_token_id)
        # Padded on the right under a causal mask: what is read never sees the padding.
        hidden = self.model.base_model(input_ids=ids, use_cache=False).last_hidden_state
        at = [(k, place) for k, i in enumerate(chunk) for place in places[i]]
        index = torch.tensor(at, dtype=torch.long).reshape(-1, 2)
        values = self.model.score(hidden[index[:, 0], index[:, 1]])[:, 0]
        sizes = [len(places[i]) for i in chunk]
        for i, part in zip(chunk, values.split(sizes), strict=True):
            found[i] = part

    def labelled(self, groups: Sequence[Group]) -> tuple[Tensor, Tensor]:
        """Values and targets of every label of the groups, in the order of labels."""
        rows: list[list[int]] = []
        places: list[list[int]] = []
        targets: list[float] = []
        for group in groups:
            wanted: dict[int, list[int]] = defaultdict(list)
            # Labels are made path by path, so this is the order that `read` returns.
            for row, i, value, _ in group.labels:
                wanted[row].append(group.ends[row][i])
                targets.append(value)
            for row, ends in sorted(wanted.items()):
                rows.append(group.ids[row])
                places.append(ends)
        return self.read(rows, places), torch.tensor(targets)

    def last(self, groups: Sequence[Group]) -> list[list[float]]:
        """Value at the last action of every path, by group."""
        rows = [ids for group in groups for ids in group.ids]
        places = [[ends[-1]] for group in groups for ends in group.ends]
        flat = iter(self.read(rows, places).tolist())
        return [[next(flat) for _ in group.ids] for group in groups]


def sibling_pairs(groups: Sequence[Group], gap: float) -> list[tuple[int, int]]:
    """Pairs of labels with one parent, the better first, by index into all labels.

    Args:
        groups: Tasks.
        gap: Least difference of value that counts.

    Returns:
        The pairs.
    """
    families: dict[tuple[int, tuple[str, ...]], list[tuple[int, float]]]
    families = defaultdict(list)
    number = 0
    for i, group in enumerate(groups):
        for _, _, value, parent in group.labels:
            families[i, parent].append((number, value))
            number += 1
    return [
        (a, b)
        for family in families.values()
        for a, x in family
        for b, y in family
        if x - y >= gap
    ]


def pick_best(
    groups: Sequence[Group], values: Sequence[Sequence[float]]
) -> tuple[float, float]:
    """Judge values by what they choose.

    Args:
        groups: Tasks with several episodes each.
        values: Value of each episode, by task.

    Returns:
        Mean score of the episode with the highest value, and how often a better episode
        of a task has a higher value than a worse one.
    """
    total = 0.0
    right = pairs = 0
    for group, row in zip(groups, values, strict=True):
        total += group.scores[max(range(len(row)), key=row.__getitem__)]
        for a, x in enumerate(group.scores):
            for b, y in enumerate(group.scores):
                if x > y:
                    weight = group.counts[a] * group.counts[b]
                    pairs += weight
                    right += weight * (row[a] > row[b])
    return total / max(1, len(groups)), right / max(1, pairs)
