"""Episodes and trees of many tasks in lockstep: one batched policy call per step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import AnyMessage, HumanMessage, SystemMessage

from langchain_agentrm.environments.base import (
    Environment,
    EnvironmentFactory,
    Start,
)
from langchain_agentrm.errors import PolicyError
from langchain_agentrm.sampling.base import Proposer
from langchain_agentrm.search.ids import derive_seed
from langchain_agentrm.search.mcts import backup, select
from langchain_agentrm.training._config import derive
from langchain_agentrm.trajectory import describe
from langchain_agentrm.types import Batch, Candidate, ProposalRequest, TaskRef, Usage

__all__ = ["Node", "Tree", "plant", "run_mcts", "run_rollouts"]


@dataclass(slots=True, eq=False)
class Node:
    """A state reached by one action.

    Attributes:
        id: Number within its tree, in the order of making.
        parent: The node above; None at the root.
        text: The policy's answer that led here.
        key: Normal form of the action, by which siblings are merged.
        path: Keys from the root; names the node in every run alike.
        depth: Actions from the root.
        observation: What the environment answered; None while it was not executed.
        score: The episode's score so far.
        over: Whether the episode ended here.
        invalid: Whether the answer held no action.
        n: Simulations through it.
        w: Sum of their returns.
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
    children: dict[str, Node] = field(default_factory=dict)
    candidate: Candidate | None = None
    expanded: bool = False
    draws: int = 0
    env: Environment | None = None
    messages: list[AnyMessage] = field(default_factory=list)


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
    """

    task: TaskRef
    start: Start
    root: Node
    nodes: list[Node]
    env_steps: int = 0
    lost: int = 0

    def child(self, node: Node, candidate: Candidate) -> Node:
        """Find the child for an answer, or make one that is not executed yet."""
        assert node.env is not None  # noqa: S101 - narrows for mypy
        action = None if candidate.error else node.env.parse(candidate.message)
        text = describe(candidate.message)
        # An answer without action cannot collide with a real action's key.
        key = f"\0{text}" if action is None else node.env.key(action)
        found = node.children.get(key)
        if found is None:
            path = f"{node.path}\x1e{key}"
            found = Node(len(self.nodes), node, text, key, path, node.depth + 1)
            found.invalid = action is None
            found.candidate = candidate
            node.children[key] = found
            self.nodes.append(found)
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
    root.messages = [HumanMessage(f"{start.goal}\n{start.observation}")]
    if start.instruction:
        root.messages.insert(0, SystemMessage(start.instruction))
    return Tree(task, start, root, [root])


@dataclass(frozen=True, slots=True)
class _Ask:
    tree: Tree
    node: Node
    n: int


def _propose(
    proposer: Proposer,
    asks: Sequence[_Ask],
    seed: int,
    *,
    temperature: float | None,
    greedy: bool = False,
) -> tuple[list[list[Candidate]], Usage]:
    requests = []
    for ask in asks:
        node = ask.node
        drawn = derive_seed(seed, ask.tree.task["id"] + node.path, node.draws)
        node.draws += 1
        settings: dict[str, Any] = {} if greedy else {"temperature": temperature}
        requests.append(
            ProposalRequest(
                parent=f"{ask.tree.task['id']}/{node.id}",
                messages=node.messages,
                n=ask.n,
                seed=drawn,
                greedy=greedy,
                **settings,
            )
        )
    try:
        batch = proposer.propose(requests)
    except PolicyError as error:
        # Late in a chunk only the longest episodes are left, and it may be that none of
        # them fits the context; a policy that fails at the first step is broken.
        if error.retryable or not all(ask.node.depth for ask in asks):
            raise
        batch = Batch([[] for _ in asks])
    for ask, answers in zip(asks, batch.items, strict=True):
        ask.tree.lost += max(0, ask.n - sum(c.votes for c in answers))
    return list(batch.items), batch.usage


def run_rollouts(
    trees: Sequence[Tree],
    proposer: Proposer,
    n: int,
    *,
    seed: int,
    temperature: float | None = 1.0,
    greedy: bool = False,
) -> Usage:
    """Play n episodes of every task; equal prefixes are one node with a count.

    Args:
        trees: Fresh trees, filled in place.
        proposer: The policy.
        n: Episodes a task.
        seed: Seed of the run.
        temperature: Sampling temperature.
        greedy: Take the most likely answers instead.

    Returns:
        What the policy used.
    """
    usage = Usage()
    live = [_Ask(tree, tree.root, n) for tree in trees]
    while live:
        answers, used = _propose(
            proposer, live, seed, temperature=temperature, greedy=greedy
        )
        usage += used
        following: list[_Ask] = []
        for ask, candidates in zip(live, answers, strict=True):
            arrived: dict[int, int] = {}
            for candidate in candidates:
                node = ask.tree.child(ask.node, candidate)
                arrived[node.id] = arrived.get(node.id, 0) + candidate.votes
            for number, count in arrived.items():
                node = ask.tree.nodes[number]
                ask.tree.execute(node)
                if node.over:
                    backup(node, node.score, count)
                else:
                    following.append(_Ask(ask.tree, node, count))
        live = following
    return usage


def run_mcts(
    trees: Sequence[Tree],
    proposer: Proposer,
    simulations: int,
    *,
    seed: int,
    width: int = 4,
    c: float = 0.5,
    temperature: float | None = 1.0,
) -> Usage:
    """Search every task; the path of a simulation stays in its tree.

    A simulation goes down by UCB to a state that was not expanded, expands it with
    `width` answers merged by key, takes a random unvisited child and plays on to the
    end of the episode.

    Args:
        trees: Fresh trees, filled in place.
        proposer: The policy.
        simulations: Simulations a task.
        seed: Seed of the run.
        width: Answers at an expansion.
        c: Weight of exploration.
        temperature: Sampling temperature.

    Returns:
        What the policy used.
    """
    usage = Usage()
    for simulation in range(simulations):
        walks = [_Walk(t, *_descend(t, c, seed, simulation)) for t in trees]
        while True:
            live = [walk for walk in walks if not (walk.stuck or walk.at.over)]
            if not live:
                break
            asks = [_Ask(w.tree, w.at, width if w.expands else 1) for w in live]
            answers, used = _propose(proposer, asks, seed, temperature=temperature)
            usage += used
            for walk, candidates in zip(live, answers, strict=True):
                walk.advance(candidates, derive(seed, walk.tree.task["id"], simulation))
        for walk in walks:
            # Without an answer the episode did not end, so there is no return.
            if not walk.stuck:
                backup(walk.at, walk.at.score)
    return usage


@dataclass(slots=True)
class _Walk:
    tree: Tree
    at: Node
    expands: bool
    stuck: bool = False

    def advance(self, candidates: Sequence[Candidate], draw: int) -> None:
        children = [self.tree.child(self.at, candidate) for candidate in candidates]
        if not children:
            self.stuck = True
            return
        if self.expands:
            self.at.expanded, self.expands = True, False
            # Rollouts that passed here earlier may have left children, too.
            known = list(self.at.children.values())
            fresh = [child for child in known if not child.n] or known
            children = [fresh[draw % len(fresh)]]
        self.tree.execute(children[0])
        self.at = children[0]


def _descend(tree: Tree, c: float, seed: int, simulation: int) -> tuple[Node, bool]:
    """Go down by UCB; tell whether the state found is to be expanded."""
    node = tree.root
    draw = derive(seed, tree.task["id"], simulation, "select")
    while node.expanded and not node.over:
        node = select(
            list(node.children.values()), node.n, c, lambda among: draw % among
        )
        if not node.n:
            # Never simulated: play on from it; it is expanded when it is chosen again.
            tree.execute(node)
            return node, False
    return node, not node.over
