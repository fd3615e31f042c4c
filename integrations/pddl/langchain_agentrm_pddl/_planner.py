"""A small planner: best-first search guided by relaxed plans, and plans made shorter.

States are whole numbers, one bit an atom, since set operations on them are the cheapest
that Python has.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence
from itertools import islice, permutations

from langchain_agentrm_pddl._strips import Atom, State, Step, World

__all__ = ["Planner"]

_WEIGHT = 3
_WINDOW = 7
_NEAR = 2_000
_ORDERS = 2


class Planner:
    """Finds plans in one world from any of its states.

    Valid, and mostly short, but not proven shortest: nodes are ordered by their depth
    plus three times the length of a relaxed plan (one that ignores deletes), those
    reached by an action of that relaxed plan first.

    Args:
        world: The problem.
        most: Nodes expanded at most.
    """

    def __init__(self, world: World, most: int = 6_000) -> None:
        self._world = world
        self._most = most
        self._bits: dict[Atom, int] = {}
        changing = world.domain.changing
        self._steps: list[Step] = []
        self._needs: list[tuple[int, ...]] = []
        self._adds: list[tuple[int, ...]] = []
        for step in world.steps.values():
            if step.adds <= step.needs:
                continue
            self._steps.append(step)
            # Conditions that no action changes were settled when it was grounded.
            self._needs.append(
                tuple(self._bit(a) for a in sorted(step.needs) if a[0] in changing)
            )
            self._adds.append(tuple(self._bit(a) for a in sorted(step.adds)))
        self._need_masks = [self._mask(needs) for needs in self._needs]
        self._add_masks = [self._mask(adds) for adds in self._adds]
        self._keep_masks = [
            ~self._mask([self._bit(a) for a in step.deletes]) for step in self._steps
        ]
        self._goal = tuple(self._bit(a) for a in world.problem.goal)
        self._goal_mask = self._mask(self._goal)
        self._users: list[list[int]] = [[] for _ in self._bits]
        for i, needs in enumerate(self._needs):
            for bit in needs:
                self._users[bit].append(i)
        self._free = [i for i, needs in enumerate(self._needs) if not needs]

    def plan(self, state: State) -> list[Step] | None:
        """Find actions from a state to the goal.

        Args:
            state: Where to begin.

        Returns:
            The actions; empty where the goal holds; None where none were found.
        """
        start = self._mask([self._bits[a] for a in state if a in self._bits])
        found = self._search(start, self._goal, self._most // 4)
        if found is None:
            found = self._one_by_one(start)
        if found is None:
            return None
        return [self._steps[i] for i in self._shorten(start, found)]

    def _bit(self, atom: Atom) -> int:
        return self._bits.setdefault(atom, len(self._bits))

    @staticmethod
    def _mask(bits: Sequence[int]) -> int:
        mask = 0
        for bit in bits:
            mask |= 1 << bit
        return mask

    def _after(self, state: int, step: int) -> int:
        return (state & self._keep_masks[step]) | self._add_masks[step]

    def _open(self, state: int) -> list[int]:
        return [i for i, need in enumerate(self._need_masks) if state & need == need]

    def _one_by_one(self, start: int) -> list[int] | None:
        """Reach the goal's atoms one after another, in the best of some orders."""
        missing = [bit for bit in self._goal if not start >> bit & 1]
        held = tuple(bit for bit in self._goal if start >> bit & 1)
        best: list[int] | None = None
        for order in islice(permutations(missing), _ORDERS):
            state, plan = start, list[int]()
            for i in range(len(order)):
                part = self._search(state, (*held, *order[: i + 1]), self._most)
                if part is None:
                    break
                for step in part:
                    state = self._after(state, step)
                plan += part
            else:
                if best is None or len(plan) < len(best):
                    best = plan
        return best

    def _search(self, start: int, goal: tuple[int, ...], most: int) -> list[int] | None:
        goal_mask = self._mask(goal)
        # Each entry waits with its parent's estimate: most are never looked at again.
        came: dict[int, tuple[int, int, int]] = {start: (-1, -1, 0)}
        heap = [(0, 0, start)]
        closed: set[int] = set()
        serial = 0
        while heap and len(closed) < most:
            _, _, state = heapq.heappop(heap)
            if state in closed:
                continue
            closed.add(state)
            if state & goal_mask == goal_mask:
                return self._path(came, state)
            length, helpful = self._relaxed(state, goal)
            if length < 0:
                continue
            depth = came[state][2] + 1
            for i in self._open(state):
                child = self._after(state, i)
                known = came.get(child)
                if known is not None and (known[2] <= depth or child in closed):
                    continue
                came[child] = (state, i, depth)
                serial += 1
                rank = depth + _WEIGHT * (length - (i in helpful))
                heapq.heappush(heap, (rank, -serial, child))
        return None

    @staticmethod
    def _path(came: dict[int, tuple[int, int, int]], state: int) -> list[int]:
        steps = []
        while (entry := came[state])[0] >= 0:
            steps.append(entry[1])
            state = entry[0]
        return steps[::-1]

    def _relaxed(self, state: int, goal: tuple[int, ...]) -> tuple[int, set[int]]:
        """Estimate the distance to the goal.

        Returns:
            Length of a relaxed plan, -1 where there is none, and its actions.
        """
        by = self._givers(state, goal)
        if by is None:
            return -1, set()
        used: set[int] = set()
        seen: set[int] = set()
        todo = list(goal)
        while todo:
            bit = todo.pop()
            if bit in seen:
                continue
            seen.add(bit)
            giver = by[bit]
            if giver >= 0 and giver not in used:
                used.add(giver)
                todo += self._needs[giver]
        return len(used), used

    def _givers(self, state: int, goal: tuple[int, ...]) -> dict[int, int] | None:
        """Find the cheapest action that gives each atom, were nothing ever deleted.

        Returns:
            The action by atom, -1 where it holds already; None if the goal is out of
            reach.
        """
        users, adds = self._users, self._adds
        left = [len(needs) for needs in self._needs]
        price = [1] * len(left)
        cost: dict[int, int] = {}
        by: dict[int, int] = {}
        heap: list[tuple[int, int, int]] = []
        rest = state
        while rest:
            low = rest & -rest
            heap.append((0, low.bit_length() - 1, -1))
            rest ^= low
        heap += [(1, bit, i) for i in self._free for bit in adds[i]]
        heapq.heapify(heap)
        missing = set(goal)
        while heap and missing:
            spent, bit, giver = heapq.heappop(heap)
            if bit in cost:
                continue
            cost[bit] = spent
            by[bit] = giver
            missing.discard(bit)
            for i in users[bit]:
                left[i] -= 1
                price[i] += spent
                if not left[i]:
                    for new in adds[i]:
                        if new not in cost:
                            heapq.heappush(heap, (price[i], new, i))
        return None if missing else by

    def _shorten(self, start: int, plan: list[int]) -> list[int]:
        """Leave out what is not needed, and look for shortcuts between its states."""
        before = len(plan) + 1
        while len(plan) < before:
            before = len(plan)
            plan = self._pruned(start, plan)
            plan = self._cut(start, plan)
        return plan

    def _pruned(self, start: int, plan: list[int]) -> list[int]:
        i = 0
        while i < len(plan):
            rest = self._without(start, plan, i)
            if rest is None:
                i += 1
            else:
                plan = rest
        return plan

    def _without(self, start: int, plan: list[int], at: int) -> list[int] | None:
        """Leave out one action and all that then become impossible."""
        state, kept = start, []
        for i, step in enumerate(plan):
            need = self._need_masks[step]
            if i != at and state & need == need:
                state = self._after(state, step)
                kept.append(step)
        return kept if state & self._goal_mask == self._goal_mask else None

    def _cut(self, start: int, plan: list[int]) -> list[int]:
        states = [start]
        for step in plan:
            states.append(self._after(states[-1], step))
        last = {state: i for i, state in enumerate(states)}
        best, gain = plan, 0
        for i, state in enumerate(states):
            for end, way in self._near(state, last):
                if end - i - len(way) > gain:
                    gain = end - i - len(way)
                    best = [*plan[:i], *way, *plan[end:]]
            if gain:
                break
        return best

    def _near(self, state: int, last: dict[int, int]) -> list[tuple[int, list[int]]]:
        """Search around a state for later states of the plan."""
        came: dict[int, tuple[int, int, int]] = {state: (-1, -1, 0)}
        queue = deque([state])
        found = []
        while queue and len(came) < _NEAR:
            here = queue.popleft()
            if here in last:
                found.append((last[here], self._path(came, here)))
            depth = came[here][2]
            if depth < _WINDOW:
                for i in self._open(here):
                    child = self._after(here, i)
                    if child not in came:
                        came[child] = (here, i, depth + 1)
                        queue.append(child)
        return found
