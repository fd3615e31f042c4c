"""AgentBoard's view: its sentences, its macros and their ways, from what is in sight.

A way is searched as AgentBoard searches it, over the square in view, where unseen cells
count as free and doors do not block; so a macro may stop on its way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from langchain_agentrm_babyai._view import VECTORS, lit

__all__ = ["CHECK", "Macros", "Seen", "describe", "image", "macros", "see"]

CHECK = "check available actions"

Cell = tuple[int, int]
State = tuple[int, int, int]
Lit = Sequence[tuple[int, int, int, Any]]

_KINDS = ("door", "key", "ball", "box", "goal", "lava")
_BLOCKING = ("wall", "box", "lava", "ball", "key")
_PICK_UP, _DROP, _TOGGLE = 3, 4, 5


class Seen(NamedTuple):
    """One object in view.

    Attributes:
        name: Colour, for doors their state, and kind: `"red closed door"`.
        kind: Its kind.
        color: Its colour.
        ahead: Cells in front of the agent.
        right: Cells to its right; negative to its left.
        place: Column and row.
    """

    name: str
    kind: str
    color: str
    ahead: int
    right: int
    place: Cell


class Macros(NamedTuple):
    """What can be done.

    Attributes:
        moves: Low-level moves by action, in AgentBoard's order.
        problems: Answers to actions that cannot be taken.
    """

    moves: dict[str, list[int]]
    problems: dict[str, str]


def image(cells: Lit, carrying: Any) -> tuple[Any, ...]:
    """What a low-level move must change for a macro to go on."""
    out: list[Any] = []
    for ahead, right, _, thing in cells:
        shown = carrying if ahead == right == 0 else thing
        out.append((ahead, right, None if shown is None else shown.encode()))
    return tuple(out)


def see(
    grid: Sequence[Any], width: int, agent: tuple[int, int, int], view: int
) -> tuple[Lit, tuple[Seen, ...], tuple[Seen, ...]]:
    """Look: the lit cells, the objects in AgentBoard's order, and the walls.

    Objects come nearest first; at one distance the far row first, then from the left.
    """
    cells = lit(grid, width, agent, view)
    objects, walls = [], []
    for ahead, right, cell, thing in cells:
        if thing is None or ahead == right == 0:
            continue
        name = f"{thing.color} {thing.type}"
        if thing.type == "door":
            state = (
                "open" if thing.is_open else "locked" if thing.is_locked else "closed"
            )
            name = f"{thing.color} {state} door"
        place = (cell % width, cell // width)
        seen = Seen(name, thing.type, thing.color, ahead, right, place)
        if thing.type == "wall":
            walls.append(seen)
        elif thing.type in _KINDS:
            objects.append(seen)
    objects.sort(key=lambda s: (s.ahead + abs(s.right), -s.ahead, s.right))
    return cells, tuple(objects), tuple(walls)


def describe(objects: Sequence[Seen], walls: Sequence[Seen], carrying: Any) -> str:
    """Write what is in sight in AgentBoard's sentences, blanks included."""
    text = "You cannot see any objects within sight."
    if objects or walls:
        text = "In front of you in this room, you can see several objects: "
        for name, seen in _numbered(objects):
            where = f"right in front of you {seen.ahead} steps away. "
            if seen.right:
                side = "right" if seen.right > 0 else "left"
                where = (
                    f"{seen.ahead} steps in front of you and {abs(seen.right)} steps "
                    f"to your {side}. "
                )
            text += f"There is a {name} {where} "
    text += "The room has walls around you. "
    barrier = _barrier(objects, walls)
    if barrier is not None:
        text += f"You are facing a {barrier.kind} {barrier.ahead} steps away. "
    if carrying is None:
        return text + "You are not carrying anything."
    return f"{text}You are carrying a {carrying.color} {carrying.type}."


def macros(
    objects: Sequence[Seen],
    walls: Sequence[Seen],
    agent: tuple[int, int, int],
    view: int,
    carrying: Any,
) -> Macros:
    """Name the actions that can be taken, and why others cannot."""
    out = Macros({"turn left": [0], "turn right": [1]}, {})
    ways = _Ways(objects, walls, agent, view)
    barrier = _barrier(objects, walls)
    if barrier is None or barrier.ahead > 1:
        out.moves["move forward"] = [2]
    else:
        out.problems["move forward"] = (
            "There is a barrier in front of you, you can't move forward."
        )
    if carrying is None:
        things = [s for s in objects if s.kind not in {"door", "goal"}]
        _reached(out, "pickup", things, ways.facing, [_PICK_UP])
        out.problems["drop"] = (
            "You cannot drop the object, as you are not carrying anything."
        )
    elif any(
        s.ahead == 1 and s.right == 0 and s.kind in _BLOCKING
        for s in (*objects, *walls)
    ):
        out.problems["drop"] = (
            "You cannot drop the object, as there is already an object in front of you."
        )
    else:
        out.moves["drop"] = [_DROP]
    _doors(out, objects, ways, carrying)
    for goal in (s for s in objects if s.kind == "goal"):
        way = ways.onto(goal.place)
        if way is None:
            out.problems["go to goal"] = (
                "You cannot go to the goal, as there is no path leading to it."
            )
        else:
            out.moves["go to goal"] = way
    things = [s for s in objects if s.kind != "goal"]
    _reached(out, "go to", things, ways.facing, [])
    out.moves[CHECK] = []
    return out


def _numbered(objects: Iterable[Seen]) -> list[tuple[str, Seen]]:
    counts: dict[str, int] = {}
    out = []
    for seen in objects:
        counts[seen.name] = counts.get(seen.name, 0) + 1
        out.append((f"{seen.name} {counts[seen.name]}", seen))
    return out


