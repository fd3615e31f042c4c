"""Problems made from a seed, of the kinds and sizes that AgentBoard uses."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from itertools import pairwise

from langchain_agentrm_pddl._strips import Atom, Problem

__all__ = ["generate"]


def generate(domain: str, seed: int) -> Problem:
    """Make the problem of a seed; its goal never holds at first.

    Args:
        domain: One of the four domains.
        seed: Seed of the problem.

    Returns:
        The problem, the same on every machine.
    """
    rng = random.Random(f"{domain}:{seed}")  # noqa: S311 - a game, not a secret
    while True:
        problem = _MAKERS[domain](rng)
        if not set(problem.goal) <= problem.init:
            return problem


def _blockworld(rng: random.Random) -> Problem:
    blocks = [f"b{i + 1}" for i in range(rng.randint(3, 7))]
    init: list[Atom] = [("arm-empty",)]
    for tower in _towers(rng, blocks):
        init += [("on-table", tower[0]), ("clear", tower[-1])]
        init += _stacked(tower)
    goal: list[Atom] = []
    while not goal:
        goal = [atom for tower in _towers(rng, blocks) for atom in _stacked(tower)]
    return Problem(dict.fromkeys(blocks, "object"), frozenset(init), tuple(goal))


def _towers(rng: random.Random, blocks: list[str]) -> list[list[str]]:
    towers: list[list[str]] = []
    for block in rng.sample(blocks, len(blocks)):
        at = rng.randint(0, len(towers))
        if at == len(towers):
            towers.append([block])
        else:
            towers[at].append(block)
    return towers


def _stacked(tower: list[str]) -> list[Atom]:
    return [("on", above, below) for below, above in pairwise(tower)]


def _gripper(rng: random.Random) -> Problem:
    rooms, arms = ("rooma", "roomb"), ("left", "right")
    balls = [f"ball{i + 1}" for i in range(rng.randint(4, 8))]
    init: list[Atom] = [("at-robby", rng.choice(rooms))]
    init += [("room", room) for room in rooms]
    init += [(what, arm) for arm in arms for what in ("gripper", "free")]
    goal: list[Atom] = []
    # As in AgentBoard: all balls from one room to the other, or from both.
    mixed = rng.random() < 1 / 3
    for ball in balls:
        here = rng.choice(rooms) if mixed else "rooma"
        init += [("ball", ball), ("at", ball, here)]
        goal.append(("at", ball, rooms[here == "rooma"]))
    names = [*rooms, *balls, *arms]
    return Problem(dict.fromkeys(names, "object"), frozenset(init), tuple(goal))


def _barman(rng: random.Random) -> Problem:
    shots = [f"shot{i + 1}" for i in range(rng.randint(3, 6))]
    ingredients = [f"ingredient{i + 1}" for i in range(3)]
    cocktails = [f"cocktail{i + 1}" for i in range(rng.randint(3, 6))]
    hands, levels = ("left", "right"), ("l0", "l1", "l2")
    objects = {"shaker1": "shaker"}
    init: list[Atom] = [
        ("shaker-empty-level", "shaker1", "l0"),
        ("shaker-level", "shaker1", "l0"),
        ("next", "l0", "l1"),
        ("next", "l1", "l2"),
    ]
    for hand in hands:
        objects[hand] = "hand"
        init.append(("handempty", hand))
    for container in ("shaker1", *shots):
        objects.setdefault(container, "shot")
        init += [(what, container) for what in ("ontable", "clean", "empty")]
    for i, ingredient in enumerate(ingredients):
        dispenser = f"dispenser{i + 1}"
        objects |= {ingredient: "ingredient", dispenser: "dispenser"}
        init.append(("dispenses", dispenser, ingredient))
    for cocktail in cocktails:
        objects[cocktail] = "cocktail"
        one, two = rng.sample(ingredients, 2)
        init.append(("cocktail-part1", cocktail, one))
        init.append(("cocktail-part2", cocktail, two))
    objects |= dict.fromkeys(levels, "level")
    mixes, pure = rng.choice([(1, 0), (1, 0), (1, 1), (1, 2), (0, 2), (0, 3)])
    drinks = [*rng.sample(cocktails, mixes), *rng.sample(ingredients, pure)]
    goal = zip(rng.sample(shots, len(drinks)), drinks, strict=True)
    return Problem(
        objects,
        frozenset(init),
        tuple(("contains", shot, drink) for shot, drink in sorted(goal)),
    )


def _tyreworld(rng: random.Random) -> Problem:
    count = rng.choice((1, 1, 2))
    tools = ("jack", "pump", "wrench")
    objects = dict.fromkeys(tools, "tool")
    objects["boot"] = "container"
    init: list[Atom] = [
        ("unlocked", "boot"),
        (rng.choice(("closed", "isopen")), "boot"),
    ]
    init += [("in", tool, "boot") for tool in tools]
    goal: list[Atom] = []
    for i in range(1, count + 1):
        hub, nuts, old, new = f"the-hub{i}", f"nuts{i}", f"w{i}", f"r{i}"
        objects |= {hub: "hub", nuts: "nut", old: "wheel", new: "wheel"}
        init += [
            ("on", old, hub),
            ("on-ground", hub),
            ("fastened", hub),
            (rng.choice(("tight", "tight", "loose")), nuts, hub),
            ("in", new, "boot"),
            ("intact", new),
            (rng.choice(("not-inflated", "not-inflated", "inflated")), new),
        ]
        wanted: list[Atom] = [
            ("on", new, hub),
            ("inflated", new),
            ("in", old, "boot"),
            ("tight", nuts, hub),
        ]
        # Two wheels changed and all put away would take more than 30 actions.
        most = 4 if count == 1 else 2
        goal += rng.sample(wanted, rng.randint(1, most))
    if count == 1 and rng.random() < 1 / 2:
        goal += [("in", tool, "boot") for tool in tools]
        goal.append(("closed", "boot"))
    return Problem(objects, frozenset(init), tuple(goal))


_MAKERS: Mapping[str, Callable[[random.Random], Problem]] = {
    "barman": _barman,
    "blockworld": _blockworld,
    "gripper": _gripper,
    "tyreworld": _tyreworld,
}
