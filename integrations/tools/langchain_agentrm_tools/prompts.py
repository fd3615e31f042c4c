"""What a policy is told, in our own words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_agentrm_tools._kit import Function

__all__ = ["instruction"]

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
