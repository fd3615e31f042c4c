"""From a stream of events to the tree that was searched."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Tree", "TreeNode", "build"]


@dataclass(slots=True)
class TreeNode:
    """A candidate, and what became of it."""

    id: str
    parent: str
    action: str
    score: float | None
    votes: int
    kept: bool
    step: int
    error: str = ""
    observation: str = ""
    ran: bool = False
    done: bool = False
    success: bool = False
    children: list[TreeNode] = field(default_factory=list)


@dataclass(slots=True)
class Tree:
    """One search."""

    search: str
    goal: str = ""
    observation: str = ""
    task: Mapping[str, Any] | None = None
    roots: list[TreeNode] = field(default_factory=list)
    best: str = ""
    ended: str = ""
    result: Mapping[str, Any] = field(default_factory=dict)
    winner: set[str] = field(default_factory=set)


def build(events: Iterable[Mapping[str, Any]]) -> Tree:
    """Read one search's events.

    Args:
        events: Custom stream events in order; those of other kinds are left out.

    Returns:
        The tree.
    """
    tree = Tree("")
    nodes: dict[str, TreeNode] = {}
    for event in events:
        kind = event.get("event")
        if kind == "agentrm.start":
            tree = Tree(
                event["search"], event["goal"], event["observation"], event["task"]
            )
            nodes = {}
        elif kind == "agentrm.step":
            _add(tree, nodes, event)
        elif kind == "agentrm.transition":
            node = nodes.get(event["node"])
            if node is not None:
                node.ran = True
                node.observation = event["observation"]
                node.done, node.success = event["done"], event["success"]
        elif kind == "agentrm.end":
            tree.best, tree.ended = event["best"], event["ended"]
            tree.result = event["result"]
    at = nodes.get(tree.best)
    while at is not None:
        tree.winner.add(at.id)
        at = nodes.get(at.parent)
    return tree


def _add(tree: Tree, nodes: dict[str, TreeNode], event: Mapping[str, Any]) -> None:
    for c in event["candidates"]:
        action = c["action"]
        node = TreeNode(
            id=c["id"],
            parent=c["parent"],
            action=action if isinstance(action, str) else json.dumps(action),
            score=c["score"],
            votes=c["votes"],
            kept=c["kept"],
            step=event["step"],
            error=c.get("error", ""),
        )
        nodes[node.id] = node
        above = nodes.get(node.parent)
        (above.children if above else tree.roots).append(node)
    # A revisit keeps candidates of earlier steps.
    for ident in event["kept"]:
        if ident in nodes:
            nodes[ident].kept = True
