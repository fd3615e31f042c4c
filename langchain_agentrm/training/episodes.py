"""Episodes and trees of many tasks in lockstep: one batched policy call per step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langchain_agentrm.sampling.base import Proposer
from langchain_agentrm.search.ids import derive_seed
from langchain_agentrm.search.mcts import backup, select
from langchain_agentrm.training._config import derive
from langchain_agentrm.training._effects import Draw, Steps, run_lockstep
from langchain_agentrm.training._tree import Node, Tree, plant
from langchain_agentrm.types import Candidate, ProposalRequest, Usage

__all__ = [
    "Node",
    "Tree",
    "mcts_steps",
    "plant",
    "rollout_steps",
    "run_mcts",
    "run_rollouts",
]


@dataclass(frozen=True, slots=True)
class _Ask:
    tree: Tree
    node: Node
    n: int


def _draw(
    asks: Sequence[_Ask], seed: int, *, temperature: float | None, greedy: bool = False
) -> Draw:
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
    return Draw(requests, min(ask.node.depth for ask in asks))


def _missing(asks: Sequence[_Ask], answers: Sequence[Sequence[Candidate]]) -> None:
    for ask, found in zip(asks, answers, strict=True):
        ask.tree.lost += max(0, ask.n - sum(c.votes for c in found))


def rollout_steps(
    tree: Tree,
    n: int,
    *,
    seed: int,
    temperature: float | None = 1.0,
    greedy: bool = False,
) -> Steps:
    """Play n episodes of one task; equal prefixes are one node with a count.

    Args:
        tree: A fresh tree, filled in place.
        n: Episodes.
        seed: Seed of the run.
        temperature: Sampling temperature.
        greedy: Take the most likely answers instead.

    Yields:
        What the policy is asked.
    """
    live = [_Ask(tree, tree.root, n)]
    while live:
        batch = yield _draw(live, seed, temperature=temperature, greedy=greedy)
        _missing(live, batch.items)
        following: list[_Ask] = []
        for ask, candidates in zip(live, batch.items, strict=True):
            arrived: dict[int, int] = {}
            for candidate in candidates:
                node = tree.child(ask.node, candidate)
                arrived[node.id] = arrived.get(node.id, 0) + candidate.votes
            for number, count in arrived.items():
                node = tree.nodes[number]
                tree.execute(node)
                if node.over:
                    backup(node, node.score, count)
                else:
                    following.append(_Ask(tree, node, count))
        live = following


def run_rollouts(
    trees: Sequence[Tree],
    proposer: Proposer,
    n: int,
    *,
    seed: int,
    temperature: float | None = 1.0,
    greedy: bool = False,
) -> Usage:
    """Play n episodes of every task in lockstep, see `rollout_steps`.

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
    steps = [
        rollout_steps(tree, n, seed=seed, temperature=temperature, greedy=greedy)
        for tree in trees
    ]
    return run_lockstep(steps, proposer)


def mcts_steps(
    tree: Tree,
    simulations: int,
    *,
    seed: int,
    width: int = 4,
    c: float = 0.5,
    temperature: float | None = 1.0,
) -> Steps:
    """Search one task; the path of a simulation stays in its tree.

    A simulation goes down by UCB to a state that was not expanded, expands it with
    `width` answers merged by key, takes a random unvisited child and plays on to the
    end of the episode.

    Args:
        tree: A fresh tree, filled in place.
        simulations: Simulations.
        seed: Seed of the run.
        width: Answers at an expansion.
        c: Weight of exploration.
        temperature: Sampling temperature.

    Yields:
        What the policy is asked.
    """
    for simulation in range(simulations):
        walk = _Walk(tree, *_descend(tree, c, seed, simulation))
        draw = derive(seed, tree.task["id"], simulation)
        while not (walk.stuck or walk.at.over):
            asks = [_Ask(tree, walk.at, width if walk.expands else 1)]
            batch = yield _draw(asks, seed, temperature=temperature)
            _missing(asks, batch.items)
            walk.advance(batch.items[0], draw)
        # Without an answer the episode did not end, so there is no return.
        if not walk.stuck:
            backup(walk.at, walk.at.score)


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
    """Search every task in lockstep, see `mcts_steps`.

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
    steps = [
        mcts_steps(
            tree, simulations, seed=seed, width=width, c=c, temperature=temperature
        )
        for tree in trees
    ]
    return run_lockstep(steps, proposer)


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
