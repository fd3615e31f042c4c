"""A tree of states under construction, and how a policy's answer becomes a child."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from langchain_core.messages import BaseMessage, HumanMessage

from langchain_agentrm._conversation import opening_messages
from langchain_agentrm.environments.base import (
    Environment,
    EnvironmentFactory,
    Start,
)
from langchain_agentrm.trajectory import describe
from langchain_agentrm.types import Action, Candidate, TaskRef

__all__ = ["Node", "Tree", "plant", "read_answer", "said"]


@dataclass(slots=True, eq=False)
class Node:
    """A state reached by one action.

    Attributes:
        id: Number within its tree, in the order of making.
        parent: The node above; None at the root.
        text: The action as a reward model reads it; the whole answer if it held none.
        key: Normal form of the action, by which siblings are merged.
        path: Keys from the root; names the node in every run alike.
        trail: Keys from the root of what ran; equal nodes share it, merged or not.
        depth: Actions from the root.
        observation: What the environment answered; None while it was not executed.
        score: The episode's score so far.
        over: Whether the episode ended here.
        invalid: Whether the answer held no action.
        n: Simulations through it.
        w: Sum of their returns.
        action: What ran; None at the root and for an answer without action.
        said: What the policy said, where that is more than the action.
        votes: How many answers of the policy it stands for.
        v0: Its first value, the mean of the rollouts from it; None without such.
        blocked: Whether the policy gave no answer here, so that nothing can follow.
    """

    id: int
    parent: Node | None
    text: str
    key: str
    path: str
    depth: int
    observation: str | None = None
    score: float = 0.0
    over: bool = False
    invalid: bool = False
    n: int = 0
    w: float = 0.0
    action: Action | None = None
    said: str = ""
    votes: int = 0
    v0: float | None = None
    blocked: bool = False
    trail: str = ""
    children: dict[str, Node] = field(default_factory=dict)
    candidate: Candidate | None = None
    expanded: bool = False
    draws: int = 0
    env: Environment | None = None
    messages: list[BaseMessage] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Tree:
    """All that was tried in one task.

    Attributes:
        task: The task.
        start: What it showed first.
        root: The state before any action.
        nodes: All nodes by id.
        env_steps: Actions executed; one that was executed before is never repeated.
        lost: Answers that the policy owed and never gave.
        status: `finished`, or `tainted` where a repeated action showed something else.
        ended: What ended the search.
        counters: Further counts by name, which are the same in every run.
        work: Steps `replayed` and `forks`: more of them where a run was stopped.
    """

    task: TaskRef
    start: Start
    root: Node
    nodes: list[Node]
    env_steps: int = 0
    lost: int = 0
    status: Literal["open", "finished", "tainted"] = "finished"
    ended: str = ""
    counters: dict[str, int] = field(default_factory=dict)
    work: dict[str, int] = field(default_factory=dict)

    def child(self, node: Node, candidate: Candidate) -> Node:
        """Find the child for an answer, or make one that is not executed yet."""
        assert node.env is not None  # noqa: S101 - narrows for mypy
        action, key, text = read_answer(node.env, candidate)
        found = node.children.get(key)
        if found is None:
            path = f"{node.path}\x1e{key}"
            found = Node(len(self.nodes), node, text, key, path, node.depth + 1)
            found.invalid = action is None
            found.action = action
            found.said = said(candidate, text)
            found.candidate = candidate
            node.children[key] = found
            self.nodes.append(found)
        found.votes += candidate.votes
        return found

    def execute(self, node: Node) -> None:
        """Run a node's action in a fork of its parent's environment, once."""
        if node.observation is not None:
            return
        parent, candidate = node.parent, node.candidate
        assert parent is not None  # noqa: S101 - the root is never executed
        assert parent.env is not None  # noqa: S101 - dropped only after the chunk
        assert candidate is not None  # noqa: S101 - set where the node is made
        if node.invalid:
            # Part of the value of the state above: the policy does say such things.
            node.observation, node.over = "", True
            return
        action = parent.env.parse(candidate.message)
        assert action is not None  # noqa: S101 - else the node were invalid
        env = parent.env.fork()
        transition = env.step(action)
        self.env_steps += 1
        node.env = env
        node.observation = transition.observation
        node.score = transition.score
        node.over = transition.done or node.depth >= self.start.step_limit
        node.messages = [
            *parent.messages,
            candidate.message,
            HumanMessage(transition.observation),
        ]

    def release(self) -> None:
        """Drop environments and messages, which only a running search needs."""
        for node in self.nodes:
            if node.env is not None:
                node.env.close()
            node.env, node.candidate, node.messages = None, None, []


def plant(factory: EnvironmentFactory, task: TaskRef) -> Tree:
    """Reset a task and make its tree, which holds only the root."""
    env = factory.make()
    start = env.reset(task)
    root = Node(0, None, "", "", "", 0, start.observation, env=env)
    root.messages = opening_messages(
        start.instruction, start.goal, start.observation, start.examples
    )
    return Tree(task, start, root, [root])


def read_answer(
    env: Environment, candidate: Candidate
) -> tuple[Action | None, str, str]:
    """Read a policy's answer as the searches do.

    Args:
        env: Whose grammar it is read by.
        candidate: The answer.

    Returns:
        The action, or None; the key that equal answers share; and the text that a
        reward model reads.
    """
    action = None if candidate.error else env.parse(candidate.message)
    whole = describe(candidate.message)
    if action is None:
        # An answer without action cannot collide with a real action's key.
        return None, f"\0{whole}", whole
    return action, env.key(action), action if isinstance(action, str) else whole


def said(candidate: Candidate, text: str) -> str:
    """What the policy said, where that is more than the action's text."""
    whole = str(candidate.message.text)
    return "" if whole == text else whole
