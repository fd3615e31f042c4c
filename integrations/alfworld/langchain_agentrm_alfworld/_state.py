"""What actions can change in a game, as a value that never changes itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["CHANGING", "State", "with_item", "without_item"]

CHANGING = frozenset(
    {
        "atlocation",
        "checked",
        "holds",
        "holdsany",
        "inreceptacle",
        "isclean",
        "iscool",
        "ishot",
        "issliced",
        "istoggled",
        "objectatlocation",
        "opened",
    }
)
"""Predicates that the domain's actions add or remove."""


class State(NamedTuple):
    """A state of a game. Its mappings are shared between states and never written to.

    Attributes:
        location: Where the agent is.
        held: The object in its hand.
        opened: Receptacles that are open.
        contents: Objects in each receptacle, sorted by id; empty ones may be missing.
        located: Objects recorded at each location, sorted by id. The domain keeps this
            apart from what is in a receptacle.
        taken: Objects with the receptacle they were taken from, until they are put
            back into that one.
        clean: Objects that were cleaned.
        hot: Objects that are hot.
        cool: Objects that are cool.
        toggled: Lamps that were turned on.
        sliced: Objects that were sliced.
    """

    location: str
    held: str | None
    opened: frozenset[str]
    contents: Mapping[str, tuple[str, ...]]
    located: Mapping[str, tuple[str, ...]]
    taken: frozenset[tuple[str, str]]
    clean: frozenset[str]
    hot: frozenset[str]
    cool: frozenset[str]
    toggled: frozenset[str]
    sliced: frozenset[str]


def with_item(
    groups: Mapping[str, tuple[str, ...]], key: str, item: str
) -> dict[str, tuple[str, ...]]:
    """Copy `groups` with one more item under `key`, in its sorted place."""
    return {**groups, key: tuple(sorted({*groups.get(key, ()), item}))}


def without_item(
    groups: Mapping[str, tuple[str, ...]], key: str, item: str
) -> dict[str, tuple[str, ...]]:
    """Copy `groups` with an item less under `key`."""
    return {**groups, key: tuple(x for x in groups.get(key, ()) if x != item)}
