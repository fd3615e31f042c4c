"""AgentBoard's game over the same shared engines: macros, subgoals, progress."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from langchain_agentrm_babyai._board_bot import bot_moves
from langchain_agentrm_babyai._board_view import (
    Macros,
    Seen,
    describe,
    image,
    macros,
    see,
)
from langchain_agentrm_babyai._world import Node, World

__all__ = [
    "BOARD_LIMIT",
    "FINISHED",
    "BoardNode",
    "BoardWorld",
    "Subgoals",
    "get_board",
]

BOARD_LIMIT = 30
FINISHED = "The task is completed."

Subgoals = tuple[tuple[str, ...], ...]
"""One list of subgoals, or several ways of equal length."""

_ENOUGH = 0.5


class _Hits(NamedTuple):
    """How far the subgoals are: what is left of each list, hits, best progress."""

    left: Subgoals
    points: int
    progress: float


class BoardNode(Node):
    """A state of AgentBoard's game.

    Attributes:
        hits: How far the subgoals are.
        objects: What is in sight.
        walls: Walls in sight.
        seen: The view as low-level moves change it.
        text: The description of the state, whatever the last answer was.
    """

    __slots__ = ("hits", "macros", "objects", "seen", "text", "walls")

    hits: _Hits
    macros: Macros | None
    objects: tuple[Seen, ...]
    seen: tuple[Any, ...]
    text: str
    walls: tuple[Seen, ...]

    @property
    def progress(self) -> float:
        """Best share of subgoals so far, 0..1."""
        return self.hits.progress


class BoardWorld(World):
    """A task in AgentBoard's game.

    Args:
        level: BabyAI level.
        seed: Seed of the task.
        subgoals: AgentBoard's label; None derives one from the expert's way: each thing
            taken and each door opened on it, and the end; progress is then 1 whenever
            MiniGrid says that the task is solved, on whatever way.
    """

    root: BoardNode

    def __init__(self, level: str, seed: int, subgoals: Subgoals | None = None) -> None:
        self._labelled = subgoals is not None
        self.subgoals: Subgoals = subgoals or ((FINISHED,),)
        super().__init__(level, seed)
        self.goal = self.mission.replace("then", "and").replace("after you", "and")
        self.plan: tuple[str, ...] | None = None
        self._planned = False
        if subgoals is None:
            with self.lock:
                self.subgoals = self._own_subgoals()
            self.root.hits = _Hits(self.subgoals, 0, 0.0)

    def board_node(self, node: Node) -> BoardNode:
        """Narrow a node of this world.

        Raises:
            TypeError: If it comes from another game.
        """
        if not isinstance(node, BoardNode):
            msg = f"{node!r} is no state of AgentBoard's game."
            raise TypeError(msg)
        return node

    def macros(self, node: BoardNode) -> Macros:
        """What can be done in a state."""
        if node.macros is None:
            node.macros = macros(
                node.objects,
                node.walls,
                node.snapshot.agent,
                self._engine.agent_view_size,
                node.snapshot.carrying,
            )
        return node.macros

    def actions(self, node: Node) -> tuple[str, ...]:
        """Name the actions that AgentBoard lists in a state."""
        return () if node.over else tuple(self.macros(self.board_node(node)).moves)

    def expert(self) -> tuple[str, ...] | None:
        """Find actions that solve the task; None where MiniGrid's bot does not."""
        with self.lock:
            if not self._planned:
                self.plan = self._plan_ahead()
                self._planned = True
            return self.plan

    # How a node comes about.

    def _advance(self, node: Node, action: str) -> BoardNode:
        before = self.board_node(node)
        listed = self.macros(before)
        if "check" in action:
            names = ", ".join(listed.moves)
            return self._still(before, f"You can take the following actions: {names}")
        if not action:
            return self._still(before, "No change in state.", valid=False)
        moves = listed.moves.get(action)
        if moves is None:
            problem = listed.problems.get(
                action, "The action is not recognized. Please check valid actions."
            )
            return self._still(before, problem, valid=False)
        if not moves:
            return self._still(before, "No change in state.")
        self.load(node)
        self._loaded = -1
        shown, ended, reward = before.seen, False, 0.0
        for move in moves:
            _, reward, ended, _, _ = self._engine.step(move)
            self._solved = self._solved or bool(ended and reward > 0)
            after = self._view()
            if after == shown:
                break
            shown = after
        made = self._node(depth=before.depth + 1)
        # AgentBoard counts a level as done where its last low-level move ended it, be
        # it by failure; its label's subgoals then decide. Without a label, MiniGrid's
        # own verdict does.
        solved = bool(ended and reward > 0)
        says = solved or (bool(ended) and self._labelled)
        text = made.text + (f"\n {FINISHED}" if says else "")
        made.hits = _hit(before.hits, text)
        if solved and not self._labelled:
            made.hits = made.hits._replace(progress=1.0)
        done = bool(ended) and made.hits.progress > _ENOUGH
        if made.hits.progress == 1 and not done:
            done = True
            text += f"\n {FINISHED}"
        made.observation = text
        made.success = done
        made.over = made.over or done
        return made

    def _still(self, node: BoardNode, text: str, *, valid: bool = True) -> BoardNode:
        """Answer without a change of state."""
        made = BoardNode(
            self._next_serial(),
            node.snapshot,
            text,
            (),
            depth=node.depth + 1,
            valid=valid,
            over=node.depth + 1 >= BOARD_LIMIT,
        )
        made.hits, made.macros = node.hits, node.macros
        made.objects, made.walls = node.objects, node.walls
        made.seen, made.text = node.seen, node.text
        return made

    def _node(self, *, depth: int, problem: str = "") -> BoardNode:
        del problem
        engine = self._engine
        snapshot = self._snapshot()
        cells, objects, walls = see(
            self._cells, self._width, snapshot.agent, engine.agent_view_size
        )
        text = describe(objects, walls, engine.carrying)
        node = BoardNode(
            self._next_serial(),
            snapshot,
            text,
            (),
            depth=depth,
            over=depth >= BOARD_LIMIT,
        )
        node.hits = _Hits(self.subgoals, 0, 0.0)
        node.macros = None
        node.objects, node.walls = objects, walls
        node.seen, node.text = image(cells, engine.carrying), text
        self._loaded = node.serial
        return node

    def _view(self) -> tuple[Any, ...]:
        engine = self._engine
        x, y = engine.agent_pos
        agent = (int(x), int(y), int(engine.agent_dir))
        cells, _, _ = see(self._cells, self._width, agent, engine.agent_view_size)
        return image(cells, engine.carrying)

    # The expert, and subgoals where there is no label.

    def _plan_ahead(self) -> tuple[str, ...] | None:
        """Follow MiniGrid's bot by as few macros as its way allows."""
        self.load(self.root)
        self._loaded = -1
        way = bot_moves(self._engine, self._situation)
        self.load(self.root)
        if way is None:
            return None
        # Where the way passes a situation twice, the last time counts.
        when = {situation: i for i, situation in enumerate(way)}
        node, at = self.root, 0
        plan: list[str] = []
        while at < len(way) - 1 and len(plan) < BOARD_LIMIT:
            best: tuple[int, str, BoardNode] | None = None
            for action, moves in self.macros(node).moves.items():
                if not moves:
                    continue
                after = self._advance(node, action)
                self.load(after)
                reached = when.get(self._situation(), -1)
                if reached > at and (best is None or reached > best[0]):
                    best = (reached, action, after)
            if best is None:
                return None
            at, action, node = best
            plan.append(action)
            if self._solved_in(node):
                return tuple(plan)
        return None

    def _solved_in(self, node: BoardNode) -> bool:
        return node.observation.endswith(FINISHED) and node.snapshot.solved

    def _situation(self) -> tuple[Any, ...]:
        """Tell two states apart by everything that can be seen to differ."""
        snapshot = self._snapshot()
        return (
            snapshot.agent,
            id(snapshot.carrying),
            tuple((cell, o, k) for cell, _, o, k in snapshot.things),
        )

    def _own_subgoals(self) -> Subgoals:
        plan = self.expert()
        only: Subgoals = ((FINISHED,),)
        if plan is None:
            return only
        found: list[str] = []
        node = self.root
        for action in plan[:-1]:
            before, node = node, self._advance(node, action)
            carried = node.snapshot.carrying
            if carried is not None and carried is not before.snapshot.carrying:
                found.append(f"You are carrying a {carried.color} {carried.type}")
            else:
                opened = {s.name for s in node.objects if " open " in s.name}
                opened -= {s.name for s in before.objects}
                found += sorted(f"There is a {name}" for name in opened)[:1]
        subgoals = ((*found, FINISHED),)
        # A subgoal that a later step of the same way fulfils again could stand before
        # the end; then only the end counts.
        hits, node = _Hits(subgoals, 0, 0.0), self.root
        for action in plan:
            node = self._advance(node, action)
            hits = _hit(hits, node.observation)
        return subgoals if hits.progress == 1 else only


def _hit(hits: _Hits, text: str) -> _Hits:
    """Strike out the first subgoal that stands in one sentence of a text."""
    sentences = text.split(".")
    lists = hits.left
    for i, ways in enumerate(zip(*lists, strict=True)):
        if any(_stands(sentences, pattern) for pattern in ways):
            left = tuple(_without(patterns, patterns[i]) for patterns in lists)
            points = hits.points + 1
            total = points + len(left[0])
            return _Hits(left, points, max(hits.progress, points / total))
    return hits


def _without(patterns: Sequence[str], pattern: str) -> tuple[str, ...]:
    left = list(patterns)
    left.remove(pattern)
    return tuple(left)


def _stands(sentences: Sequence[str], pattern: str) -> bool:
    pattern = pattern.strip()
    parts = pattern.split("**" if "**" in pattern else "*")
    return any(all(p.strip(".") in s for p in parts) for s in sentences)


@lru_cache(maxsize=32)
def get_board(level: str, seed: int, subgoals: Subgoals | None) -> BoardWorld:
    """Return the world of a task, shared by all environments in it.

    Raises:
        UnknownTaskError: If MiniGrid has no such level.
    """
    return BoardWorld(level, seed, subgoals)
