"""The official grid, and grids carved from a seed."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from langchain_agentrm.errors import UnknownTaskError

__all__ = [
    "ALL",
    "DEV",
    "HELD_IN",
    "HELD_OUT",
    "MOVES",
    "OFFICIAL",
    "Cell",
    "Maze",
    "open_maze",
    "starts",
]

Cell = tuple[int, int]
"""Row and column, from 0 at the top left."""

MOVES: Mapping[str, Cell] = {
    "move up": (-1, 0),
    "move down": (1, 0),
    "move left": (0, -1),
    "move right": (0, 1),
}
"""What each action adds to row and column."""

OFFICIAL = "double_t"
"""The one grid that LMRL-Gym's fixed tasks have."""

# Rows and columns of carved grids; both odd, since cells and walls take turns.
_SIZES: Mapping[str, Cell] = {
    "5x9": (5, 9),
    "7x7": (7, 7),
    "7x11": (7, 11),
    "9x9": (9, 9),
    "7x9": (7, 9),
    "9x13": (9, 13),
    "11x11": (11, 11),
}

HELD_IN: tuple[str, ...] = ("5x9", "7x7", "7x11", "9x9")
"""Sizes that demonstrations and reward-model training may use."""

HELD_OUT: tuple[str, ...] = (OFFICIAL, "9x13", "11x11")
"""The official grid and sizes that only a test may use."""

DEV: tuple[str, ...] = ("7x9",)
"""Sizes for choosing a checkpoint: neither trained on nor tested on."""

ALL: tuple[str, ...] = HELD_IN + HELD_OUT + DEV

_NEAREST, _FARTHEST = 4, 36
# Open cells of the official grid, in the order in which AgentGym numbers the starts.
_ROWS = (
    "#############",
    "#.....#.....#",
    "###.#####.###",
    "###.#####.###",
    "###.#####.###",
    "###.......###",
    "######.######",
    "######.######",
    "######.######",
    "#############",
)
_GOAL = (8, 6)
_ORDER: tuple[Cell, ...] = (
    *((1, column) for column in (1, 2, 3, 4, 5, 7, 8, 9, 10, 11)),
    *((row, 3) for row in (2, 3, 4, 5)),
    *((5, column) for column in (4, 5, 6)),
    *((row, 6) for row in (6, 7)),
    *((5, column) for column in (7, 8, 9)),
    *((row, 9) for row in (4, 3, 2)),
)


class Maze(NamedTuple):
    """A grid with a start and a goal.

    Attributes:
        open: The cells that are no wall.
        start: Where the walk begins.
        goal: Where it should end.
        steps: Least moves from each cell to the goal.
    """

    open: frozenset[Cell]
    start: Cell
    goal: Cell
    steps: Mapping[Cell, int]

    def towards(self, cell: Cell) -> str | None:
        """Name a move that comes nearer to the goal; None at the goal."""
        for move, (down, right) in MOVES.items():
            there = (cell[0] + down, cell[1] + right)
            if self.steps.get(there, self.steps[cell]) < self.steps[cell]:
                return move
        return None


def starts() -> int:
    """How many tasks the official grid has: one for each cell but the goal."""
    return len(_ORDER)


@lru_cache(maxsize=256)
def open_maze(type_: str, seed: int) -> Maze:
    """Make the maze of a task; the last 256 are kept.

    Args:
        type_: `"double_t"`, or a size such as `"7x9"`.
        seed: Number of the start on the official grid, else the seed of the grid.

    Returns:
        The maze, the same on every machine.

    Raises:
        UnknownTaskError: If there is no such type, or no such start.
    """
    if type_ == OFFICIAL:
        if seed >= starts():
            msg = f"The grid {OFFICIAL!r} has no start number {seed}."
            raise UnknownTaskError(msg, remedy=f"Use 0 to {starts() - 1}.")
        found = frozenset(
            (i, j) for i, row in enumerate(_ROWS) for j, x in enumerate(row) if x == "."
        )
        return Maze(found, _ORDER[seed], _GOAL, _distances(found, _GOAL))
    size = _SIZES.get(type_)
    if size is None:
        msg = f"There is no maze type {type_!r}."
        raise UnknownTaskError(msg, remedy=f"Choose one of {list(ALL)}.")
    rng = random.Random(f"maze:{type_}:{seed}")  # noqa: S311 - a game, not a secret
    while True:
        found = _carve(*size, rng)
        goal = rng.choice(sorted(found))
        steps = _distances(found, goal)
        far = sorted(c for c, n in steps.items() if _NEAREST <= n <= _FARTHEST)
        if far:
            return Maze(found, rng.choice(far), goal, steps)


def _carve(rows: int, columns: int, rng: random.Random) -> frozenset[Cell]:
    """Carve corridors depth first, so that each two cells have one way between them."""
    found = {(1, 1)}
    trail = [(1, 1)]
    while trail:
        row, column = trail[-1]
        ways = [
            (down, right)
            for down, right in MOVES.values()
            if 0 < row + 2 * down < rows - 1
            and 0 < column + 2 * right < columns - 1
            and (row + 2 * down, column + 2 * right) not in found
        ]
        if not ways:
            trail.pop()
            continue
        down, right = rng.choice(ways)
        found |= {
            (row + down, column + right),
            (row + 2 * down, column + 2 * right),
        }
        trail.append((row + 2 * down, column + 2 * right))
    return frozenset(found)


def _distances(found: frozenset[Cell], goal: Cell) -> Mapping[Cell, int]:
    steps = {goal: 0}
    queue = deque([goal])
    while queue:
        row, column = queue.popleft()
        for down, right in MOVES.values():
            there = (row + down, column + right)
            if there in found and there not in steps:
                steps[there] = steps[row, column] + 1
                queue.append(there)
    return steps
