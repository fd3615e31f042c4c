"""What a policy is told: in our words, or from AgentRM's published prompt folder."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

from langchain_agentrm.errors import ConfigurationError

__all__ = ["INSTRUCTION", "read_instruction"]

INSTRUCTION = """\
You walk through a maze to its goal, in as few moves as you can.
A position is a row and a column: the row grows downwards, the column to the right.
Each observation gives the goal's position, yours, and the walls beside you.
Answer with one action each time, on a line that begins with "Action:":
move up, move down - to the row before or after
move left, move right - to the column before or after
Into a wall you do not move, but the attempt counts."""


@lru_cache(maxsize=8)
def read_instruction(folder: str) -> str:
    """Read the maze's instruction and first example from AgentRM's prompt folder.

    It has no licence, so nothing of it is part of this package.

    Args:
        folder: The folder (`eval_agent/prompt`) with `instructions` and `icl_examples`.

    Returns:
        The instruction and, where there is one, an example, parted by a blank line.

    Raises:
        ConfigurationError: If the instruction is missing or the example no JSON.
    """
    path = Path(folder) / "instructions" / "maze_inst.txt"
    examples = Path(folder) / "icl_examples" / "maze_icl.json"
    if not path.is_file():
        msg = f"Prompt folder {folder!r} has no instructions/{path.name}."
        raise ConfigurationError(msg, remedy="Name AgentRM's eval_agent/prompt folder.")
    parts = [path.read_text(encoding="utf-8").strip()]
    if examples.is_file():
        try:
            first = json.loads(examples.read_text(encoding="utf-8"))[0]
            parts.append("\n\n".join(turn["content"] for turn in first))
        except (ValueError, LookupError, TypeError) as error:
            msg = f"{examples} holds no list of examples: {error!r}."
            raise ConfigurationError(msg, remedy="Fetch the folder again.") from error
    return "\n\n".join(parts)
