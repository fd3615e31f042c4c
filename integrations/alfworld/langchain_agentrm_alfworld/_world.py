"""A game's unchanging side: its things, names and rules."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm_alfworld._goal import Goal, compile_goal
from langchain_agentrm_alfworld._pddl import Fact, parse_problem
from langchain_agentrm_alfworld._state import CHANGING, State
from langchain_agentrm_alfworld._wording import read_wording, tools

__all__ = ["World", "name_things"]

_FLAGS = {
    "isclean": "clean",
    "ishot": "hot",
    "iscool": "cool",
    "istoggled": "toggled",
    "issliced": "sliced",
    "opened": "opened",
}
_GROUPS = {"inreceptacle": "contents", "objectatlocation": "located"}
_SINGLE = {"atlocation": "location", "holds": "held"}


class World:
    """What a game file says, prepared for play. Never changes once made.

    Args:
        game: The content of a `game.tw-pddl` file.

    Attributes:
        names: What each id is called in texts, such as `"cabinet 3"`.
        place: Location of each receptacle.
        here: Receptacles at each location, sorted by id.
        receptacles: Every receptacle with a place, sorted by id.
        kind: Type of each object and receptacle, such as `"appletype"`.
        fits: Pairs of receptacle type and object type that go together.
        able: Objects with each ability: `"pickupable"`, `"cleanable"`, ...
        inner: Objects inside each object that can hold others, sorted by id.
        tools: Receptacle types that `"clean"`, `"heat"` and `"cool"`.
        wording: Texts that differ between games.
        goal: The goal.
        start: The first state.

    Raises:
        ConfigurationError: If the file lacks a part, or has rules not known here.
    """

    __slots__ = (
        "_fixed",
        "able",
        "agent",
        "fits",
        "goal",
        "here",
        "inner",
        "kind",
        "names",
        "place",
        "receptacles",
        "start",
        "tools",
        "travel",
        "wording",
    )

    def __init__(self, game: Mapping[str, Any]) -> None:
        for part in ("pddl_domain", "grammar", "pddl_problem"):
            if not isinstance(game.get(part), str):
                msg = f"A game has no {part!r}; it has {sorted(game)}."
                raise ConfigurationError(
                    msg, remedy="Give the content of a game.tw-pddl file."
                )
        problem = parse_problem(game["pddl_problem"])
        facts = problem.facts
        by: defaultdict[str, list[tuple[str, ...]]] = defaultdict(list)
        for fact in facts:
            by[fact[0]].append(fact[1:])
        self._fixed = frozenset(fact for fact in facts if fact[0] not in CHANGING)
        self.names = name_things(facts)
        self.place = {terms[0]: terms[1] for terms in by["receptacleatlocation"]}
        self.receptacles = tuple(sorted(self.place))
        here: defaultdict[str, list[str]] = defaultdict(list)
        for receptacle in self.receptacles:
            here[self.place[receptacle]].append(receptacle)
        self.here = {place: tuple(found) for place, found in here.items()}
        kinds = by["objecttype"] + by["receptacletype"]
        self.kind = {terms[0]: terms[1] for terms in kinds}
        self.fits = frozenset((pair[0], pair[1]) for pair in by["cancontain"])
        self.able = {
            ability: frozenset(terms[0] for terms in by[ability])
            for ability in (
                "pickupable",
                "openable",
                "cleanable",
                "heatable",
                "coolable",
                "toggleable",
                "sliceable",
                "isreceptacleobject",
            )
        }
        self.inner = _grouped((outer, x) for x, outer in by["inreceptacleobject"])
        self.tools = tools(game["pddl_domain"])
        self.wording = read_wording(game["grammar"], game["pddl_domain"])
        self.goal: Goal = compile_goal(problem.goal, problem.types, facts, CHANGING)
        self.agent, location = by["atlocation"][0]
        flags = {
            field: frozenset(terms[0] for terms in by[predicate])
            for predicate, field in _FLAGS.items()
        }
        self.start = State(
            location=location,
            held=by["holds"][0][1] if by["holds"] else None,
            contents=_grouped((r, o) for o, r in by["inreceptacle"]),
            located=_grouped((place, o) for o, place in by["objectatlocation"]),
            taken=frozenset(),
            **flags,
        )
        # `go to` depends on the location alone, and is most of a list of actions.
        self.travel = {
            place: tuple(
                (f"go to {self.names[r]}", r)
                for r in self.receptacles
                if self.place[r] != place
            )
            for place in {location, *self.place.values()}
        }

    def is_open(self, state: State, receptacle: str) -> bool:
        """Whether a receptacle is open or has no door."""
        return receptacle not in self.able["openable"] or receptacle in state.opened

    def won(self, state: State) -> bool:
        """Whether the goal holds."""
        return self.goal.satisfied(
            lambda predicate, terms: self._holds(state, predicate, terms)
        )

    def _holds(self, state: State, predicate: str, terms: tuple[str, ...]) -> bool:
        if predicate in _FLAGS:
            return terms[0] in getattr(state, _FLAGS[predicate])
        if predicate in _GROUPS:
            return terms[0] in getattr(state, _GROUPS[predicate]).get(terms[1], ())
        if predicate in _SINGLE:
            return bool(getattr(state, _SINGLE[predicate]) == terms[1])
        if predicate == "holdsany":
            return state.held is not None
        return (predicate, *terms) in self._fixed


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for key, item in sorted(set(pairs)):
        groups[key].append(item)
    return {key: tuple(items) for key, items in groups.items()}


def name_things(facts: Iterable[Fact]) -> dict[str, str]:
    """Name ids by class and number, the numbers counting down along the sorted ids.

    Args:
        facts: The facts of a problem, in which every id that has a name occurs.

    Returns:
        The name of each id. Ids without a position, such as types, get no number, and a
        name that ends in a blank.
    """
    ids = sorted({term for fact in facts for term in fact[1:]})
    numbered = [(id_, _class(id_)) for id_ in ids if "_bar_" in id_]
    left = Counter(class_ for _, class_ in numbered)
    names = {id_: f"{id_} " for id_ in ids}
    for id_, class_ in numbered:
        names[id_] = f"{class_} {left[class_]}"
        left[class_] -= 1
    return names


def _class(id_: str) -> str:
    return id_.partition("_bar_")[0] + ("basin" if "basin" in id_ else "")
