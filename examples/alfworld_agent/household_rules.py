"""A reward model of rules for ALFWorld's tasks; it reads what an agent can read.

It follows a trajectory's text, keeps book of where things were seen and what was done
to them, supposes that the last action works, and says how far that is on the way.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise

from langchain_agentrm import Trajectory

__all__ = ["rate"]

STATIONS = {"clean": "sinkbasin", "heat": "microwave", "cool": "fridge"}
GOALS = [
    (
        "",
        2,
        r"(?:find|put) two (?P<what>\w+) (?:and put them )?(?:in|on)\W+(?P<where>\w+)",
    ),
    (
        "lamp",
        1,
        r"(?:look at|examine) (?:the )?(?P<what>\w+) (?:under|with) the (?P<where>\w+)",
    ),
    ("clean", 1, r"clean some (?P<what>\w+) and put it in (?P<where>\w+)"),
    ("heat", 1, r"heat some (?P<what>\w+) and put it in (?P<where>\w+)"),
    ("cool", 1, r"cool some (?P<what>\w+) and put it in (?P<where>\w+)"),
    ("clean", 1, r"put a clean (?P<what>\w+) in (?P<where>\w+)"),
    ("heat", 1, r"put a hot (?P<what>\w+) in (?P<where>\w+)"),
    ("cool", 1, r"put a cool (?P<what>\w+) in (?P<where>\w+)"),
    ("", 1, r"put (?:a|some) (?P<what>\w+) (?:in|on) (?P<where>\w+)"),
]
THING = re.compile(r"\b(\w+ \d+)")
WALK = re.compile(r"go to (\w+ \d+)")
OPEN = re.compile(r"open (\w+ \d+)")
TAKE = re.compile(r"take (\w+ \d+) from (\w+ \d+)")
PUT = re.compile(r"(?:move|put) (\w+ \d+) (?:to|in/on) (\w+ \d+)")
TREAT = re.compile(r"(clean|heat|cool) (\w+ \d+) with (\w+ \d+)")
USE = re.compile(r"use (\w+ \d+)")
REFUSED = "Nothing happens."


@dataclass
class Goal:
    """Take `count` of `what` to `where`, treated by `how`; or look at it by a lamp."""

    how: str
    count: int
    what: str
    where: str


@dataclass
class Belief:
    """What is known of the house."""

    places: set[str]
    here: str = ""
    held: str = ""
    inside: dict[str, set[str]] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    guessed: dict[str, float] = field(default_factory=dict)
    treated: set[tuple[str, str]] = field(default_factory=set)
    lit: bool = False


def rate(trajectories: list[Trajectory]) -> list[float]:
    """Score trajectories: about 0 at the start, 1 where the last action solves it."""
    return [_rate(t) for t in trajectories]


def _rate(trajectory: Trajectory) -> float:
    text = f"{trajectory.goal}\n{trajectory.turns[0].observation}"
    goal = read_goal(text)
    room = text.partition("you see")[2].partition("Possible actions")[0]
    belief = Belief(places=set(THING.findall(room)))
    turns = trajectory.turns
    for turn, after in pairwise(turns):
        learn(belief, _plain(turn.action), after.observation)
    did = suppose(belief, _plain(turns[-1].action))
    return value(belief, goal) - (0.0 if did else 0.01)


def _plain(action: str) -> str:
    return action.rpartition("Action:")[2].strip().partition("\n")[0]


def read_goal(text: str) -> Goal:
    """Read the goal off ALFWorld's sentences; unknown ones match nothing."""
    task = text.partition("Your task is to:")[2].partition("\n")[0].lower()
    for how, count, pattern in GOALS:
        if found := re.search(pattern, task):
            return Goal(how, count, found["what"], found["where"])
    return Goal("", 1, "", "")


def learn(belief: Belief, action: str, observation: str) -> None:
    """Take in an action that was answered."""
    seen = observation.partition("Possible actions")[0].strip()
    if seen == REFUSED:
        return
    suppose(belief, action)
    match = WALK.fullmatch(action) or OPEN.fullmatch(action)
    if match is None:
        return
    place = match[1]
    belief.guessed.pop(place, None)
    if "is closed" in seen:
        belief.closed.add(place)
    else:
        belief.closed.discard(place)
        belief.inside[place] = set(THING.findall(seen.partition("you see")[2]))


def suppose(belief: Belief, action: str) -> bool:
    """Carry out an action in mind; whether it would change anything that matters."""
    if match := WALK.fullmatch(action):
        belief.here = match[1]
        if match[1] not in belief.inside and match[1] not in belief.closed:
            belief.guessed[match[1]] = 0.5
    elif match := OPEN.fullmatch(action):
        if match[1] not in belief.inside:
            belief.guessed[match[1]] = 1.0
            belief.closed.discard(match[1])
    elif match := TAKE.fullmatch(action):
        belief.held = match[1]
        belief.inside.get(match[2], set()).discard(match[1])
    elif match := PUT.fullmatch(action):
        belief.inside.setdefault(match[2], set()).add(match[1])
        belief.held = ""
    elif match := TREAT.fullmatch(action):
        belief.treated.add((match[1], match[2]))
    elif match := USE.fullmatch(action):
        belief.lit = True
    else:
        return False
    return True


def value(belief: Belief, goal: Goal) -> float:
    """Tell how much of the goal is done: 1 for all of it."""
    placed = [
        thing
        for place, things in belief.inside.items()
        if _kind(place) == goal.where
        for thing in things
        if _kind(thing) == goal.what and _ready(belief, goal, thing)
    ]
    done = 0 if goal.how == "lamp" else min(len(placed), goal.count)
    if done == goal.count:
        return 1.0
    return (done + 0.99 * _next(belief, goal, set(placed))) / goal.count


def _next(belief: Belief, goal: Goal, placed: set[str]) -> float:
    """How far the next object is on its way, 0 to 1."""
    known = {
        thing: place
        for place, things in belief.inside.items()
        for thing in things
        if _kind(thing) == goal.what and thing not in placed
    }
    if goal.how == "lamp":
        return _under_lamp(belief, goal, known)
    if _kind(belief.held) == goal.what:
        if not _ready(belief, goal, belief.held):
            return 0.5 + 0.1 * (_kind(belief.here) == STATIONS[goal.how])
        at = _kind(belief.here) == goal.where
        return 0.75 + 0.1 * at + 0.1 * (at and belief.here not in belief.closed)
    if belief.held:
        return -0.05
    if known:
        return 0.3 + 0.1 * (belief.here in known.values())
    return 0.25 * _looked(belief)


def _under_lamp(belief: Belief, goal: Goal, known: dict[str, str]) -> float:
    lamps = {p for p, ts in belief.inside.items() if goal.where in map(_kind, ts)}
    if _kind(belief.held) == goal.what:
        if not lamps:
            return 0.4 + 0.2 * _looked(belief)
        at = belief.here in lamps
        return 0.7 + 0.1 * at + 0.2 * (at and belief.lit)
    if belief.held:
        return -0.05
    if known:
        return 0.3 + 0.05 * (belief.here in known.values())
    return 0.25 * _looked(belief)


def _looked(belief: Belief) -> float:
    """Share of the places that were looked into; those just gone to count by half."""
    seen = len(belief.inside) + sum(belief.guessed.values())
    seen += 0.4 * len(belief.closed) + 0.1 * (belief.here in belief.closed)
    return seen / max(1, len(belief.places))


def _ready(belief: Belief, goal: Goal, thing: str) -> bool:
    return not goal.how or (goal.how, thing) in belief.treated


def _kind(thing: str) -> str:
    return thing.partition(" ")[0]
