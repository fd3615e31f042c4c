"""An expert for demonstrations and as an upper reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from langchain_agentrm.environments.base import Start
from langchain_agentrm.types import TaskRef
from langchain_agentrm_alfworld._expert import plan
from langchain_agentrm_alfworld.environment import ALFWorld

__all__ = ["Demonstration", "demonstrate"]


@dataclass(frozen=True, slots=True)
class Demonstration:
    """One episode of the expert.

    Attributes:
        start: What the task showed first.
        steps: The observation before each action, and the action.
        score: The episode's score, 0..1.
        success: Whether the task was solved.
    """

    start: Start
    steps: Sequence[tuple[str, str]]
    score: float
    success: bool


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
    observation, score, success = start.observation, 0.0, False
    steps: list[tuple[str, str]] = []
    for command in plan(env.world(), start.step_limit):
        action = env.surface(command)
        transition = env.step(action)
        steps.append((observation, action))
        observation = transition.observation
        score, success = transition.score, transition.success
    return Demonstration(start, tuple(steps), score, success)
