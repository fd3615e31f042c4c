"""States, goals and conditions in our own words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from langchain_agentrm_pddl._strips import Atom, State, World

__all__ = ["goal_text", "needs_text", "setting_text", "state_text"]

_PHRASES: Mapping[str, Mapping[str, str]] = {
    "blockworld": {
        "on": "{0} stands on {1}",
        "on-table": "{0} stands on the table",
        "clear": "nothing stands on {0}",
        "arm-empty": "the arm is empty",
        "holding": "the arm holds {0}",
    },
    "gripper": {
        "room": "{0} is a room",
        "ball": "{0} is a ball",
        "gripper": "{0} is an arm",
        "at-robby": "the robot is in {0}",
        "at": "{0} lies in {1}",
        "free": "the {0} arm is free",
        "carry": "the {1} arm carries {0}",
    },
    "barman": {
        "ontable": "{0} is on the table",
        "holding": "the {0} hand holds {1}",
        "handempty": "the {0} hand is empty",
        "empty": "{0} is empty",
        "contains": "{0} contains {1}",
        "clean": "{0} is clean",
        "used": "{0} was used for {1}",
        "dispenses": "{0} gives {1}",
        "shaker-empty-level": "{0} is empty at level {1}",
        "shaker-level": "{0} is at level {1}",
        "next": "level {1} comes after level {0}",
        "unshaked": "{0} has something in it to be shaken",
        "shaked": "{0} was shaken",
        "cocktail-part1": "the first part of {0} is {1}",
        "cocktail-part2": "the second part of {0} is {1}",
    },
    "tyreworld": {
        "isopen": "{0} is open",
        "closed": "{0} is closed",
        "unlocked": "{0} is not locked",
        "have": "you have {0}",
        "in": "{0} is in {1}",
        "loose": "{0} is loose on {1}",
        "tight": "{0} is tight on {1}",
        "on-ground": "{0} is on the ground",
        "not-on-ground": "{0} is jacked up",
        "inflated": "{0} is inflated",
        "not-inflated": "{0} is not inflated",
        "fastened": "{0} is fastened",
        "unfastened": "{0} is unfastened",
        "free": "{0} has no wheel",
        "on": "{0} is on {1}",
        "intact": "{0} is intact",
    },
}

_NUMBER = re.compile(r"(\d+)")


def goal_text(domain: str, goal: Iterable[Atom]) -> str:
    """Write a goal as one sentence."""
    return f"Goal: {_list(domain, goal)}."


def needs_text(domain: str, atoms: Iterable[Atom]) -> str:
    """Write the conditions that an action lacks."""
    return f"It needs: {_list(domain, atoms)}."


def setting_text(domain: str, world: World) -> str:
    """Write what never changes and is not in every observation; empty if nothing."""
    if domain != "barman":
        return ""
    init = world.problem.init
    parts = {a[1]: a[2] for a in init if a[0] == "cocktail-part1"}
    others = {a[1]: a[2] for a in init if a[0] == "cocktail-part2"}
    recipes = "; ".join(
        f"{name} is {parts[name]} and {others[name]}" for name in sorted(parts, key=_by)
    )
    given = _list(domain, (a for a in init if a[0] == "dispenses"))
    follow = {a[1]: a[2] for a in init if a[0] == "next"}
    levels = [next(iter(set(follow) - set(follow.values())), "")] if follow else []
    while levels and levels[-1] in follow:
        levels.append(follow[levels[-1]])
    text = f"Dispensers: {given}. Recipes: {recipes}."
    return (
        f"{text} Levels, from empty to full: {', '.join(levels)}." if levels else text
    )


def state_text(domain: str, world: World, state: State) -> str:
    """Write a state completely, but for what never changes.

    Args:
        domain: Name of the domain.
        world: The problem.
        state: What holds.

    Returns:
        The text, the same for equal states.
    """
    return _VIEWS[domain](world, state)


def _list(domain: str, atoms: Iterable[Atom]) -> str:
    phrases = _PHRASES[domain]
    texts = {
        phrases[a[0]].format(*a[1:]) if a[0] in phrases else " ".join(a) for a in atoms
    }
    return "; ".join(sorted(texts, key=_by))


def _by(text: str) -> list[tuple[int, str]]:
    """Order texts so that ball2 comes before ball10."""
    return [
        (int(part), "") if part.isdecimal() else (-1, part)
        for part in _NUMBER.split(text)
    ]


def _named(items: Iterable[str]) -> str:
    return ", ".join(sorted(items, key=_by)) or "nothing"


def _facts(state: State, name: str) -> list[Atom]:
    return [atom for atom in state if atom[0] == name]


def _blockworld(world: World, state: State) -> str:
    del world
    above = {atom[2]: atom[1] for atom in _facts(state, "on")}
    towers = []
    for _, block in sorted(_facts(state, "on-table"), key=lambda a: _by(a[1])):
        tower = [block]
        while tower[-1] in above:
            tower.append(above[tower[-1]])
        towers.append(" < ".join(tower))
    held = [atom[1] for atom in _facts(state, "holding")]
    arm = f"The arm holds {held[0]}." if held else "The arm is empty."
    return f"Towers, lowest block first: {'; '.join(towers) or 'none'}. {arm}"


def _gripper(world: World, state: State) -> str:
    rooms = sorted((a[1] for a in _facts(world.problem.init, "room")), key=_by)
    arms = sorted((a[1] for a in _facts(world.problem.init, "gripper")), key=_by)
    here = _named(a[1] for a in _facts(state, "at-robby"))
    lying = [
        f"In {room}: {_named(a[1] for a in _facts(state, 'at') if a[2] == room)}."
        for room in rooms
    ]
    carried = {atom[2]: atom[1] for atom in _facts(state, "carry")}
    held = [f"{arm} arm: {carried.get(arm, 'free')}" for arm in arms]
    return f"The robot is in {here}. {' '.join(lying)} {'; '.join(held)}."


def _barman(world: World, state: State) -> str:
    holds = {atom[1]: atom[2] for atom in _facts(state, "holding")}
    types = world.objects
    hands = sorted((x for x, t in types.items() if t == "hand"), key=_by)
    parts = [f"{hand} hand: {holds.get(hand, 'empty')}" for hand in hands]
    containers = [x for x, t in types.items() if t in ("shot", "shaker")]
    for name in sorted(containers, key=_by):
        has = [a[2] for a in _facts(state, "contains") if a[1] == name]
        used = [a[2] for a in _facts(state, "used") if a[1] == name]
        level = [a[2] for a in _facts(state, "shaker-level") if a[1] == name]
        words = ["empty"] if ("empty", name) in state else []
        words += [f"contains {_named(has)}"] if has else []
        words += ["clean"] if ("clean", name) in state else []
        words += [f"used for {_named(used)}"] if used else []
        words += ["shaken"] if ("shaked", name) in state else []
        words += ["not yet shaken"] if ("unshaked", name) in state else []
        words += [f"level {_named(level)}"] if level else []
        parts.append(f"{name}: {', '.join(words)}")
    return f"{'; '.join(parts)}."


def _tyreworld(world: World, state: State) -> str:
    types = world.objects
    parts = [f"You have {_named(a[1] for a in _facts(state, 'have'))}"]
    for name in sorted((x for x, t in types.items() if t == "container"), key=_by):
        inside = _named(a[1] for a in _facts(state, "in") if a[2] == name)
        lid = "open" if ("isopen", name) in state else "closed"
        parts.append(f"{name}: {lid}, holds {inside}")
    for name in sorted((x for x, t in types.items() if t == "hub"), key=_by):
        words = ["on the ground" if ("on-ground", name) in state else "jacked up"]
        words.append("fastened" if ("fastened", name) in state else "unfastened")
        for how in ("tight", "loose"):
            nuts = [a[1] for a in _facts(state, how) if a[2] == name]
            words += [f"{_named(nuts)} {how}"] if nuts else []
        wheels = [a[1] for a in _facts(state, "on") if a[2] == name]
        words.append(f"wheel {_named(wheels)}" if wheels else "no wheel")
        parts.append(f"{name}: {', '.join(words)}")
    for name in sorted((x for x, t in types.items() if t == "wheel"), key=_by):
        intact = ("intact", name) in state
        air = "inflated" if ("inflated", name) in state else "not inflated"
        parts.append(f"{name}: intact, {air}" if intact else f"{name}: flat")
    return f"{'; '.join(parts)}."


_VIEWS: Mapping[str, Callable[[World, State], str]] = {
    "barman": _barman,
    "blockworld": _blockworld,
    "gripper": _gripper,
    "tyreworld": _tyreworld,
}
