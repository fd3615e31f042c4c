"""Finished trees as plain rows: what workers hand back and what a store holds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from langchain_agentrm.training._tree import Node, Tree
from langchain_agentrm.types import Action, TaskRef

__all__ = ["ChunkResult", "PackedTree", "StoredNode", "StoredTree"]


class StoredNode(NamedTuple):
    """A node as it is stored; the fields are the table's columns.

    Attributes:
        node_id: Number within the tree; 0 is the root.
        parent: Number of the node above; None at the root.
        action: The action as a reward model reads it; the whole answer if invalid.
        observation: What the environment answered; None where it was never run.
        reward: The episode's score so far.
        done: Whether the episode ended.
        depth: Actions from the root.
        n: Simulations through it.
        w: Sum of their returns.
        invalid: Whether the answer held no action.
        v0: Mean of the rollouts when it was new; None where there were none.
        votes: Answers of the policy it stands for; 0 where they were not counted.
        run: The tool calls that ran, as JSON; None where the text itself ran.
        said: What the policy said, where that is more than the action.
    """

    node_id: int
    parent: int | None
    action: str
    observation: str | None
    reward: float
    done: bool
    depth: int
    n: int
    w: float
    invalid: bool
    v0: float | None = None
    votes: int = 0
    run: str | None = None
    said: str | None = None

    def to_run(self) -> Action:
        """The action as an environment takes it."""
        if self.run is None:
            return self.action
        calls: list[dict[str, Any]] = json.loads(self.run)
        return calls


@dataclass(frozen=True, slots=True)
class StoredTree:
    """A tree as it is stored.

    Attributes:
        task: The task.
        goal: Its goal.
        observation: What it showed first.
        nodes: The nodes by number.
        tree_id: Number of the tree in its store.
        status: `finished`, or `tainted` where a repeated action showed something else.
        instruction: Role and rules, where the environment has a text for them.
    """

    task: TaskRef
    goal: str
    observation: str
    nodes: tuple[StoredNode, ...]
    tree_id: int = 0
    status: str = "finished"
    instruction: str = ""


class PackedTree(NamedTuple):
    """A tree as a worker hands it back.

    Attributes:
        task: The task.
        start: Its goal, first observation and instruction.
        env_steps: Actions executed.
        nodes: The nodes by number.
        status: `finished` or `tainted`.
        ended: What ended its search.
        counters: Further counts by name.
        work: Counts that depend on where a run was stopped: steps `replayed`, `forks`.
    """

    task: TaskRef
    start: Mapping[str, str]
    env_steps: int
    nodes: Sequence[StoredNode]
    status: str
    ended: str
    counters: Mapping[str, int]
    work: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ChunkResult:
    """What a worker hands back for one chunk of tasks, ready to be stored."""

    chunk: int
    trees: Sequence[PackedTree]
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    lost: int = 0
    cpu_seconds: float = 0.0

    @staticmethod
    def pack(tree: Tree) -> PackedTree:
        """Reduce a finished tree to what is stored of it."""
        start = {
            "goal": tree.start.goal,
            "observation": tree.start.observation,
            "instruction": tree.start.instruction,
        }
        return PackedTree(
            tree.task,
            start,
            tree.env_steps,
            [_stored(node) for node in tree.nodes],
            tree.status,
            tree.ended,
            dict(tree.counters),
            dict(tree.work),
        )


def _stored(node: Node) -> StoredNode:
    calls = None if isinstance(node.action, str | None) else json.dumps(node.action)
    return StoredNode(
        node.id,
        None if node.parent is None else node.parent.id,
        node.text,
        node.observation,
        node.score,
        node.over,
        node.depth,
        node.n,
        node.w,
        node.invalid,
        node.v0,
        node.votes,
        calls,
        node.said or None,
    )
