"""One task's world: an engine that any number of branches share through snapshots."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, NamedTuple

from minigrid.envs.babyai.core import verifier

from langchain_agentrm_babyai._engine import new_engine
from langchain_agentrm_babyai._view import VECTORS, Reach, Sight, look

__all__ = ["STEP_LIMIT", "Node", "World", "get_world"]

STEP_LIMIT = 12

_PICK_UP, _DROP, _TOGGLE = 3, 4, 5
_TURNS = {"turn left": 0, "turn right": 1, "move forward": 2}
_VERBS = ("go to ", "pick up ", "open ", "put next to ")
_SIDES = ((1, 0), (-1, 0), (0, 1), (0, -1))
_MEMO_SIZE = 512
_WORLDS = 32


class _Snapshot(NamedTuple):
    """Everything in an engine that an action can change.

    `things` has, for each object, its cell (-1 where it is in none), MiniGrid's
    `cur_pos`, and whether it is open and locked. `marks` are the verifier's notes on
    what was done; `tracked` the objects and places that its descriptions refer to.
    """

    agent: tuple[int, int, int]
    carrying: Any
    things: tuple[tuple[int, Any, Any, Any], ...]
    marks: tuple[tuple[Any, Any, Any], ...]
    tracked: tuple[tuple[Any, Any], ...]
    solved: bool


class Node:
    """A state of a world after some actions. Never changes once made.

    Attributes:
        observation: What the agent reads.
        depth: Actions taken.
        valid: Whether the last action applied.
        over: Whether the episode is over.
        success: Whether it ended with the task solved.
        sights: What the agent sees.
    """

    __slots__ = (
        "_actions",
        "_reach",
        "depth",
        "observation",
        "over",
        "serial",
        "sights",
        "snapshot",
        "success",
        "valid",
    )

    def __init__(
        self,
        serial: int,
        snapshot: _Snapshot,
        observation: str,
        sights: tuple[Sight, ...],
        *,
        depth: int = 0,
        valid: bool = True,
        over: bool = False,
        success: bool = False,
    ) -> None:
        self.serial = serial
        self.snapshot = snapshot
        self.observation = observation
        self.sights = sights
        self.depth = depth
        self.valid = valid
        self.over = over
        self.success = success
        self._reach: Reach | None = None
        self._actions: tuple[str, ...] | None = None


class World:
    """A task in an engine of its own, stepped from any of its states.

    Branches hold nodes, and nodes never change, so a branch is copied by copying a
    reference. The engine is only where the next node is computed: the node's snapshot
    is loaded unless it is loaded already. What was computed is remembered, so that
    siblings and replays that repeat an action cost nothing.

    Args:
        level: BabyAI level.
        seed: Seed of the task.
    """

    def __init__(self, level: str, seed: int) -> None:
        self.lock = threading.RLock()
        engine = self._engine = new_engine(level, seed)
        self.mission = str(engine.mission)
        self._width: int = engine.width
        self._cells: list[Any] = engine.grid.grid
        self._solved = False
        self._things = [c for c in self._cells if c is not None and c.type != "wall"]
        if engine.carrying is not None:
            self._things.append(engine.carrying)
        gone = {id(thing) for thing in self._things}
        self._walls = [None if id(c) in gone else c for c in self._cells]
        self._steps = list(_walk(engine.instrs))
        self._descriptions = [
            getattr(step, name)
            for step in self._steps
            for name in ("desc", "desc_move", "desc_fixed")
            if hasattr(step, name)
        ]
        self._memo: OrderedDict[tuple[int, str], Node] = OrderedDict()
        self._serial = 0
        self._loaded = -1
        self.root = self._node(depth=0)

    @property
    def instructions(self) -> Any:
        """The level's verifier objects, in the state that was loaded last."""
        return self._engine.instrs

    @property
    def carrying(self) -> Any:
        """The object carried in the state that was loaded last."""
        return self._engine.carrying

    def advance(self, node: Node, action: str) -> Node:
        """Take a normalised action in `node`, which must not be over."""
        key = (node.serial, action)
        with self.lock:
            known = self._memo.get(key)
            if known is not None:
                self._memo.move_to_end(key)
                return known
            after = self._advance(node, action)
            self._memo[key] = after
            if len(self._memo) > _MEMO_SIZE:
                self._memo.popitem(last=False)
            return after

    def actions(self, node: Node) -> tuple[str, ...]:
        """Name the actions that apply in `node`."""
        if node.over:
            return ()
        known = node._actions  # noqa: SLF001 - a node's caches are its world's
        if known is None:
            with self.lock:
                self.load(node)
                known = node._actions = tuple(self._applicable(node))  # noqa: SLF001
        return known

    def load(self, node: Node) -> None:
        """Put the engine into a node's state; the caller holds the lock."""
        if self._loaded == node.serial:
            return
        engine, snapshot = self._engine, node.snapshot
        x, y, engine.agent_dir = snapshot.agent
        engine.agent_pos = (x, y)
        engine.carrying = snapshot.carrying
        self._solved = snapshot.solved
        self._cells[:] = self._walls
        for thing, state in zip(self._things, snapshot.things, strict=True):
            cell, thing.cur_pos, is_open, is_locked = state
            if cell >= 0:
                self._cells[cell] = thing
            if is_open is not None:
                thing.is_open, thing.is_locked = is_open, is_locked
        for step, (a_done, b_done, before) in zip(
            self._steps, snapshot.marks, strict=True
        ):
            if isinstance(step, verifier.SeqInstr):
                step.a_done, step.b_done = a_done, b_done
            elif hasattr(step, "preCarrying"):
                step.preCarrying = before
        for description, tracked in zip(
            self._descriptions, snapshot.tracked, strict=True
        ):
            description.obj_set, description.obj_poss = tracked
        self._loaded = node.serial

    def reach(self, node: Node) -> Reach:
        """Search the ways from a node's state; the caller holds the lock."""
        if node._reach is None:  # noqa: SLF001
            self.load(node)
            node._reach = Reach(  # noqa: SLF001
                self._cells, self._width, node.snapshot.agent
            )
        return node._reach  # noqa: SLF001

    def holds(self, instruction: Any) -> bool:
        """Whether an instruction is fulfilled in the loaded state.

        A sequence cannot be read off a state, so for it MiniGrid's own verifier
        decides, which watched every low-level move.
        """
        engine = self._engine
        if isinstance(instruction, verifier.GoToInstr):
            x, y = engine.front_pos
            front = self._cells[int(y) * self._width + int(x)]
            return any(thing is front for thing in instruction.desc.obj_set)
        if isinstance(instruction, verifier.PickupInstr):
            return any(t is engine.carrying for t in instruction.desc.obj_set)
        if isinstance(instruction, verifier.OpenInstr):
            return any(door.is_open for door in instruction.desc.obj_set)
        if isinstance(instruction, verifier.PutNextInstr):
            return engine.carrying is None and bool(instruction.objs_next())
        return self._solved

    # How a node comes about.

    def _advance(self, node: Node, action: str) -> Node:
        depth = node.depth + 1
        self.load(node)
        if action == "done":
            success = self.holds(self._engine.instrs)
            return Node(
                self._next_serial(),
                node.snapshot,
                "the end",
                (),
                depth=depth,
                over=True,
                success=success,
            )
        moves, problem = self._plan(node, action)
        if moves:
            # From here on the engine is between two nodes, until one is made of it.
            self._loaded = -1
            for move in moves:
                _, reward, ended, _, _ = self._engine.step(move)
                self._solved = self._solved or bool(ended and reward > 0)
        return self._node(depth=depth, problem=problem)

    def _plan(self, node: Node, action: str) -> tuple[list[int], str]:
        """Low-level moves of an action, or why it does not apply."""
        if action in _TURNS:
            return [_TURNS[action]], ""
        if action == "drop":
            if node.snapshot.carrying is None or self._front(node) is not None:
                return [], "you cannot drop here"
            return [_DROP], ""
        for verb in _VERBS:
            if action.startswith(verb):
                name = action[len(verb) :]
                sight = next((s for s in node.sights if s.name == name), None)
                if sight is None:
                    return [], "no such object in sight"
                return self._plan_for(node, verb.strip(), sight)
        return [], "unknown action"

    def _plan_for(  # noqa: PLR0911 - one return for each answer
        self, node: Node, verb: str, sight: Sight
    ) -> tuple[list[int], str]:
        thing, carrying = sight.thing, node.snapshot.carrying
        if verb == "pick up" and (carrying is not None or not thing.can_pickup()):
            return [], "you cannot pick that up"
        if verb == "open" and (
            thing.type != "door" or thing.is_open or thing.is_locked
        ):
            return [], "you cannot open that"
        if verb == "put next to":
            if carrying is None:
                return [], "you carry nothing"
            place = self._place_beside(node, sight.cell)
            if place is None:
                return [], "there is no room"
            return [*place, _DROP], ""
        path = self.reach(node).path(sight.cell)
        if path is None:
            return [], "there is no path"
        if verb == "pick up":
            path.append(_PICK_UP)
        elif verb == "open":
            path.append(_TOGGLE)
        return path, ""

    def _place_beside(self, node: Node, cell: int) -> list[int] | None:
        """Find the shortest path to face an empty cell beside `cell`."""
        reach, (ax, ay, _) = self.reach(node), node.snapshot.agent
        best: list[int] | None = None
        for dx, dy in _SIDES:
            side = cell + dy * self._width + dx
            if self._cells[side] is None and side != ay * self._width + ax:
                path = reach.path(side)
                if path is not None and (best is None or len(path) < len(best)):
                    best = path
        return best

    def _front(self, node: Node) -> Any:
        """Tell what is in the cell in front of the agent; the node is loaded."""
        x, y, direction = node.snapshot.agent
        dx, dy = VECTORS[direction]
        return self._cells[(y + dy) * self._width + x + dx]

    def _applicable(self, node: Node) -> Iterator[str]:
        reach = self.reach(node)
        carrying, front = node.snapshot.carrying, self._front(node)
        for sight in node.sights:
            name, thing = sight.name, sight.thing
            if sight.cell in reach:
                yield f"go to {name}"
                if carrying is None and thing.can_pickup():
                    yield f"pick up {name}"
                if thing.type == "door" and not (thing.is_open or thing.is_locked):
                    yield f"open {name}"
            if (
                carrying is not None
                and self._place_beside(node, sight.cell) is not None
            ):
                yield f"put next to {name}"
        if carrying is not None and front is None:
            yield "drop"
        yield "turn left"
        yield "turn right"
        if front is None or front.can_overlap():
            yield "move forward"
        yield "done"

    def _node(self, *, depth: int, problem: str = "") -> Node:
        engine, cells = self._engine, self._cells
        snapshot = self._snapshot()
        sights = look(cells, self._width, snapshot.agent, engine.agent_view_size)
        text = _describe(sights, engine.carrying)
        node = Node(
            self._next_serial(),
            snapshot,
            f"{problem}. {text}" if problem else text,
            sights,
            depth=depth,
            valid=not problem,
            over=depth >= STEP_LIMIT,
        )
        self._loaded = node.serial
        return node

    def _snapshot(self) -> _Snapshot:
        engine, cells = self._engine, self._cells
        x, y = engine.agent_pos
        agent = (int(x), int(y), int(engine.agent_dir))
        where = {id(c): i for i, c in enumerate(cells) if c is not None}
        return _Snapshot(
            agent,
            engine.carrying,
            tuple(
                (
                    where.get(id(thing), -1),
                    thing.cur_pos,
                    getattr(thing, "is_open", None),
                    getattr(thing, "is_locked", None),
                )
                for thing in self._things
            ),
            tuple(
                (
                    getattr(step, "a_done", None),
                    getattr(step, "b_done", None),
                    getattr(step, "preCarrying", None),
                )
                for step in self._steps
            ),
            tuple((d.obj_set, d.obj_poss) for d in self._descriptions),
            self._solved,
        )

    def _next_serial(self) -> int:
        self._serial += 1
        return self._serial


