"""The simulator's own solutions, for demonstrations and as an upper reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from langchain_agentrm.environments.base import Demonstration
from langchain_agentrm.types import TaskRef
from langchain_agentrm_scienceworld.environment import (
    Options,
    ScienceWorld,
    locate,
)

__all__ = ["demonstrate", "gold_path"]

_NO_LIMIT = 10_000


def gold_path(task: TaskRef, env: ScienceWorld | None = None) -> list[str]:
    """Return the simulator's solution of a task, action by action.

    Args:
        task: The task.
        env: An environment with the options to use; by default ETO's evaluation.

    Returns:
        The actions, also those that do nothing under the simplifications.

    Raises:
        UnknownTaskError: If the task does not exist.
    """
    from langchain_agentrm_scienceworld._jvm import Where

    env = env or ScienceWorld()
    type_, variation = locate(task, env.options)
    return env.pool.gold(Where(type_, variation, env.options.easier))


def demonstrate(
    task: TaskRef, env: ScienceWorld | None = None, *, limited: bool = False
) -> Demonstration:
    """Play the simulator's solution until the task is over.

    Actions that open a door which is open already are left out, unless the solution
    counts on the time that they take, as where something has to grow.

    Args:
        task: The task.
        env: An environment with the options to use; by default ETO's evaluation.
        limited: Whether the limits of steps and moves end the episode; the solutions
            of many task types are longer.

    Returns:
        The episode, successful or not.

    Raises:
        UnknownTaskError: If the task does not exist.
    """
    options = Options() if env is None else env.options
    if not limited:
        options = replace(options, step_limit=_NO_LIMIT, move_limit=_NO_LIMIT)
    player = ScienceWorld(options)
    path = gold_path(task, player)
    if "easy" in options.easier or "openDoors" in options.easier:
        shown = _play(task, player, [x for x in path if not x.startswith("open door")])
        if shown.success:
            return shown
    return _play(task, player, path)


def _play(task: TaskRef, player: ScienceWorld, path: Sequence[str]) -> Demonstration:
    start = player.reset(task)
    return Demonstration.play(player, start, path)
