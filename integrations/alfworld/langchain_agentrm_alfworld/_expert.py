"""The expert: it finds, takes, treats and brings, and knows only what it has seen."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from langchain_agentrm_alfworld._play import root
from langchain_agentrm_alfworld._world import World

__all__ = ["Aim", "aim", "plan"]

_LAMPS = frozenset({"desklamptype", "floorlamptype"})
_TREATED = {"isclean": "clean", "ishot": "heat", "iscool": "cool"}


@dataclass(frozen=True, slots=True)
class Aim:
    """What a goal asks for.

    Attributes:
        thing: Type of the object, such as `"appletype"`.
        home: Type of the receptacle it belongs in; empty for the lamp task.
        treatment: `"clean"`, `"heat"`, `"cool"` or empty.
        lamp: Type of the lamp; empty for all other tasks.
        count: How many objects.
    """

    thing: str
    home: str = ""
    treatment: str = ""
    lamp: str = ""
    count: int = 1


def aim(world: World) -> Aim:
    """Read what to do from a game's goal."""
    literals = [x for x in world.goal.literals if x.positive]
    kinds = {x.terms[-1] for x in literals if x.predicate == "objecttype"}
    homes = [x.terms[-1] for x in literals if x.predicate == "receptacletype"]
    predicates = {x.predicate for x in literals}
    if "istoggled" in predicates:
        lamp = min(kinds & _LAMPS)
        return Aim(min(kinds - {lamp}), lamp=lamp)
    treatment = next((_TREATED[p] for p in _TREATED if p in predicates), "")
    placed = {x.terms[0] for x in literals if x.predicate == "inreceptacle"}
    return Aim(min(kinds), homes[0], treatment, count=len(placed))


def plan(world: World, limit: int = 200) -> list[str]:
    """Let the expert play a game.

    It reads the goal and which type of receptacle holds what, and of the rest only what
    its own commands have shown.

    Args:
        world: The game.
        limit: Most commands.

    Returns:
        Its commands, up to the one that wins, or until it knows no more.
    """
    player = _Player(world, limit)
    with contextlib.suppress(_OverError):
        player.play()
    return player.commands


class _OverError(Exception):
    """The game is won, or the expert may not go on."""


class _Player:
    """What the expert knows of one game, and what it has done."""

    def __init__(self, world: World, limit: int) -> None:
        self.world, self.limit, self.aim = world, limit, aim(world)
        self.node = root(world)
        self.commands: list[str] = []
        self.visited: set[str] = set()
        self.known: set[tuple[str, str]] = set()

    def play(self) -> None:
        """Bring one object after another to where it belongs."""
        world, goal, names = self.world, self.aim, self.world.names
        target = ""

        def wanted(_thing: str, receptacle: str) -> bool:
            # What lies where it belongs is of use only if it can be treated first.
            return bool(goal.treatment) or world.kind.get(receptacle) != goal.home

        for _ in range(goal.count):
            thing, receptacle = self._find(goal.thing, wanted)
            self._visit(receptacle)
            self._do(f"take {names[thing]} from {names[receptacle]}")
            if goal.lamp:
                lamp, receptacle = self._find(goal.lamp, lambda _thing, _place: True)
                self._visit(receptacle)
                self._do(f"use {names[lamp]}")
                raise _OverError
            if goal.treatment:
                tool = self._nearest(world.tools[goal.treatment])
                self._go(tool)
                self._do(f"{goal.treatment} {names[thing]} with {names[tool]}")
            # Both of two objects must end in the same receptacle.
            target = target or self._nearest(frozenset({goal.home}))
            self._visit(target)
            self._do(world.wording.put.format(o=names[thing], r=names[target]))

    def _find(self, kind: str, wanted: Callable[[str, str], bool]) -> tuple[str, str]:
        """Take a known object of a type, else look into one receptacle after another.

        The receptacles whose type may hold it come first, those without a door before
        the others.
        """
        world = self.world
        while True:
            for thing, receptacle in sorted(self.known):
                if world.kind.get(thing) == kind and wanted(thing, receptacle):
                    return thing, receptacle
            left = [r for r in world.receptacles if r not in self.visited]
            if not left:
                raise _OverError
            self._visit(
                min(
                    left,
                    key=lambda r: (
                        (world.kind.get(r), kind) not in world.fits,
                        r in world.able["openable"],
                        world.names[r],
                    ),
                )
            )

    def _visit(self, receptacle: str) -> None:
        self._go(receptacle)
        if not self.world.is_open(self.node.state, receptacle):
            self._do(f"open {self.world.names[receptacle]}")
        self.visited.add(receptacle)
        self._look_into(receptacle)

    def _go(self, receptacle: str) -> None:
        if self.world.place[receptacle] != self.node.state.location:
            self._do(f"go to {self.world.names[receptacle]}")

    def _do(self, command: str) -> None:
        if self.node.won or len(self.commands) >= self.limit:
            raise _OverError
        self.node = self.node.step(command)
        self.commands.append(command)
        for receptacle in self.visited:
            if self.world.place[receptacle] == self.node.state.location:
                self._look_into(receptacle)

    def _look_into(self, receptacle: str) -> None:
        inside = self.node.state.contents.get(receptacle, ())
        self.known = {pair for pair in self.known if pair[1] != receptacle}
        self.known |= {(thing, receptacle) for thing in inside}

    def _nearest(self, kinds: frozenset[str]) -> str:
        """Choose a receptacle of some types: here if there is one, else the first."""
        here = self.node.state.location
        found = [r for r in self.world.receptacles if self.world.kind.get(r) in kinds]
        if not found:
            raise _OverError
        return min(found, key=lambda r: (self.world.place[r] != here, r))
