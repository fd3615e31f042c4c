"""An expert that plans, for demonstrations and as an upper reference."""

from __future__ import annotations

from functools import lru_cache

from langchain_agentrm.environments.base import Demonstration
from langchain_agentrm.types import TaskRef
from langchain_agentrm_pddl._planner import Planner
from langchain_agentrm_pddl._strips import State, World
from langchain_agentrm_pddl.environment import PDDL

__all__ = ["demonstrate", "expert_action"]

_REMEMBERED = 10_000


def expert_action(env: PDDL) -> str | None:
    """Choose the next action of a plan from this state.

    Args:
        env: An environment with a task.

    Returns:
        The action, or None where the episode is over or no plan was found.

    Raises:
        ConfigurationError: If no task was loaded.
    """
    here = env.position()
    if here.over:
        return None
    return _guide(here.world).next(here.state)


def demonstrate(task: TaskRef, env: PDDL | None = None) -> Demonstration:
    """Let the expert act until the goal holds or the step limit is reached.

    Args:
        task: The task.
        env: The environment to use; by default a new one.

    Returns:
        The episode, successful or not.

    Raises:
        UnknownTaskError: If the task does not exist.
    """
    env = env or PDDL()
    start = env.reset(task)
    here = env.position()
    plan = _guide(here.world).plan(here.state)
    return Demonstration.play(env, start, plan[: start.step_limit])


class _Guide:
    """Plans of one world, remembered for every state on their way."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._planner = Planner(world)
        self._next: dict[State, str | None] = {}

    def plan(self, state: State) -> list[str]:
        """List the actions of a plan from a state; none where none was found."""
        actions = []
        while (action := self.next(state)) is not None:
            actions.append(action)
            state = self._world.apply(state, self._world.steps[action])
        return actions

    def next(self, state: State) -> str | None:
        """Choose the next action; None at the goal and where no plan was found."""
        if state not in self._next:
            if len(self._next) > _REMEMBERED:
                self._next.clear()
            plan = self._planner.plan(state) or ()
            here = state
            for step in plan:
                self._next[here] = step.text
                here = self._world.apply(here, step)
            self._next[here] = None
        return self._next[state]


@lru_cache(maxsize=16)
def _guide(world: World) -> _Guide:
    return _Guide(world)
