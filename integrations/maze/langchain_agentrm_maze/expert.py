"""An expert that walks the shortest way, for demonstrations and as a reference."""

from __future__ import annotations

from langchain_agentrm.environments.base import Demonstration
from langchain_agentrm.types import TaskRef
from langchain_agentrm_maze.environment import MazeEnvironment

__all__ = ["demonstrate", "expert_action"]


def expert_action(env: MazeEnvironment) -> str | None:
    """Choose a move on a shortest way; None where the episode is over.

    Raises:
        ConfigurationError: If no task was loaded.
    """
    here = env.position()
    return None if here.over else here.maze.towards(here.cell)


def demonstrate(task: TaskRef, env: MazeEnvironment | None = None) -> Demonstration:
    """Walk the shortest way until the goal or the step limit is reached.

    Args:
        task: The task.
        env: The environment to use; by default a new one.

    Returns:
        The episode, successful or not.

    Raises:
        UnknownTaskError: If the task does not exist.
    """
    env = env or MazeEnvironment()
    start = env.reset(task)
    return Demonstration.play(env, start, iter(lambda: expert_action(env), None))
