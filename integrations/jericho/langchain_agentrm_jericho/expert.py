"""Jericho's walkthroughs, for demonstrations and as an upper reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from langchain_agentrm.environments.base import Demonstration
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.types import TaskRef
from langchain_agentrm_jericho.environment import JerichoGame, Options

__all__ = ["demonstrate", "play"]


def play(
    task: TaskRef, commands: Sequence[str], options: Options | None = None
) -> Demonstration:
    """Type commands until they or the game end.

    Args:
        task: The task.
        commands: What to type.
        options: How to play.

    Returns:
        The episode.

    Raises:
        UnknownTaskError: If the task does not exist.
    """
    env = JerichoGame(options)
    start = env.reset(task)
    return Demonstration.play(env, start, commands)


def demonstrate(
    task: TaskRef, options: Options | None = None, *, limited: bool = False
) -> Demonstration:
    """Play Jericho's walkthrough of a game.

    It is made for the task of seed 0; chance may spoil it with another seed.

    Args:
        task: The task.
        options: How to play.
        limited: Whether the step limit ends the episode; most walkthroughs are longer.

    Returns:
        The episode, successful or not.

    Raises:
        UnknownTaskError: If the task does not exist.
        ConfigurationError: If Jericho has no walkthrough of it.
    """
    options = options or Options()
    walkthrough = options.story(task["type"]).walkthrough
    if not walkthrough:
        msg = f"Jericho has no walkthrough of {task['type']!r}."
        raise ConfigurationError(
            msg, remedy="Take a file that Jericho knows, or call play with commands."
        )
    if not limited:
        options = replace(options, step_limit=len(walkthrough) + 1)
    return play(task, walkthrough, options)
