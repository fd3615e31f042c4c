"""Walks through an engine that is asked only for what nobody has seen yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    ToolCall,
    ToolMessage,
)

from langchain_agentrm.environments.base import Environment, EnvironmentFactory, digest
from langchain_agentrm.errors import ForkError, ReplayMismatchError
from langchain_agentrm.training._tree import Node, Tree
from langchain_agentrm.types import Action

__all__ = ["Engines", "Seen", "Walk", "messages_at", "turn"]


class Seen(NamedTuple):
    """What an engine answered to an action.

    Attributes:
        observation: Its text.
        score: The episode's score then.
        over: Whether the episode ended.
    """

    observation: str
    score: float
    over: bool


@dataclass(slots=True)
class Engines:
    """The engines of one tree, and all that they have answered.

    Attributes:
        factory: Makes engines.
        tree: The tree.
        cache: Whether an answer that was seen is taken instead of asked again.
        limit: Most engines alive at once where their state cannot be copied.
        seen: Answers by the keys of the actions from the root.
        news: What of `seen` was not taken by a store yet.
        counts: Steps `executed`, `replayed` and `cached`, and `forks`.
    """

    factory: EnvironmentFactory
    tree: Tree
    cache: bool
    limit: int
    seen: dict[str, Seen] = field(default_factory=dict)
    news: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    _idle: list[Environment] = field(default_factory=list)
    _made: list[Environment] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Refuse an environment whose states cannot be reached a second time."""
        spec = self.factory.spec
        if spec.fork == "none" or (spec.fork == "replay" and not spec.replayable):
            msg = (
                f"Environment {self.factory.name!r} cannot be branched "
                f"(fork={spec.fork!r}, replayable={spec.replayable})."
            )
            raise ForkError(msg, remedy="A tree needs an environment that forks.")

    @property
    def copies(self) -> bool:
        """Whether an engine's state can be copied."""
        return self.factory.spec.fork == "copy"

    def grammar(self) -> Environment:
        """An engine to read answers with; it is not stepped."""
        root = self.tree.root
        if root.env is None:
            root.env = self.factory.make()
            root.env.reset(self.tree.task)
        return root.env

    def at(self, node: Node) -> Environment:
        """Get an engine of one's own in a node's state.

        Raises:
            ReplayMismatchError: If a repeated action shows something else than before.
        """
        if not self.copies:
            return self._replayed(node)
        near, rest = node, list[Node]()
        while near.env is None and near.parent is not None:
            rest.append(near)
            near = near.parent
        source = self.grammar() if near.env is None else near.env
        env = source.fork()
        self.counts["forks"] += 1
        for step in reversed(rest):
            self.repeat(env, step.action, step.observation or "")
        if rest:
            # The next walk from here finds it ready.
            node.env = env
            return env.fork()
        return env

    def _replayed(self, node: Node) -> Environment:
        path = _path(node)
        if not self._idle:
            self._idle.append(self.factory.make())
            self._made.append(self._idle[-1])
        env = self._idle.pop()
        seen = [self.tree.start.observation, *(x.observation or "" for x in path)]
        marks = [digest(env.normalise(text)) for text in seen]
        env.replay(self.tree.task, [_action(x) for x in path], marks)
        self.counts["replayed"] += len(path)
        self.counts["forks"] += 1
        return env

    def repeat(self, env: Environment, action: Action | None, before: str) -> None:
        """Repeat an action whose answer is known.

        Raises:
            ReplayMismatchError: If the answer is another one.
        """
        if action is None:
            msg = f"A path of task {self.tree.task['id']!r} holds no action."
            raise ForkError(msg, remedy="The tree's store is damaged; build it anew.")
        answer = env.step(action)
        self.counts["replayed"] += 1
        if env.normalise(answer.observation) != env.normalise(before):
            msg = (
                f"Task {self.tree.task['id']!r}: action {action!r}, repeated after "
                f"{len(env.actions_taken) - 1} others, showed "
                f"{answer.observation[:80]!r} instead of {before[:80]!r}."
            )
            raise ReplayMismatchError(msg, remedy="The environment is not repeatable.")

    def release(self, env: Environment) -> None:
        """Give an engine back."""
        if self.copies:
            env.close()
        elif len(self._idle) >= self.limit:
            self._made.remove(env)
            env.close()
        else:
            self._idle.append(env)

    def close(self) -> None:
        """Close all engines."""
        for env in self._made:
            env.close()
        self._made.clear()
        self._idle.clear()
        for node in self.tree.nodes:
            if node.env is not None:
                node.env.close()
                node.env = None


