"""The paper's tree search: k actions an expansion, n rollouts from each new state.

An iteration goes down by UCB, expands the state it finds with k answers, plays n
episodes from each new state, and adds their mean to every state above. Equal actions
are one child, and a step that any rollout has taken is never executed again. Source:
AgentRM, section 3.2 (exploration by tree search); its constants are not published, so
the defaults are those of the closest open code.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from statistics import fmean

from langchain_core.messages import BaseMessage

from langchain_agentrm.environments.base import EnvironmentFactory
from langchain_agentrm.errors import ReplayMismatchError
from langchain_agentrm.search.ids import derive_seed
from langchain_agentrm.search.mcts import backup, select
from langchain_agentrm.training._config import derive
from langchain_agentrm.training._effects import Answers, Draw, Steps
from langchain_agentrm.training._tree import Node, Tree, read_answer, said
from langchain_agentrm.training._walks import Engines, Seen, Walk, messages_at, turn
from langchain_agentrm.types import Candidate, ProposalRequest

__all__ = ["Search", "SearchSettings", "search_steps"]


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """Settings of the search of one tree.

    Attributes:
        iterations: Most iterations.
        width: Answers an expansion asks for (k).
        rollouts: Episodes played from each new state (n).
        c: Weight of exploration: W/N + c·sqrt(2 ln N_parent / N).
        temperature: Of the answers at an expansion.
        rollout_temperature: Of the answers in a rollout.
        merge_actions: Whether answers with equal keys are one child.
        merge_states: Whether children with equal observation, score and end are one.
        cache: Whether a step that was executed before is not executed again.
        budget: Most answers that a tree may ask for; None for no such limit.
        engines: Most engines alive in one tree where they cannot be copied.
        seed: Seed of the run.
    """

    iterations: int = 30
    width: int = 5
    rollouts: int = 2
    c: float = 0.7
    temperature: float | None = 1.0
    rollout_temperature: float | None = 0.7
    merge_actions: bool = True
    merge_states: bool = False
    cache: bool = True
    budget: int | None = None
    engines: int = 4
    seed: int = 0


@dataclass(slots=True, eq=False)
class Search:
    """A tree under construction; whole iterations of it can be stored and read back.

    Attributes:
        tree: The tree.
        settings: The settings.
        engines: Its engines and what they have answered.
        iteration: Iterations finished.
        changed: Nodes that changed since `keep` was told.
        keep: Told after each whole iteration, and when the tree is done.
    """

    tree: Tree
    settings: SearchSettings
    engines: Engines
    iteration: int = 0
    changed: set[int] = field(default_factory=lambda: {0})
    keep: Callable[[Search], None] = lambda _: None

    @classmethod
    def begin(
        cls, tree: Tree, factory: EnvironmentFactory, settings: SearchSettings
    ) -> Search:
        """Begin, or go on with, the search of a tree.

        Raises:
            ForkError: If the environment cannot be branched.
        """
        tree.status = "open"
        engines = Engines(factory, tree, settings.cache, settings.engines)
        return cls(tree, settings, engines)

    def count(self, name: str, times: int = 1) -> None:
        """Add to a counter of the tree."""
        counters = self.tree.counters
        counters[name] = counters.get(name, 0) + times

    def touch(self, node: Node | None) -> None:
        """Mark a node and all above it as changed."""
        while node is not None:
            self.changed.add(node.id)
            node = node.parent

    def ended(self) -> str:
        """Why the search is over; empty while it is not."""
        settings = self.settings
        closed = _closed(self.tree)
        if self.tree.root.id in closed:
            return "complete"
        if self.iteration >= settings.iterations:
            return "iterations"
        spent = self.tree.counters.get("draws", 0)
        if settings.budget is not None and spent >= settings.budget:
            return "budget"
        return ""


def search_steps(search: Search) -> Steps:
    """Search one tree to its end.

    The tree stops when all its leaves are ends of episodes, after the last iteration,
    or when its budget is spent. One whose environment answers a repeated action
    differently is stopped as `tainted`: none of its values can be trusted.

    Args:
        search: The search; goes on where it stands.

    Yields:
        What the policy is asked.
    """
    tree = search.tree
    if tree.status == "tainted":
        search.engines.close()
        return
    try:
        while not (ended := search.ended()):
            yield from _iterate(search)
            search.iteration += 1
            _settle(search)
            search.keep(search)
        tree.status, tree.ended = "finished", ended
    except ReplayMismatchError as error:
        tree.status, tree.ended = "tainted", str(error)
        _settle(search)
    finally:
        search.engines.close()
    search.keep(search)


def _settle(search: Search) -> None:
    tree, counts = search.tree, search.engines.counts
    tree.env_steps += counts["executed"]
    search.count("cached", counts["cached"])
    search.count("iterations", search.iteration - tree.counters.get("iterations", 0))
    for name in ("replayed", "forks"):
        tree.work[name] = tree.work.get(name, 0) + counts[name]
    counts.clear()


def _iterate(search: Search) -> Generator[Draw, Answers, None]:
    leaf = _descend(search)
    if leaf.over:
        # Its value is exact; that it is chosen again weighs in the means above.
        backup(leaf, leaf.score)
        search.touch(leaf)
        return
    fresh = yield from _expand(search, leaf)
    yield from _simulate(search, fresh)
    for child, _ in fresh:
        if child.v0 is not None:
            backup(child, child.v0)
            search.touch(child)


def _descend(search: Search) -> Node:
    """Go down by UCB, past states where the policy gives no answer."""
    tree, settings = search.tree, search.settings
    dead = _closed(tree, ends=False)
    draw = derive(settings.seed, tree.task["id"], search.iteration, "select")
    node = tree.root
    while node.expanded and not node.over:
        children = [x for x in _children(node) if x.id not in dead]
        # The factor turns c·sqrt(ln N / n) into the form with 2 under the root.
        node = select(
            children, node.n, settings.c * math.sqrt(2), lambda among: draw % among
        )
    return node


def _children(node: Node) -> list[Node]:
    """Children once each, however many keys lead to them."""
    return list(dict.fromkeys(node.children.values()))


def _closed(tree: Tree, *, ends: bool = True) -> set[int]:
    """States below which nothing is open: the policy is stuck, or the episode ended."""
    out: set[int] = set()
    # A child's number is always above its parent's.
    for node in reversed(tree.nodes):
        kids = _children(node)
        done = node.blocked or (ends and node.over)
        below = node.expanded and all(kid.id in out for kid in kids)
        if done or (below and not node.over):
            out.add(node.id)
    return out


def _expand(
    search: Search, leaf: Node
) -> Generator[Draw, Answers, list[tuple[Node, Walk | None]]]:
    """Ask for k answers and make their children; a child keeps its live engine."""
    tree, settings = search.tree, search.settings
    request = ProposalRequest(
        parent=f"{tree.task['id']}/{leaf.id}",
        messages=messages_at(leaf),
        n=settings.width,
        seed=derive_seed(settings.seed, tree.task["id"] + leaf.path, 0),
        temperature=settings.temperature,
    )
    batch = yield Draw([request], leaf.depth)
    candidates = batch.items[0]
    search.count("draws", settings.width)
    tree.lost += max(0, settings.width - sum(c.votes for c in candidates))
    search.touch(leaf)
    if not candidates:
        # The policy cannot go on from here, so there is no value to be had below it.
        leaf.blocked = True
        return []
    leaf.expanded = True
    fresh: list[tuple[Node, Walk | None]] = []
    for candidate in candidates:
        made = _child(search, leaf, candidate)
        if made is None:
            continue
        child, walk = made
        engines = search.engines
        if walk is not None and (engines.copies or len(fresh) >= engines.limit):
            child.env = walk.take() if engines.copies and not child.over else None
            walk.close()
            walk = None
        fresh.append((child, walk))
    return fresh


def _child(
    search: Search, leaf: Node, candidate: Candidate
) -> tuple[Node, Walk | None] | None:
    """Make the child of an answer; None if it was merged into another."""
    tree, settings = search.tree, search.settings
    action, key, text = read_answer(search.engines.grammar(), candidate)
    name = key
    if key in leaf.children:
        if settings.merge_actions:
            _merged(search, leaf.children[key], candidate, "merged_actions")
            return None
        name = f"{key}\x1f{len(leaf.children)}"
    node = Node(
        len(tree.nodes), leaf, text, name, f"{leaf.path}\x1e{name}", leaf.depth + 1
    )
    node.action, node.said, node.votes = action, said(candidate, text), candidate.votes
    walk: Walk | None = None
    if action is None:
        node.invalid, node.over, node.observation, node.v0 = True, True, "", 0.0
        search.count("invalid", candidate.votes)
    else:
        walk = Walk(search.engines, leaf)
        seen = walk.step(action, key)
        twin = _twin(leaf, seen) if settings.merge_states else None
        if twin is not None:
            walk.close()
            leaf.children[name] = twin
            _merged(search, twin, candidate, "merged_states")
            return None
        node.trail = walk.trail
        node.observation, node.score, node.over = seen
        node.v0 = seen.score if seen.over else None
    leaf.children[name] = node
    tree.nodes.append(node)
    search.touch(node)
    return node, walk


def _merged(search: Search, node: Node, candidate: Candidate, how: str) -> None:
    node.votes += candidate.votes
    search.count(how, candidate.votes)
    search.changed.add(node.id)


def _twin(leaf: Node, seen: Seen) -> Node | None:
    for other in _children(leaf):
        shown = Seen(other.observation or "", other.score, other.over)
        if not other.invalid and shown == seen:
            return other
    return None


@dataclass(slots=True)
class _Rollout:
    """An episode under way from a new state."""

    child: Node
    number: int
    walk: Walk
    turns: list[BaseMessage] = field(default_factory=list)
    value: float | None = None

    def request(self, search: Search) -> ProposalRequest:
        task, settings = search.tree.task, search.settings
        name = f"{task['id']}{self.child.path}\x1drollout {self.number}"
        return ProposalRequest(
            parent=f"{task['id']}/{self.child.id}",
            messages=[*messages_at(self.child), *self.turns],
            n=1,
            seed=derive_seed(settings.seed, name, self.walk.depth),
            temperature=settings.rollout_temperature,
        )

    def advance(self, search: Search, candidates: list[Candidate]) -> bool:
        """Take an answer; tell whether the episode goes on."""
        if not candidates:
            search.tree.lost += 1
            return False
        action, key, text = read_answer(search.engines.grammar(), candidates[0])
        if action is None:
            search.count("invalid")
            self.value = 0.0
            return False
        seen = self.walk.step(action, key)
        if seen.over:
            self.value = seen.score
            return False
        spoken = said(candidates[0], text)
        self.turns += turn(action, spoken, seen.observation, self.walk.depth)
        return True


def _simulate(
    search: Search, fresh: list[tuple[Node, Walk | None]]
) -> Generator[Draw, Answers, None]:
    """Play the rollouts from the new states, all at once where engines are cheap."""
    settings, engines = search.settings, search.engines
    open_ = [(child, walk) for child, walk in fresh if not child.over]
    live = {child.id: _onward(engines, child, walk) for child, walk in open_ if walk}
    for child, walk in fresh:
        if child.over and walk is not None:
            walk.close()
    rollouts = [
        _Rollout(
            child,
            number,
            live[child.id]
            if number == 0 and child.id in live
            else Walk(engines, child),
        )
        for number in range(settings.rollouts)
        for child, _ in open_
    ]
    at_once = len(rollouts) if engines.copies else engines.limit
    for first in range(0, len(rollouts), max(1, at_once)):
        going = rollouts[first : first + at_once]
        while going:
            requests = [rollout.request(search) for rollout in going]
            batch = yield Draw(requests, min(r.walk.depth for r in going))
            search.count("draws", len(requests))
            still = []
            for rollout, candidates in zip(going, batch.items, strict=True):
                if rollout.advance(search, list(candidates)):
                    still.append(rollout)
                else:
                    rollout.walk.close()
            going = still
    search.count("rollouts", len(rollouts))
    for child, _ in open_:
        values = [r.value for r in rollouts if r.child is child and r.value is not None]
        child.v0 = fmean(values) if values else None


def _onward(engines: Engines, child: Node, walk: Walk) -> Walk:
    """A walk from the child that inherits the engine which made it."""
    following = Walk(engines, child)
    following.adopt(walk.take())
    walk.close()
    return following
