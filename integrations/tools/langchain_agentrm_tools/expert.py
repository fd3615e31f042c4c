"""The solution that every generated task brings, for demonstrations."""

from __future__ import annotations

from langchain_agentrm.environments.base import Demonstration
from langchain_agentrm.types import TaskRef
from langchain_agentrm_tools._grammar import written
from langchain_agentrm_tools.environment import ToolTasks

__all__ = ["demonstrate", "expert_action"]


def expert_action(env: ToolTasks) -> str | None:
    """Choose the first call of the plan that was not made yet.

    The plan is that of the task's start: what other calls changed since, in a to-do
    list or a sheet, is not repaired.

    Args:
        env: An environment with a task.

    Returns:
        The action as text; None where the episode is over or no plan is known.

    Raises:
        ConfigurationError: If no task was loaded.
    """
    plan = env.label.plan
    if plan is None or env.over:
        return None
    made = [env.key(action) for action in env.actions_taken]
    made += [
        env.key(written(call["name"], call["args"]))
        for action in env.actions_taken
        if not isinstance(action, str)
        for call in action
    ]
    last = None
    for name, arguments in plan:
        last = written(name, dict(arguments))
        if env.key(last) in made:
            made.remove(env.key(last))
        else:
            return last
    return last


def demonstrate(task: TaskRef, env: ToolTasks | None = None) -> Demonstration:
    """Let the expert act until it finishes.

    Args:
        task: The task.
        env: The environment to use; by default a new one.

    Returns:
        The episode; without steps where no plan is known.

    Raises:
        UnknownTaskError: If the task does not exist.
    """
    env = env or ToolTasks()
    start = env.reset(task)
    return Demonstration.play(env, start, iter(lambda: expert_action(env), None))