def _barrier(objects: Sequence[Seen], walls: Sequence[Seen]) -> Seen | None:
    ahead = [
        s for s in (*objects, *walls) if s.right == 0 and s.kind in {"wall", "box"}
    ]
    return min(ahead, key=lambda s: s.ahead, default=None)


def _reached(
    out: Macros,
    verb: str,
    things: Iterable[Seen],
    way_to: Callable[[Cell], list[int] | None],
    then: list[int],
) -> None:
    """Add one action for each object with a way; only those count for the numbers."""
    counts: dict[str, int] = {}
    for seen in things:
        way = way_to(seen.place)
        action = f"{verb} {seen.name} {counts.get(seen.name, 0) + 1}"
        if way is None:
            out.problems[action] = (
                f"You cannot {action}, as there is no path leading to it."
            )
        else:
            counts[seen.name] = counts.get(seen.name, 0) + 1
            out.moves[action] = way + then


def _doors(out: Macros, objects: Sequence[Seen], ways: _Ways, carrying: Any) -> None:
    counts: dict[str, int] = {}
    for seen in (s for s in objects if s.kind == "door"):
        counts[seen.name] = counts.get(seen.name, 0) + 1
        name = f"{seen.name} {counts[seen.name]}"
        through, toggle = f"go through {name}", f"toggle and go through {name}"
        if " open " in seen.name:
            way = ways.onto(seen.place)
            if way is None:
                out.problems[through] = (
                    f"You cannot {through}, as there is no path leading to it."
                )
            else:
                out.moves[through] = way
            continue
        if " locked " in seen.name:
            problem = _no_key(seen, carrying)
            if problem:
                out.problems[toggle] = f"You cannot {toggle}, as {problem}"
                continue
        way = ways.facing(seen.place)
        if way is None:
            # AgentBoard writes its table of counts where the number should be.
            out.problems[toggle] = (
                f"You cannot toggle and go through {seen.name} {counts}, as there is "
                "no path leading to it."
            )
        else:
            out.moves[toggle] = [*way, _TOGGLE, 2]
        if way == []:
            out.moves["toggle"] = [_TOGGLE]
        if " closed " in seen.name:
            out.problems[through] = (
                f"You cannot {through}, as it is closed. You should toggle it first."
            )


def _no_key(door: Seen, carrying: Any) -> str:
    if carrying is None or carrying.type != "key":
        return "you are not carrying a key."
    if carrying.color != door.color:
        return "the color of the key you are carrying does not match the color of door."
    return ""


class _Ways:
    """Breadth-first search over the view; ties are broken as AgentBoard breaks them.

    There a state that is found again before it was visited takes its new parent, and is
    visited again, so that the last parent of all counts, while the first visit decides
    which of several ends is taken. Both orders are kept here, level by level.
    """

    def __init__(
        self,
        objects: Sequence[Seen],
        walls: Sequence[Seen],
        agent: tuple[int, int, int],
        view: int,
    ) -> None:
        blocked = {s.place for s in (*objects, *walls) if s.kind in _BLOCKING}
        columns, rows = _square(agent, view)
        start = agent
        self._came: dict[State, tuple[State, int]] = {}
        self._facing: dict[Cell, State] = {}
        self._onto: dict[Cell, State] = {}
        visited: set[State] = set()
        first, last = [start], [start]
        while first:
            for x, y, d in first:
                dx, dy = VECTORS[d]
                self._facing.setdefault((x + dx, y + dy), (x, y, d))
                self._onto.setdefault((x, y), (x, y, d))
            visited.update(first)
            nexts: dict[State, None] = {}
            for state in first:
                for after, _ in _after(state, blocked, columns, rows):
                    if after not in visited:
                        nexts.setdefault(after)
            lasts: dict[State, None] = {}
            for state in last:
                for after, move in _after(state, blocked, columns, rows):
                    if after not in visited:
                        lasts.pop(after, None)
                        lasts[after] = None
                        self._came[after] = (state, move)
            first, last = list(nexts), list(lasts)

    def facing(self, place: Cell) -> list[int] | None:
        """Moves after which the agent faces a cell; None without a way."""
        return self._way(self._facing.get(place))

    def onto(self, place: Cell) -> list[int] | None:
        """Moves after which the agent stands in a cell; None without a way."""
        return self._way(self._onto.get(place))

    def _way(self, state: State | None) -> list[int] | None:
        if state is None:
            return None
        moves = []
        while state in self._came:
            state, move = self._came[state]
            moves.append(move)
        return moves[::-1]


def _after(
    state: State, blocked: set[Cell], columns: range, rows: range
) -> Iterable[tuple[State, int]]:
    x, y, d = state
    dx, dy = VECTORS[d]
    ahead = (x + dx, y + dy)
    if ahead not in blocked and ahead[0] in columns and ahead[1] in rows:
        yield (*ahead, d), 2
    if x in columns and y in rows:
        yield (x, y, (d - 1) % 4), 0
        yield (x, y, (d + 1) % 4), 1


def _square(agent: tuple[int, int, int], view: int) -> tuple[range, range]:
    """Columns and rows of the view.

    Along an axis on which the corner far left lies beyond the other, AgentBoard counts
    one cell too many: behind the agent, or to its right.
    """
    x, y, d = agent
    (fx, fy), (rx, ry) = VECTORS[d], VECTORS[(d + 1) % 4]
    out = []
    for at, f, r in ((x, fx, rx), (y, fy, ry)):
        corner = at + f * (view - 1) - r * (view // 2)
        other = corner + view * (r - f)
        out.append(range(other, corner + 1) if other < corner else range(corner, other))
    return out[0], out[1]
