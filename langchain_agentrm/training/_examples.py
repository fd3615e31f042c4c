"""From labelled paths to what a value regression reads: examples, texts, units."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from langchain_agentrm.training.samples import TaskSamples
from langchain_agentrm.trajectory import Trajectory, Turn, render

if TYPE_CHECKING:
    from langchain_agentrm._tokens import ChatTokens

__all__ = [
    "Example",
    "Unit",
    "encode",
    "examples_of",
    "family_units",
    "path_units",
    "siblings",
]

_Prefix = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Example:
    """A state to be valued: a path up to an action.

    Attributes:
        trajectory: The path, as a search would have it scored.
        value: Its label, the mean return of the episodes through it.
        parent: Name of the state that the action was taken in; siblings share it.
    """

    trajectory: Trajectory
    value: float
    parent: Hashable

    @property
    def messages(self) -> list[dict[str, str]]:
        """The path as role/content messages."""
        return render(self.trajectory)

    @property
    def depth(self) -> int:
        """Number of actions."""
        return len(self.trajectory.turns)


@dataclass(frozen=True, slots=True)
class Unit:
    """What is never torn apart between batches.

    Attributes:
        texts: Token ids of each text.
        reads: Where values are read: text, position, and the number of the example.
        pairs: Siblings as places in `reads`, the better first, and their gap.
    """

    texts: tuple[tuple[int, ...], ...]
    reads: tuple[tuple[int, int, int], ...]
    pairs: tuple[tuple[int, int, float], ...] = ()

    @property
    def tokens(self) -> int:
        """Tokens of all texts."""
        return sum(map(len, self.texts))


def examples_of(samples: TaskSamples) -> list[Example]:
    """Turn a task's labelled paths into examples, one a label, in their order."""
    out: list[Example] = []
    for path in samples.paths:
        turns = _turns(samples.observation, path.steps)
        prefix: _Prefix = ()
        for i, (label, step) in enumerate(zip(path.labels, path.steps, strict=True)):
            parent, prefix = prefix, (*prefix, step)
            if label is None:
                continue
            value, _ = label
            trajectory = Trajectory(
                turns[: i + 1],
                goal=samples.goal,
                instruction=samples.instruction,
                task=samples.task,
            )
            out.append(
                Example(
                    trajectory,
                    value,
                    (samples.task["id"], parent),
                )
            )
    return out


def _turns(first: str, steps: Sequence[tuple[str, str]]) -> tuple[Turn, ...]:
    seen = [first, *(after for _, after in steps)]
    return tuple(
        Turn(before, action) for before, (action, _) in zip(seen, steps, strict=False)
    )


def encode(
    tokens: ChatTokens, examples: Sequence[Example], limit: int
) -> list[tuple[int, ...] | None]:
    """Encode examples exactly as they are scored later.

    Args:
        tokens: The model's tokens.
        examples: What to encode.
        limit: Longest text; whole oldest turns are dropped beyond it.

    Returns:
        Token ids by example; None where even the shortest form does not fit.
    """
    from langchain_agentrm.reward_models._texts import fitted

    out: list[tuple[int, ...] | None] = []
    for example in examples:
        ids = fitted(tokens, example.trajectory, limit).ids
        out.append(ids if 0 < len(ids) <= limit else None)
    return out


def path_units(texts: Mapping[int, tuple[int, ...]]) -> list[Unit]:
    """Read all states of a path in one text, where a text continues another.

    A causal model sees nothing of what follows, so the value at the end of an action is
    the same in the longer text.

    Args:
        texts: Token ids by number of the example, of one task.

    Returns:
        One unit a text that no other continues, the longest first.
    """
    found: list[tuple[tuple[int, ...], list[tuple[int, int, int]]]] = []
    for number, ids in sorted(texts.items(), key=lambda x: (-len(x[1]), x[0])):
        read = (0, len(ids) - 1, number)
        for longer, reads in found:
            if longer[: len(ids)] == ids:
                reads.append(read)
                break
        else:
            found.append((ids, [read]))
    return [Unit((ids,), tuple(reads)) for ids, reads in found]


def family_units(
    texts: Mapping[int, tuple[int, ...]],
    examples: Sequence[Example],
    *,
    gap: float,
    most: int,
) -> list[Unit]:
    """Keep siblings together, with their pairs.

    Args:
        texts: Token ids by number of the example, of one task or of several.
        examples: The examples, by number.
        gap: Least difference of value that makes a pair.
        most: Siblings of one unit; a larger family becomes several units.

    Returns:
        The units; siblings without a pair are among them.
    """
    units = []
    for family in siblings(examples, texts):
        for at in range(0, len(family), most):
            part = family[at : at + most]
            pairs = [
                (a, b, examples[x].value - examples[y].value)
                for a, x in enumerate(part)
                for b, y in enumerate(part)
                if examples[x].value - examples[y].value >= gap
            ]
            units.append(
                Unit(
                    tuple(texts[n] for n in part),
                    tuple((i, len(texts[n]) - 1, n) for i, n in enumerate(part)),
                    tuple(pairs),
                )
            )
    return units


def siblings(examples: Sequence[Example], among: Iterable[int]) -> list[list[int]]:
    """Numbers of the examples that share a parent, family by family."""
    families: dict[Hashable, list[int]] = defaultdict(list)
    for number in sorted(among):
        families[examples[number].parent].append(number)
    return list(families.values())