def _walk(instruction: Any) -> Iterator[Any]:
    yield instruction
    if isinstance(instruction, verifier.SeqInstr):
        yield from _walk(instruction.instr_a)
        yield from _walk(instruction.instr_b)


def _describe(sights: tuple[Sight, ...], carrying: Any) -> str:
    parts = []
    for name, ahead, right, thing, _ in sights:
        part = name
        if thing.type == "door":
            part += (
                " locked"
                if thing.is_locked
                else " open"
                if thing.is_open
                else " closed"
            )
        part += f" ahead {ahead}"
        if right:
            part += f" right {right}" if right > 0 else f" left {-right}"
        parts.append(part)
    held = "nothing" if carrying is None else f"{carrying.color} {carrying.type}"
    return f"see: {'; '.join(parts) or 'nothing'}. carrying: {held}"


_worlds: OrderedDict[tuple[str, int], World] = OrderedDict()
_worlds_lock = threading.Lock()


def get_world(level: str, seed: int) -> World:
    """Return the world of a task, shared by all environments in it.

    Only the most recent worlds are kept; an environment keeps its own alive.

    Raises:
        UnknownTaskError: If MiniGrid has no such level.
    """
    key = (level, seed)
    with _worlds_lock:
        world = _worlds.get(key)
        if world is not None:
            _worlds.move_to_end(key)
            return world
    made = World(level, seed)
    with _worlds_lock:
        # Another thread may have made it meanwhile; both must share one memo.
        world = _worlds.setdefault(key, made)
        if len(_worlds) > _WORLDS:
            _worlds.popitem(last=False)
        return world
