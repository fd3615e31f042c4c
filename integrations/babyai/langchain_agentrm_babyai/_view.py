"""What the agent sees and what it can reach, on plain lists.

MiniGrid computes both with NumPy objects, cell by cell, on every low-level move. The
text needs them once per action, so they are computed here from the grid's cell list; a
test holds them to MiniGrid's own answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

__all__ = ["VECTORS", "Reach", "Sight", "lit", "look"]

VECTORS = ((1, 0), (0, 1), (-1, 0), (0, -1))
"""Steps of the four directions, in MiniGrid's order."""

LEFT, RIGHT, FORWARD = 0, 1, 2


class Sight(NamedTuple):
    """One visible object.

    Attributes:
        name: Its colour, kind and number in this view, such as `"red ball 1"`.
        ahead: Cells in front of the agent.
        right: Cells to its right; negative to its left.
        thing: MiniGrid's object.
        cell: Its index in the grid's cell list.
    """

    name: str
    ahead: int
    right: int
    thing: Any
    cell: int


def lit(
    cells: Sequence[Any],
    width: int,
    agent: tuple[int, int, int],
    view: int,
) -> list[tuple[int, int, int, Any]]:
    """List the cells that the agent sees, row by row from its own.

    Args:
        cells: The grid's cells, row by row.
        width: Cells in a row.
        agent: Column, row and direction.
        view: Side of the square that the agent sees.

    Returns:
        For each cell how far ahead and to the right it is, its index, and what is in
        it, or None.
    """
    ax, ay, direction = agent
    height = len(cells) // width
    dx, dy = VECTORS[direction]
    half = view // 2
    found = []
    # Light spreads from the agent's cell row by row, away from it: sideways within a
    # row, and from each lit, transparent cell to the three cells ahead of it.
    lights = [False] * view
    lights[half] = True
    for ahead in range(view):
        x0, y0 = ax + ahead * dx, ay + ahead * dy
        clear = [False] * view
        things: list[Any] = [None] * view
        for i in range(view):
            right = i - half
            x, y = x0 - right * dy, y0 + right * dx
            if 0 <= x < width and 0 <= y < height:
                thing = cells[y * width + x]
                things[i] = thing
                clear[i] = thing is None or thing.see_behind()
        beyond = [False] * view
        for i in range(view - 1):
            if lights[i] and clear[i]:
                lights[i + 1] = beyond[i + 1] = beyond[i] = True
        for i in range(view - 1, 0, -1):
            if lights[i] and clear[i]:
                lights[i - 1] = beyond[i - 1] = beyond[i] = True
        for i, thing in enumerate(things):
            if lights[i]:
                right = i - half
                cell = (y0 + right * dx) * width + x0 - right * dy
                found.append((ahead, right, cell, thing))
        lights = beyond
    return found


def look(
    cells: Sequence[Any],
    width: int,
    agent: tuple[int, int, int],
    view: int,
) -> tuple[Sight, ...]:
    """List what the agent sees, nearest first, then from left to right.

    Args:
        cells: The grid's cells, row by row.
        width: Cells in a row.
        agent: Column, row and direction.
        view: Side of the square that the agent sees.

    Returns:
        The visible objects, walls left out.
    """
    found = [
        (ahead + abs(right), right, ahead, cell, thing)
        for ahead, right, cell, thing in lit(cells, width, agent, view)
        if thing is not None and thing.type != "wall"
    ]
    found.sort(key=lambda item: item[:2])
    numbers: dict[str, int] = {}
    out = []
    for _, right, ahead, cell, thing in found:
        kind = f"{thing.color} {thing.type}"
        numbers[kind] = numbers.get(kind, 0) + 1
        out.append(Sight(f"{kind} {numbers[kind]}", ahead, right, thing, cell))
    return tuple(out)


class Reach:
    """Shortest ways to face any cell: one breadth-first search for all targets.

    Args:
        cells: The grid's cells, row by row.
        width: Cells in a row.
        agent: Column, row and direction.
    """

    __slots__ = ("_came", "_facing")

    def __init__(
        self, cells: Sequence[Any], width: int, agent: tuple[int, int, int]
    ) -> None:
        ax, ay, direction = agent
        start = (ay * width + ax) * 4 + direction
        offsets = tuple(dx + dy * width for dx, dy in VECTORS)
        came: dict[int, tuple[int, int] | None] = {start: None}
        facing: dict[int, int] = {}
        queue = deque([start])
        # A room's outer wall stops every way before the edge, so that indices need no
        # bounds check.
        while queue:
            here = queue.popleft()
            cell, direction = here >> 2, here & 3
            front = cell + offsets[direction]
            if front not in facing:
                facing[front] = here
            turned = (cell << 2) | ((direction - 1) & 3)
            if turned not in came:
                came[turned] = (here, LEFT)
                queue.append(turned)
            turned = (cell << 2) | ((direction + 1) & 3)
            if turned not in came:
                came[turned] = (here, RIGHT)
                queue.append(turned)
            moved = (front << 2) | direction
            if moved not in came:
                thing = cells[front]
                if thing is None or thing.can_overlap():
                    came[moved] = (here, FORWARD)
                    queue.append(moved)
        self._came = came
        self._facing = facing

    def __contains__(self, cell: int) -> bool:
        return cell in self._facing

    def path(self, cell: int) -> list[int] | None:
        """List the moves after which the agent faces `cell`; None without a way."""
        here = self._facing.get(cell)
        if here is None:
            return None
        moves = []
        while (step := self._came[here]) is not None:
            here, move = step
            moves.append(move)
        return moves[::-1]
