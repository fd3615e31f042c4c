"""The native engine: texts, admissible commands and what each command does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from langchain_agentrm_alfworld._state import State, with_item, without_item
from langchain_agentrm_alfworld._world import World

__all__ = ["NOTHING", "Node", "root"]

NOTHING = "Nothing happens."
"""What the engine answers to a command that is not admissible."""

_KNIVES = frozenset({"knifetype", "butterknifetype"})


class _Act(NamedTuple):
    """What a command means: a verb, an object, and a receptacle (or the knife)."""

    verb: str
    thing: str = ""
    other: str = ""


class Node:
    """A state of a game with what was worked out about it. Never changes once made.

    Branches of a search hold nodes, so a branch is copied by copying a reference.

    Attributes:
        world: The game.
        state: The state.
        text: What the engine said on the way here.
        valid: Whether the last command was admissible.
    """

    __slots__ = ("_acts", "_won", "state", "text", "valid", "world")

    def __init__(
        self, world: World, state: State, text: str, *, valid: bool = True
    ) -> None:
        self.world = world
        self.state = state
        self.text = text
        self.valid = valid
        self._acts: dict[str, _Act] | None = None
        self._won: bool | None = None

    @property
    def won(self) -> bool:
        """Whether the goal holds."""
        if self._won is None:
            self._won = self.world.won(self.state)
        return self._won

    def commands(self) -> list[str]:
        """Admissible commands, sorted."""
        return sorted(self._meanings())

    def step(self, command: str) -> Node:
        """Type a command.

        Args:
            command: Any text; blanks around it are ignored, capitals are not.

        Returns:
            The node after it; one with the same state if nothing happens.
        """
        act = self._meanings().get(command.strip())
        if act is None:
            return self._same(NOTHING, valid=False)
        verb, thing, other = act
        text = _looks(self.world, self.state, verb, thing or other)
        if text is not None:
            return self._same(text)
        state, text = _DEEDS.get(verb, _treat)(self.world, self.state, act)
        return Node(self.world, state, text)

    def _same(self, text: str, *, valid: bool = True) -> Node:
        # Nothing changed, so what was worked out stays true.
        node = Node(self.world, self.state, text, valid=valid)
        node._acts, node._won = self._acts, self._won
        return node

    def _meanings(self) -> dict[str, _Act]:
        if self._acts is None:
            self._acts = _admissible(self.world, self.state)
        return self._acts


def root(world: World) -> Node:
    """Begin a game: the node whose text is the introduction."""
    look = _look(world, world.start, first=True)
    text = f"-= Welcome to TextWorld, ALFRED! =-\n\n{look}\n\n{world.wording.task}"
    return Node(world, world.start, text)


# Commands.


def _admissible(world: World, state: State) -> dict[str, _Act]:
    names, able, held = world.names, world.able, state.held
    here = world.here.get(state.location, ())
    # Where two commands read the same, the engine takes the first.
    acts = {text: _Act("go", "", r) for text, r in world.travel[state.location]}
    add = acts.setdefault
    add("look", _Act("look"))
    add("inventory", _Act("inventory"))
    if world.wording.help is not None:
        add("help", _Act("help"))
    for r in here:
        name = names[r]
        add(f"examine {name}", _Act("examine", "", r))
        if r in able["openable"]:
            verb = "close" if r in state.opened else "open"
            add(f"{verb} {name}", _Act(verb, "", r))
        reach = world.is_open(state, r) and held is None
        for o in state.contents.get(r, ()):
            if reach and o in able["pickupable"]:
                add(f"take {names[o]} from {name}", _Act("take", o, r))
            # A lamp in a closed receptacle can be used, as in the domain.
            if o in able["toggleable"]:
                add(f"use {names[o]}", _Act("use", o, r))
    if held is not None:
        _with_hand(world, state, held, acts)
    return acts


def _with_hand(world: World, state: State, held: str, acts: dict[str, _Act]) -> None:
    names, able, kind = world.names, world.able, world.kind
    name, add = names[held], acts.setdefault
    # Only what is held: the domain's other way to examine an object asks for a type
    # that no location has.
    add(f"examine {name}", _Act("examine", held))
    for r in world.here.get(state.location, ()):
        if world.is_open(state, r) and (kind.get(r), kind.get(held)) in world.fits:
            put = world.wording.put
            add(put.format(o=name, r=names[r]), _Act("put", held, r))
        for verb, types in world.tools.items():
            # A microwave or fridge need not be open, as in the domain.
            if held in able[f"{verb}able"] and kind.get(r) in types:
                add(f"{verb} {name} with {names[r]}", _Act(verb, held, r))
    if kind.get(held) in _KNIVES:
        for o in state.located.get(state.location, ()):
            if o in able["sliceable"]:
                add(f"slice {names[o]} with {name}", _Act("slice", o, held))


# What each command does.


def _go(world: World, state: State, act: _Act) -> tuple[State, str]:
    place = world.place[act.other]
    text = world.wording.arrive
    text = text.replace("{r.name}", world.names[act.other])
    text = text.replace("{lend.name}", world.names[place])
    after = state._replace(location=place)
    return after, text + _examine_receptacle(world, after, act.other)


def _open(world: World, state: State, act: _Act) -> tuple[State, str]:
    after = state._replace(opened=state.opened | {act.other})
    seen = _examine_receptacle(world, after, act.other)
    return after, f"You open the {world.names[act.other]}. {seen}"


def _close(world: World, state: State, act: _Act) -> tuple[State, str]:
    after = state._replace(opened=state.opened - {act.other})
    return after, f"You close the {world.names[act.other]}."


def _take(world: World, state: State, act: _Act) -> tuple[State, str]:
    after = state._replace(
        held=act.thing,
        contents=without_item(state.contents, act.other, act.thing),
        located=without_item(state.located, state.location, act.thing),
        taken=state.taken | {(act.thing, act.other)},
    )
    thing, other = world.names[act.thing], world.names[act.other]
    return after, f"You pick up the {thing} from the {other}."


def _put(world: World, state: State, act: _Act) -> tuple[State, str]:
    after = state._replace(
        held=None,
        contents=with_item(state.contents, act.other, act.thing),
        located=with_item(state.located, state.location, act.thing),
        taken=state.taken - {(act.thing, act.other)},
    )
    text = world.wording.put_answer
    text = text.replace("{o.name}", world.names[act.thing])
    return after, text.replace("{r.name}", world.names[act.other])


def _use(world: World, state: State, act: _Act) -> tuple[State, str]:
    after = state._replace(toggled=state.toggled | {act.thing})
    return after, f"You turn on the {world.names[act.thing]}."


def _slice(world: World, state: State, act: _Act) -> tuple[State, str]:
    after = state._replace(sliced=state.sliced | {act.thing})
    thing, knife = world.names[act.thing], world.names[act.other]
    return after, f"You sliced the {thing} with the {knife}."


def _treat(world: World, state: State, act: _Act) -> tuple[State, str]:
    thing = {act.thing}
    if act.verb == "clean":
        after = state._replace(clean=state.clean | thing)
    elif act.verb == "heat":
        after = state._replace(hot=state.hot | thing, cool=state.cool - thing)
    else:
        after = state._replace(cool=state.cool | thing, hot=state.hot - thing)
    name, tool = world.names[act.thing], world.names[act.other]
    return after, f"You {act.verb} the {name} using the {tool}."


_DEEDS = {
    "go": _go,
    "open": _open,
    "close": _close,
    "take": _take,
    "put": _put,
    "use": _use,
    "slice": _slice,
}


# What is seen.


def _looks(world: World, state: State, verb: str, target: str) -> str | None:
    """Answer a command that changes nothing; None for one that does."""
    if verb == "look":
        return _look(world, state)
    if verb == "inventory":
        held = state.held
        carried = "" if held is None else f"You are carrying: a {world.names[held]}."
        return carried or "You are not carrying anything."
    if verb == "examine":
        seen = _examine_receptacle if target in world.place else _examine_object
        return seen(world, state, target)
    return world.wording.help if verb == "help" else None


def _look(world: World, state: State, *, first: bool = False) -> str:
    here = world.here.get(state.location)
    if here is None:
        # The engine names the receptacles of a room in the introduction only.
        seen = _things(world, world.receptacles if first else ())
        return (
            "You are in the middle of a room. "
            f"Looking quickly around you, you see {seen}."
        )
    beside = [
        o
        for o in state.located.get(state.location, ())
        for r in here
        if (o, r) in state.taken
    ]
    facing = _listed([world.names[r] for r in here])
    return f"You are facing the {facing}. Next to it, you see {_things(world, beside)}."


def _examine_receptacle(world: World, state: State, receptacle: str) -> str:
    name = world.names[receptacle]
    if not world.is_open(state, receptacle):
        return f"The {name} is closed."
    seen = _things(world, state.contents.get(receptacle, ()))
    if receptacle in world.able["openable"]:
        return f"The {name} is open. In it, you see {seen}."
    return f"On the {name}, you see {seen}."


def _examine_object(world: World, state: State, thing: str) -> str:
    name = world.names[thing]
    if thing in world.able["isreceptacleobject"]:
        seen = _things(world, world.inner.get(thing, ()))
        return f"This is a normal {name}. In it, you see {seen}."
    clean, sliced = thing in state.clean, thing in state.sliced
    heat = "hot" if thing in state.hot else "cool" if thing in state.cool else ""
    if heat or clean:
        # The engine has another word for what is cool and nothing else.
        alone = heat == "cool" and not clean and not sliced
        words = ["cold" if alone else heat, "and" if heat and clean else ""]
        words += ["clean" if clean else "", "sliced" if sliced else "", name]
        return f"This is a {' '.join(word for word in words if word)}."
    if thing in world.able["toggleable"] and thing in state.toggled:
        return f"This {name} is on."
    if sliced and thing in world.able["sliceable"]:
        return f"This is a sliced {name}."
    return f"There's nothing special about {name}."


def _things(world: World, ids: Sequence[str]) -> str:
    return _listed([f"a {world.names[id_]}" for id_ in ids])


def _listed(parts: Sequence[str]) -> str:
    if not parts:
        return "nothing"
    if len(parts) == 1:
        return parts[0]
    return f"{', '.join(parts[:-1])}, and {parts[-1]}"
