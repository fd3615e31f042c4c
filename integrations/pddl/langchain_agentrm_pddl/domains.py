"""The four domains: their types and actions, in a short notation of our own.

Names and order of parameters are those of the planning competitions, as AgentBoard uses
them. In a line `name(type X, ...): needs => changes`, capitals are parameters, and a
change that begins with `-` is deleted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from langchain_agentrm_pddl._strips import Atom, Domain, Operator

__all__ = ["DOMAINS", "HELD_IN", "HELD_OUT"]

HELD_IN: tuple[str, ...] = ("blockworld", "gripper")
"""Domains that demonstrations and reward-model training may use."""

HELD_OUT: tuple[str, ...] = ("barman", "tyreworld")
"""Domains that only a test may use."""

_LINE = re.compile(r"(\S+)\((.*)\): (.*) => (.*)")

_BLOCKWORLD = """\
pickup(object X): arm-empty, on-table X, clear X =>
 holding X, -arm-empty, -on-table X, -clear X
putdown(object X): holding X =>
 on-table X, clear X, arm-empty, -holding X
stack(object X, object Y): holding X, clear Y =>
 on X Y, clear X, arm-empty, -holding X, -clear Y
unstack(object X, object Y): arm-empty, on X Y, clear X =>
 holding X, clear Y, -arm-empty, -on X Y, -clear X
"""

_GRIPPER = """\
move(object A, object B): room A, room B, at-robby A =>
 at-robby B, -at-robby A
pick(object O, object R, object G): ball O, room R, gripper G, at-robby R, at O R,
 free G => carry O G, -at O R, -free G
drop(object O, object R, object G): ball O, room R, gripper G, at-robby R, carry O G =>
 at O R, free G, -carry O G
"""

_BARMAN = """\
grasp(hand H, container C): handempty H, ontable C =>
 holding H C, -handempty H, -ontable C
leave(hand H, container C): holding H C =>
 handempty H, ontable C, -holding H C
fill-shot(shot S, ingredient I, hand H, hand F, dispenser D): dispenses D I,
 holding H S, handempty F, clean S, empty S =>
 contains S I, used S I, -clean S, -empty S
refill-shot(shot S, ingredient I, hand H, hand F, dispenser D): dispenses D I,
 holding H S, handempty F, used S I, empty S => contains S I, -empty S
empty-shot(hand H, shot S, beverage B): holding H S, contains S B =>
 empty S, -contains S B
clean-shot(shot S, beverage B, hand H, hand F): holding H S, handempty F, empty S,
 used S B => clean S, -used S B
pour-shot-to-clean-shaker(shot S, ingredient I, shaker K, hand H, level L, level M):
 next L M, holding H S, contains S I, shaker-level K L, clean K, empty K =>
 contains K I, unshaked K, shaker-level K M, empty S,
 -contains S I, -shaker-level K L, -clean K, -empty K
pour-shot-to-used-shaker(shot S, ingredient I, shaker K, hand H, level L, level M):
 next L M, holding H S, contains S I, shaker-level K L, unshaked K =>
 contains K I, shaker-level K M, empty S, -contains S I, -shaker-level K L
empty-shaker(hand H, shaker K, cocktail C, level L, level M): shaker-empty-level K M,
 holding H K, contains K C, shaked K, shaker-level K L =>
 shaker-level K M, empty K, -contains K C, -shaked K, -shaker-level K L
clean-shaker(hand H, hand F, shaker K): holding H K, handempty F, empty K => clean K
shake(cocktail C, ingredient I, ingredient J, shaker K, hand H, hand F):
 cocktail-part1 C I, cocktail-part2 C J, holding H K, handempty F, contains K I,
 contains K J, unshaked K => shaked K, contains K C, -unshaked K, -contains K I,
 -contains K J
pour-shaker-to-shot(beverage B, shot S, hand H, shaker K, level L, level M):
 next M L, holding H K, contains K B, shaked K, shaker-level K L, clean S, empty S =>
 contains S B, shaker-level K M, -clean S, -empty S, -shaker-level K L
"""

_TYREWORLD = """\
open(container C): unlocked C, closed C => isopen C, -closed C
close(container C): isopen C => closed C, -isopen C
fetch(obj O, container C): isopen C, in O C => have O, -in O C
put-away(obj O, container C): isopen C, have O => in O C, -have O
loosen(nut N, hub H): have wrench, on-ground H, tight N H => loose N H, -tight N H
tighten(nut N, hub H): have wrench, on-ground H, loose N H => tight N H, -loose N H
jack-up(hub H): have jack, on-ground H => not-on-ground H, -on-ground H, -have jack
jack-down(hub H): not-on-ground H => on-ground H, have jack, -not-on-ground H
undo(nut N, hub H): have wrench, not-on-ground H, fastened H, loose N H =>
 have N, unfastened H, -fastened H, -loose N H
do-up(nut N, hub H): have wrench, not-on-ground H, unfastened H, have N =>
 loose N H, fastened H, -unfastened H, -have N
remove-wheel(wheel W, hub H): not-on-ground H, unfastened H, on W H =>
 have W, free H, -on W H
put-on-wheel(wheel W, hub H): not-on-ground H, unfastened H, free H, have W =>
 on W H, -free H, -have W
inflate(wheel W): have pump, intact W, not-inflated W => inflated W, -not-inflated W
"""


def _atoms(text: str) -> tuple[Atom, ...]:
    return tuple(tuple(part.split()) for part in text.split(", "))


def _operator(line: str) -> Operator:
    match = _LINE.fullmatch(line)
    if match is None:  # pragma: no cover - only for whoever edits the tables
        raise AssertionError(line)
    name, parameters, needs, changes = match.groups()
    pairs = [part.split() for part in parameters.split(", ")]
    effects = changes.split(", ")
    return Operator(
        name,
        tuple((variable, type_) for type_, variable in pairs),
        _atoms(needs),
        _atoms(", ".join(x for x in effects if not x.startswith("-"))),
        _atoms(", ".join(x[1:] for x in effects if x.startswith("-")))
        if "-" in changes[:1] or ", -" in changes
        else (),
    )


def _domain(
    name: str,
    text: str,
    parents: Mapping[str, str] | None = None,
    constants: Mapping[str, str] | None = None,
) -> Domain:
    # A line that begins with a blank goes on with the one before.
    lines = text.replace("\n ", " ").splitlines()
    operators = [_operator(line) for line in lines]
    return Domain(name, parents or {}, constants or {}, {o.name: o for o in operators})


DOMAINS: Mapping[str, Domain] = {
    "barman": _domain(
        "barman",
        _BARMAN,
        {
            "hand": "object",
            "level": "object",
            "beverage": "object",
            "dispenser": "object",
            "container": "object",
            "ingredient": "beverage",
            "cocktail": "beverage",
            "shot": "container",
            "shaker": "container",
        },
    ),
    "blockworld": _domain("blocksworld-4ops", _BLOCKWORLD),
    "gripper": _domain("gripper-strips", _GRIPPER),
    "tyreworld": _domain(
        "tyreworld",
        _TYREWORLD,
        {
            "obj": "object",
            "tool": "obj",
            "wheel": "obj",
            "nut": "obj",
            "container": "object",
            "hub": "object",
        },
        {"wrench": "tool", "pump": "tool", "jack": "tool"},
    ),
}
"""The rules by name."""
