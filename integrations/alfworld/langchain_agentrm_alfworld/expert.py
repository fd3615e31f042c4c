"""An expert for demonstrations and as an upper reference."""

from __future__ import annotations

from langchain_agentrm.environments.base import Demonstration
from langchain_agentrm.types import TaskRef
from langchain_agentrm_alfworld._expert import plan
from langchain_agentrm_alfworld.environment import ALFWorld

__all__ = ["demonstrate"]


def demonstrate(task: TaskRef, env: ALFWorld | None = None) -> Demonstration:
    """Let the expert play until it wins, knows no more or reaches the step limit.

    It reads the goal and which type of receptacle holds what; where things are it knows
    only from its own actions. Its actions are of the environment's own grammar.

    Args:
        task: The task.
        env: The environment to use; by default a new one in ETO's form.

    Returns:
        The episode, successful or not.

    Raises:
        UnknownTaskError: If the task does not exist.
    """
    env = env or ALFWorld()
    start = env.reset(task)
    commands = plan(env.world(), start.step_limit)
    return Demonstration.play(env, start, map(env.surface, commands))
