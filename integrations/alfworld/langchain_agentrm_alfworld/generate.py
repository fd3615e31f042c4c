"""Make ALFWorld-format games offline, from ALFWorld's own layouts, domain and grammar.

Where things lie is drawn here, so these are new games and not those of the ALFRED data
set: "ALFWorld-format generated games", never "ALFWorld valid_seen" or "valid_unseen".
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from langchain_agentrm.errors import ConfigurationError, UnknownTaskError
from langchain_agentrm_alfworld._tables import (
    Tables,
    domain,
    grammar,
    scenes,
    tables,
)

__all__ = ["GENERATIONS", "GeneratedGame", "Generation", "generate", "scene_numbers"]

Generation = Literal["move", "put"]
GENERATIONS: tuple[Generation, ...] = ("move", "put")
"""Text grammars: of ALFWorld 0.4 (`move O to R`) and before (`put O in/on R`)."""

_START = "loc|0|0|0|30"
_LAMP_STANDS = frozenset(
    {"CoffeeTable", "Desk", "Dresser", "Shelf", "SideTable", "TVStand"}
)
_WATER = {"Bathtub": "BathtubBasin", "Sink": "SinkBasin"}
# What each treating task type asks for: an ability, and the receptacle class it needs.
_TREATMENTS = {
    "pick_clean_then_place_in_recep": ("cleanable", "SinkBasin"),
    "pick_heat_then_place_in_recep": ("heatable", "Microwave"),
    "pick_cool_then_place_in_recep": ("coolable", "Fridge"),
}
_ESCAPES = str.maketrans(
    {
        "#": "-",
        "-": "_minus_",
        "|": "_bar_",
        "+": "_plus_",
        ".": "_dot_",
        ",": "_comma_",
    }
)


@dataclass(frozen=True, slots=True)
class GeneratedGame:
    """A generated game.

    Attributes:
        type: Task type.
        seed: Its seed.
        scene: Scene number; the kitchen is 1 to 30, the living room 201 to 230, ...
        object: Class of the object that the task is about.
        receptacle: Class of the receptacle it belongs in; empty for the lamp task.
        lamp: Class of the lamp; empty for all other tasks.
        content: What a `game.tw-pddl` file holds.
    """

    type: str
    seed: int
    scene: int
    object: str
    receptacle: str
    lamp: str
    content: Mapping[str, Any]


@dataclass(slots=True)
class _Scene:
    """A room being furnished: classes and places of receptacles and objects by id."""

    number: int
    receptacles: dict[str, tuple[str, str]] = field(default_factory=dict)
    classes: list[str] = field(default_factory=list)
    objects: dict[str, tuple[str, str]] = field(default_factory=dict)
    nested: list[tuple[str, str]] = field(default_factory=list)


def scene_numbers(room: str, *, unseen: bool) -> list[int]:
    """Scenes of a kind of room, as ALFRED splits them.

    Args:
        room: `"Kitchen"`, `"LivingRoom"`, `"Bedroom"` or `"Bathroom"`.
        unseen: Those kept for the unseen split, else those for training.

    Raises:
        ConfigurationError: If there is no such kind of room.
    """
    known = tables()
    if room not in known.rooms:
        msg = f"ALFWorld has no kind of room {room!r}."
        raise ConfigurationError(msg, remedy=f"Choose one of {sorted(known.rooms)}.")
    first, last = known.rooms[room]
    return [n for n in range(first, last + 1) if (n in known.unseen) is unseen]


def generate(
    type_: str,
    seed: int,
    *,
    unseen: bool = False,
    generation: Generation = "move",
    nested: bool = False,
) -> GeneratedGame:
    """Generate a game. The same arguments give the same game everywhere.

    Args:
        type_: One of the six task types.
        seed: Seed of the scene, of what lies where and of the sentence.
        unseen: Whether the scene is one of the unseen split.
        generation: Which text grammar.
        nested: Whether some objects stand in a bowl, plate or pot.

    Returns:
        The game; its goal does not hold at the start, and can be reached.

    Raises:
        UnknownTaskError: If there is no such task type.
        ConfigurationError: If there is no such grammar.
    """
    known = tables()
    if type_ not in known.types:
        msg = f"ALFWorld has no task type {type_!r}."
        raise UnknownTaskError(msg, remedy=f"Choose one of {list(known.types)}.")
    if generation not in GENERATIONS:
        msg = f"ALFWorld has no text grammar {generation!r}."
        raise ConfigurationError(msg, remedy=f"Choose one of {list(GENERATIONS)}.")
    rng = random.Random(f"{type_}:{seed}")  # noqa: S311 - a game, not a secret
    while True:
        room = rng.choice(known.goal_rooms[type_])
        scene = _furnish(rng.choice(scene_numbers(room, unseen=unseen)), known, rng)
        target = _choose(type_, scene, known, rng)
        if target is not None and _place(type_, scene, target, known, rng):
            break
    if nested:
        _nest(scene, known, rng)
    thing, receptacle, lamp = target
    sentence = rng.choice(known.goals[type_]["templates"]).format(
        obj=thing.lower(), recep=receptacle.lower(), toggle=lamp.lower()
    )
    content = {
        "pddl_domain": domain(generation),
        "grammar": grammar(generation).replace("UNKNOWN GOAL", sentence),
        "pddl_problem": _problem(type_, seed, scene, target, known),
        "solvable": True,
        "walkthrough": None,
    }
    return GeneratedGame(type_, seed, scene.number, thing, receptacle, lamp, content)


def _furnish(number: int, known: Tables, rng: random.Random) -> _Scene:
    """Place a scene's receptacles as its layout says, and list its object classes."""
    layout = scenes()[number]
    scene = _Scene(number)
    for name, (x, z, turn, tilt) in sorted(layout["poses"].items()):
        class_ = _WATER.get(name.partition("|")[0], name.partition("|")[0])
        if class_ not in known.receptacles:
            continue
        id_ = name
        if class_.endswith("Basin") and not name.endswith("Basin"):
            id_ = f"{name}|{class_}"
        place = f"loc|{round(x / 0.25)}|{round(z / 0.25)}|{int(turn)}|{int(tilt)}"
        scene.receptacles[id_] = (class_, place)
    placed = {class_ for class_, _ in scene.receptacles.values()}
    for class_ in layout["objects"]:
        if class_ not in known.receptacles:
            if class_ in known.objects:
                scene.classes.append(class_)
        elif class_ not in placed:
            # The layouts give no pose for these, such as stove burners.
            for _ in range(4 if class_ == "StoveBurner" else 1):
                id_ = _position(class_.removesuffix("Basin"), rng)
                if class_.endswith("Basin"):
                    id_ += f"|{class_}"
                x, z = rng.randint(40, 90), rng.randint(40, 90)
                place = f"loc|{x}|{z}|{90 * rng.randint(0, 3)}|30"
                scene.receptacles[id_] = (class_, place)
    return scene