class Walk:
    """A path that goes on from a node, with at most one live engine behind it.

    The engine is made, or caught up, at the first action whose answer nobody knows;
    until then the walk costs none.
    """

    def __init__(self, engines: Engines, node: Node) -> None:
        """Stand at a node."""
        self.engines = engines
        self.node = node
        self.trail = node.trail
        self.depth = node.depth
        self._env: Environment | None = None
        self._taken = 0
        self._path: list[tuple[Action, str]] = []

    def step(self, action: Action, key: str) -> Seen:
        """Take an action, or what was seen when it was taken before.

        Raises:
            ReplayMismatchError: If a repeated action shows something else than before.
        """
        engines = self.engines
        self.trail = f"{self.trail}\x1e{key}"
        self.depth += 1
        known = engines.seen.get(self.trail) if engines.cache else None
        if known is None:
            env = self._caught_up()
            answer = env.step(action)
            engines.counts["executed"] += 1
            over = answer.done or self.depth >= engines.tree.start.step_limit
            known = Seen(answer.observation, answer.score, over)
            self._taken += 1
            if engines.cache:
                engines.seen[self.trail] = known
                engines.news.append(self.trail)
        else:
            engines.counts["cached"] += 1
        self._path.append((action, known.observation))
        return known

    def _caught_up(self) -> Environment:
        if self._env is None:
            self._env = self.engines.at(self.node)
        for action, before in self._path[self._taken :]:
            self.engines.repeat(self._env, action, before)
            self._taken += 1
        return self._env

    def take(self) -> Environment | None:
        """Hand the engine over, if one is live at the walk's end."""
        if self._env is None or self._taken < len(self._path):
            return None
        env, self._env = self._env, None
        return env

    def adopt(self, env: Environment | None) -> None:
        """Take over an engine that stands where this walk begins."""
        self._env = env

    def close(self) -> None:
        """Give the engine back."""
        if self._env is not None:
            self.engines.release(self._env)
            self._env = None


def turn(
    action: Action, said: str, observation: str, depth: int
) -> tuple[BaseMessage, ...]:
    """Write an action and its answer as messages.

    Args:
        action: What ran.
        said: What the policy said beside it.
        observation: The answer.
        depth: Number of the action, for the ids of its tool calls.

    Returns:
        The policy's message, and what it read next.
    """
    if isinstance(action, str):
        return AIMessage(said or action), HumanMessage(observation)
    idents = [f"call-{depth}-{i}" for i in range(len(action))]
    calls = [
        ToolCall(name=c["name"], args=c["args"], id=ident)
        for c, ident in zip(action, idents, strict=True)
    ]
    answers = [ToolMessage(observation, tool_call_id=ident) for ident in idents]
    return AIMessage(said, tool_calls=calls), *answers


def messages_at(node: Node) -> Sequence[BaseMessage]:
    """What the policy reads in a node's state."""
    if not node.messages and node.parent is not None:
        shown = node.observation or ""
        spoken = turn(_action(node), node.said, shown, node.depth)
        node.messages = [*messages_at(node.parent), *spoken]
    return node.messages


def _path(node: Node) -> list[Node]:
    out: list[Node] = []
    at = node
    while at.parent is not None:
        out.append(at)
        at = at.parent
    return out[::-1]


def _action(node: Node) -> Action:
    if node.action is None:
        msg = f"Node {node.id} of a tree holds no action."
        raise ForkError(msg, remedy="The tree's store is damaged; build it anew.")
    return node.action
