"""Tool tasks of AgentBoard's kind as an environment for `langchain-agentrm`.

Weather, films, papers, to-do lists and sheets over local data; no keys, no network.
"""

from __future__ import annotations

from langchain_agentrm_tools.environment import ToolTasks
from langchain_agentrm_tools.factory import ToolTasksFactory, factory
from langchain_agentrm_tools.settings import Settings

__all__ = ["Settings", "ToolTasks", "ToolTasksFactory", "factory"]
