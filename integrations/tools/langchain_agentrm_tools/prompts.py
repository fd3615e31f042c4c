"""The instruction: in our own words, or AgentRM's published prompts from a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm_tools._kit import Function

__all__ = ["Prompts", "instruction", "load_prompts"]

_REWARD = {
    "weather": "tool_query",
    "movie": "tool_query",
    "academia": "tool_query",
    "todo": "tool_operation",
    "sheet": "tool_operation",
}
_FOLDER = "Give AgentRM's eval_agent/prompt folder."
_WHAT = {
    "weather": "You answer questions about the weather.",
    "movie": "You answer questions about films and the people who made them.",
    "academia": (
        "You answer questions about papers and their authors. They stand in two "
        "graphs, and each must be loaded before it is used."
    ),
    "todo": "You look after somebody's projects and tasks.",
    "sheet": "You change a sheet: a table whose cells are named A1, B1, A2 and so on.",
}


def instruction(
    tool: str, functions: Sequence[Function], style: str, limit: int
) -> str:
    """Write role, rules and action grammar.

    Args:
        tool: The tool.
        functions: What can be called.
        style: `"text"` or `"calls"`.
        limit: Actions at most.

    Returns:
        The instruction, in our own words.
    """
    rules = (
        f"{_WHAT[tool]} Work with the functions, one call at a time, and read what "
        f"each answers; make nothing up. You have {limit} calls. Call finish when "
        "you are done: it ends the task."
    )
    if style == "calls":
        return rules
    listed = "\n".join(
        f"{f.name}({', '.join(_argument(p) for p in f.parameters)}) - {f.about}"
        for f in functions
    )
    return (
        f"{rules}\nAnswer with one line each time, perhaps after a line of thought:\n"
        'Action: NAME with Action Input: {"ARGUMENT": VALUE, ...}\n'
        f"The functions (what stands in brackets may be left out):\n{listed}"
    )


def _argument(parameter: Any) -> str:
    kind = parameter.schema.get("type", "any")
    word = " or ".join(kind) if isinstance(kind, list) else kind
    text = f"{parameter.name}: {word}, {parameter.about}"
    return text if parameter.required else f"[{text}]"


class Prompts:
    """AgentRM's published prompts of one tool, taken by path.

    They have no licence, so nothing of them is part of this package.

    Args:
        folder: The folder, with `instructions`, `icl_examples` and `prm_instruction`.
        tool: The tool.

    Raises:
        ConfigurationError: If the folder lacks a file.
    """

    def __init__(self, folder: Path, tool: str) -> None:
        text = _read(folder / f"instructions/{tool}_inst.txt")
        # The published file has line ends written as two characters.
        self.instruction = text.replace("\\n", "\n").strip()
        self._examples = folder / f"icl_examples/{tool}_icl.json"
        self._reward = folder / f"prm_instruction/{_REWARD[tool]}_wo_turninfo.txt"

    def examples(self) -> list[Mapping[str, str]]:
        """Turns of the first example, as `{role, content}`.

        Raises:
            ConfigurationError: If the folder has none.
        """
        try:
            found: Any = json.loads(_read(self._examples))
        except ValueError as error:
            msg = f"{self._examples} is no JSON file of examples: {error}."
            raise ConfigurationError(msg, remedy=_FOLDER) from error
        if not isinstance(found, list) or not found:
            msg = f"{self._examples} holds no examples."
            raise ConfigurationError(msg, remedy=_FOLDER)
        return list(found[0])

    def reward_instruction(self, goal: str) -> str:
        """The reward model's instruction for a goal.

        Raises:
            ConfigurationError: If the folder has none.
        """
        return _read(self._reward).replace("\\n", "\n").replace("{task_goal}", goal)


@lru_cache(maxsize=8)
def load_prompts(folder: str, tool: str) -> Prompts:
    """Load prompts; the last eight are kept.

    Raises:
        ConfigurationError: If the folder lacks a file.
    """
    return Prompts(Path(folder), tool)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"A prompt is missing or no text: {path} ({error})."
        raise ConfigurationError(msg, remedy=_FOLDER) from error