def _choose(
    type_: str, scene: _Scene, known: Tables, rng: random.Random
) -> tuple[str, str, str] | None:
    """Choose object, receptacle and lamp; None where the scene does not allow it."""
    present = sorted({class_ for class_, _ in scene.receptacles.values()})
    lamps = [c for c in scene.classes if c in known.abilities["toggleable"]]
    ability, tool = _TREATMENTS.get(type_, ("", ""))
    if (tool and tool not in present) or (
        type_ == "look_at_obj_in_light" and not lamps
    ):
        return None
    options: list[tuple[str, str, str]] = []
    for class_ in scene.classes:
        homes = [r for r in present if class_ in known.holds.get(r, ())]
        if class_ in lamps or not homes:
            continue
        if type_ == "look_at_obj_in_light":
            options.append((class_, "", rng.choice(lamps)))
        elif len(homes) > 1 and (not ability or class_ in known.abilities[ability]):
            # Two homes, since no such object may start where it belongs.
            options += [(class_, home, "") for home in homes if home != tool]
    return rng.choice(options) if options else None


def _place(
    type_: str,
    scene: _Scene,
    target: tuple[str, str, str],
    known: Tables,
    rng: random.Random,
) -> bool:
    """Put objects of every class somewhere fit, none where the goal wants it."""
    thing, receptacle, lamp = target
    least = {thing: 2 if type_ == "pick_two_obj_and_place" else 1, lamp: 1}
    for class_ in sorted(set(scene.classes)):
        toggled = class_ in known.abilities["toggleable"]
        fit = sorted(
            id_
            for id_, (kind, _) in scene.receptacles.items()
            if (
                kind in _LAMP_STANDS if toggled else class_ in known.holds.get(kind, ())
            )
            and (class_, kind) != (thing, receptacle)
        )
        if not fit:
            if class_ in (thing, lamp):
                return False
            continue
        drawn = 1 if toggled else rng.randint(1, known.max_instances)
        for _ in range(max(drawn, least.get(class_, 0))):
            scene.objects[_position(class_, rng)] = (class_, rng.choice(fit))
    return True


