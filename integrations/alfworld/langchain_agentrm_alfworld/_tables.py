"""ALFWorld's own tables and scenes, read from the files shipped with this package."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

__all__ = ["Tables", "domain", "grammar", "scenes", "tables"]


@dataclass(frozen=True, slots=True)
class Tables:
    """Classes and rules of the ALFRED simulator that games are built from.

    Attributes:
        types: The six task types.
        rooms: First and last scene number of each kind of room.
        unseen: Scene numbers kept for the unseen split.
        goal_rooms: Kinds of room that each task type may take place in.
        receptacles: Receptacle classes.
        objects: The other classes.
        holds: Object classes that each receptacle class may hold.
        openable: Classes with a door.
        movable: Object classes that hold others, such as `"Bowl"`.
        abilities: Object classes with each ability, such as `"heatable"`.
        max_instances: Most objects of one class in a scene.
        goals: PDDL goal and sentences of each task type.
    """

    types: tuple[str, ...]
    rooms: dict[str, list[int]]
    unseen: frozenset[int]
    goal_rooms: dict[str, list[str]]
    receptacles: frozenset[str]
    objects: tuple[str, ...]
    holds: dict[str, frozenset[str]]
    openable: frozenset[str]
    movable: frozenset[str]
    abilities: dict[str, frozenset[str]]
    max_instances: int
    goals: dict[str, dict[str, Any]]


@cache
def tables() -> Tables:
    """Read the tables."""
    raw = json.loads(_read("tables.json"))
    return Tables(
        types=tuple(raw["types"]),
        rooms=raw["rooms"],
        unseen=frozenset(raw["unseen"]),
        goal_rooms=raw["goal_rooms"],
        receptacles=frozenset(raw["receptacles"]),
        objects=tuple(raw["objects"]),
        holds={key: frozenset(value) for key, value in raw["holds"].items()},
        openable=frozenset(raw["openable"]),
        movable=frozenset(raw["movable"]),
        abilities={key: frozenset(value) for key, value in raw["abilities"].items()},
        max_instances=raw["max_instances"],
        goals=raw["goals"],
    )


@cache
def scenes() -> dict[int, dict[str, Any]]:
    """Read the scenes: `objects` (classes) and `poses` (receptacle id to x, z, ...)."""
    return {int(key): value for key, value in json.loads(_read("scenes.json")).items()}


@cache
def domain(generation: str) -> str:
    """Read the PDDL domain, as one generation of ALFWorld has it."""
    text = _read("alfred.pddl")
    if generation == "put":
        # Before 0.4 there was no `help`, which is the domain's last action.
        text = text[: text.index("(:action help")].rstrip() + "\n\n)\n"
    return text


@cache
def grammar(generation: str) -> str:
    """Read the text grammar, as one generation of ALFWorld has it."""
    text = _read("alfred.twl2")
    if generation == "put":
        for new, old in (
            ("You arrive at {r.name}.", "You arrive at {lend.name}."),
            ('"You move the {o.name} to', '"You put the {o.name} in/on'),
            ('"move {o} to {r}"', '"put {o} in/on {r}"'),
        ):
            text = text.replace(new, old)
        text = text[: text.index("action help")].rstrip() + "\n"
    return text


def _read(name: str) -> str:
    folder = files("langchain_agentrm_alfworld").joinpath("data")
    return folder.joinpath(name).read_text(encoding="utf-8")
