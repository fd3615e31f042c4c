"""Opening a search and telling the stream: what every search node shares."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.config import get_stream_writer

from langchain_agentrm.search import root_id
from langchain_agentrm.state import SearchInfo, Totals
from langchain_agentrm.types import TaskRef

__all__ = ["emit", "open_search", "search_id"]


def search_id(config: RunnableConfig, root: str) -> str:
    """Tell this search from all others: by thread, namespace and root, or by chance.

    It keys live branches only. Node ids and seeds derive from the root, so that the
    same task and seed give the same tree on any thread, or on none.

    Args:
        config: The node's config.
        root: Id of the tree's root.

    Returns:
        16 hexadecimal digits.
    """
    spot = config.get("configurable") or {}
    thread = spot.get("thread_id")
    if thread is None:
        return uuid.uuid4().hex[:16]
    return root_id(str(thread), str(spot.get("checkpoint_ns", "")).split(":")[0], root)


def open_search(
    config: RunnableConfig,
    root: str,
    task: TaskRef | None,
    goal: str,
    instruction: str = "",
    observation: str = "",
    *,
    ident: str | None = None,
    digest: str = "",
    step_limit: int = 10**9,
    examples: Sequence[Mapping[str, str]] = (),
    tools: Sequence[Mapping[str, Any]] = (),
) -> SearchInfo:
    """Open a search and announce it.

    Args:
        config: The node's config.
        root: Id of the tree's root.
        task: The task, where there is one.
        goal: Goal text.
        instruction: Instruction text.
        observation: First observation.
        ident: Search id, where it was made before the task was reset.
        digest: Its digest.
        step_limit: The environment's own limit.
        examples: Turns of a worked example, for the policy alone.
        tools: Tools offered, as JSON schemas.

    Returns:
        The search, before its first step.
    """
    ident = ident or search_id(config, root)
    info = SearchInfo(
        id=ident,
        root=root,
        task=task,
        goal=goal,
        instruction=instruction,
        observation=observation,
        digest=digest,
        step=0,
        step_limit=step_limit,
        started=time.time(),
        totals=Totals(requests=0, policy_tokens=0, reward_tokens=0),
        fallbacks=[],
    )
    if examples:
        info["examples"] = [dict(turn) for turn in examples]
    if tools:
        info["tools"] = [dict(tool) for tool in tools]
    emit(
        {
            "event": "agentrm.start",
            "search": ident,
            "root": root,
            "goal": goal,
            "observation": observation,
            "task": task,
        }
    )
    return info


def emit(event: Mapping[str, Any]) -> None:
    """Write an event to the custom stream, if there is one."""
    try:
        get_stream_writer()(event)
    except (RuntimeError, KeyError):
        return  # invoked outside a graph: nobody listens