def _nest(scene: _Scene, known: Tables, rng: random.Random) -> None:
    holders = [o for o, (c, _) in sorted(scene.objects.items()) if c in known.movable]
    for id_, (class_, home) in sorted(scene.objects.items()):
        beside = [o for o in holders if scene.objects[o][1] == home]
        if class_ not in known.movable and beside and rng.random() < 0.6:  # noqa: PLR2004
            scene.nested.append((id_, rng.choice(beside)))


def _position(class_: str, rng: random.Random) -> str:
    at = (rng.uniform(-3, 3), rng.uniform(0, 2), rng.uniform(-3, 3))
    return "|".join([class_, *(f"{value:+06.2f}" for value in at)])


def _problem(
    type_: str,
    seed: int,
    scene: _Scene,
    target: tuple[str, str, str],
    known: Tables,
) -> str:
    """Write the PDDL problem; `#` stands for the dash of a type, as in ALFRED's own."""
    receptacles = sorted(scene.receptacles.items())
    objects = sorted(scene.objects.items())
    places = sorted({place for _, (_, place) in receptacles} | {_START})
    lines = [
        f"(define (problem {type_}_{scene.number}_{seed})",
        "(:domain alfred)",
        "(:objects",
        "agent1 # agent",
        *(f"{class_}Type # otype" for class_ in known.objects),
        *(f"{class_}Type # rtype" for class_ in sorted(known.receptacles)),
        *(f"{id_} # object" for id_, _ in objects),
        *(f"{id_} # receptacle" for id_, _ in receptacles),
        *(f"{place} # location" for place in places),
        ")",
        "(:init",
    ]
    for id_, (class_, place) in receptacles:
        lines += [
            f"(receptacleType {id_} {class_}Type)",
            f"(receptacleAtLocation {id_} {place})",
        ]
        if class_ in known.openable:
            lines.append(f"(openable {id_})")
    present = {class_ for _, (class_, _) in objects}
    for class_ in sorted({class_ for _, (class_, _) in receptacles}):
        held = sorted(known.holds.get(class_, frozenset()) & present)
        lines += [f"(canContain {class_}Type {other}Type)" for other in held]
    for id_, (class_, home) in objects:
        lines += [
            f"(objectType {id_} {class_}Type)",
            f"(inReceptacle {id_} {home})",
            f"(objectAtLocation {id_} {scene.receptacles[home][1]})",
        ]
        if class_ not in known.abilities["toggleable"]:
            lines.append(f"(pickupable {id_})")
        lines += [
            f"({ability} {id_})"
            for ability, classes in known.abilities.items()
            if class_ in classes
        ]
        if class_ in known.movable:
            lines.append(f"(isReceptacleObject {id_})")
    lines += [f"(inReceptacleObject {x} {holder})" for x, holder in scene.nested]
    lines += [f"(atLocation agent1 {_START})", ")"]
    thing, receptacle, lamp = target
    goal: str = known.goals[type_]["pddl"]
    lines.append(goal.format(obj=thing, recep=receptacle, toggle=lamp))
    return "\n".join(lines).translate(_ESCAPES)
