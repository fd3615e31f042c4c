"""A tool's functions as LangChain tools, for an agent or a graph of one's own."""

from __future__ import annotations

from functools import partial
from typing import Any

from langchain_core.tools import BaseTool, StructuredTool

from langchain_agentrm.types import TaskRef
from langchain_agentrm_tools._kit import Kit
from langchain_agentrm_tools.factory import open_task
from langchain_agentrm_tools.settings import Settings

__all__ = ["langchain_tools"]


def langchain_tools(task: TaskRef, settings: Settings | None = None) -> list[BaseTool]:
    """Make the tools of a task, over a state that belongs to these tools alone.

    Those that change nothing are marked as reversible. To-do lists and sheets have one
    state that all branches would share: a search over them uses the environment, which
    forks it.

    Args:
        task: The task.
        settings: Where AgentBoard's data is.

    Returns:
        One tool for each function, in order.

    Raises:
        UnknownTaskError: If the task does not exist.
    """
    kit = open_task(settings or Settings(), task)[1]
    return [
        StructuredTool(
            name=function.name,
            description=function.about,
            args_schema=function.schema,
            func=partial(_answer, kit, function.name),
            metadata={"reversible": kit.tool not in {"todo", "sheet"}},
        )
        for function in kit.functions
    ]


def _answer(kit: Kit, function: str, **arguments: Any) -> str:
    return kit.call(function, arguments).text
