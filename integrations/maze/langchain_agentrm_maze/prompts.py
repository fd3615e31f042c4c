"""What a policy is told, in our own words."""

from __future__ import annotations

__all__ = ["INSTRUCTION"]

INSTRUCTION = """\
You walk through a maze to its goal, in as few moves as you can.
A position is a row and a column: the row grows downwards, the column to the right.
Each observation gives the goal's position, yours, and the walls beside you.
Answer with one action each time, on a line that begins with "Action:":
move up, move down - to the row before or after
move left, move right - to the column before or after
Into a wall you do not move, but the attempt counts."""
