"""How a search ends: the winner, its messages, and the state that it clears."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import BaseMessage

from langchain_agentrm._nodes import finished_entry, search_result
from langchain_agentrm._session import emit
from langchain_agentrm.search import node_id, rank
from langchain_agentrm.search.options import TieBreak
from langchain_agentrm.state import (
    Node,
    SearchInfo,
    first_messages,
    node_messages,
    path_to,
)

__all__ = ["best_beam", "ending"]


def best_beam(
    nodes: Mapping[str, Node],
    beams: Sequence[str],
    *,
    resolution: float,
    tie_break: TieBreak,
) -> str | None:
    """Choose the winner: the best finished beam, else an open one, else any.

    Args:
        nodes: The search tree.
        beams: Ids of the last nodes of the beams kept.
        resolution: Score differences below it are ties.
        tie_break: What decides ties.

    Returns:
        The id of the winner's last node; None if nothing was kept.
    """
    for status in ("finished", "open", "invalid"):
        some = [nodes[b] for b in beams if b in nodes and nodes[b]["status"] == status]
        scored = [finished_entry(n) for n in some if n["score"] is not None]
        if scored:
            return rank(scored, resolution=resolution, tie_break=tie_break)[0].id
        if some:
            return some[0]["id"]
    return None


def ending(
    info: SearchInfo,
    nodes: Mapping[str, Node],
    best: str | None,
    ended: str,
    *,
    alone: bool,
    earlier: int,
) -> dict[str, Any]:
    """Announce the end and make the update that closes the search.

    Args:
        info: The search.
        nodes: Its tree.
        best: Id of the winner's last node.
        ended: What ended it.
        alone: Whether the search opens the conversation, instead of answering one.
        earlier: Messages that the thread had before it.

    Returns:
        The update: winner in `messages`, `result`, and the search's channels cleared.
    """
    path = path_to(nodes, best) if best else []
    result = search_result(info, path, ended)

    def own(ident: str) -> str:
        # The same task again on one thread has the same node ids, and a message with a
        # known id would replace the first answer instead of following it.
        return node_id(str(earlier), ident) if alone and earlier else ident

    messages: list[BaseMessage] = []
    if alone:
        messages = first_messages(SearchInfo(**{**info, "root": own(info["root"])}))
    for node in path:
        # An answer to the user ends the talk: nothing was observed after it.
        answered = bool(node["observation"] or node["tool_calls"])
        renamed = Node(**{**node, "id": own(node["id"])})
        messages += node_messages(renamed, answered=answered)
    emit(
        {
            "event": "agentrm.end",
            "search": info["id"],
            "best": result["node"],
            "ended": ended,
            "steps": info["step"],
            "result": dict(result),
        }
    )
    return {
        "search": None,
        "beams": [],
        "nodes": dict.fromkeys(nodes),
        "messages": messages,
        "result": result,
    }
