"""The instruction: in our own words, or AgentRM's published prompts from a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from langchain_agentrm.errors import ConfigurationError

__all__ = ["Prompts", "instruction", "load_prompts"]

_ACTIONS = (
    ("look around", "describe the room"),
    ("look at OBJ", "describe a thing closely"),
    ("look in OBJ", "see what a container holds"),
    ("read OBJ", "read a note or book"),
    ("inventory", "see what you hold"),
    ("task", "read your task again"),
    ("go to PLACE", "walk to a room beside this one"),
    ("open OBJ", "open a door or container"),
    ("close OBJ", "close it"),
    ("pick up OBJ", "take it into your inventory"),
    ("put down OBJ", "leave it in this room"),
    ("move OBJ to OBJ", "put a thing into or onto another"),
    ("pour OBJ into OBJ", "empty a liquid into a container"),
    ("dunk OBJ into OBJ", "dip a container into a liquid"),
    ("mix OBJ", "let the contents of a container react"),
    ("use OBJ on OBJ", "apply a tool, such as a thermometer, to a thing"),
    ("activate OBJ", "switch a device on"),
    ("deactivate OBJ", "switch it off"),
    ("eat OBJ", "eat food"),
    ("flush OBJ", "flush a toilet"),
    ("focus on OBJ", "say that this thing is what the task asks for"),
    ("wait", "let ten moments pass"),
    ("wait1", "let one moment pass"),
)
_CIRCUIT = (
    ("connect OBJ to OBJ", "join two ends of electrical parts"),
    ("disconnect OBJ", "undo its connections"),
)
_TELEPORT = ("teleport to PLACE", "be in any room at once")
_REMEDY = "Give AgentRM's eval_agent/prompt folder."


def instruction(step_limit: int, *, teleport: bool, circuit: bool) -> str:
    """Write role, rules and action grammar.

    Args:
        step_limit: Actions per episode.
        teleport: Whether the agent can be in any room at once.
        circuit: Whether electrical parts can be connected.

    Returns:
        The instruction, in our own words.
    """
    actions = list(_ACTIONS)
    if teleport:
        actions.insert(7, _TELEPORT)
    if circuit:
        actions += _CIRCUIT
    listed = "\n".join(f"{action} - {what}" for action, what in actions)
    return (
        "You are in a house with a workshop, a greenhouse and other rooms, and have an "
        "experiment to carry out.\n"
        "After each of your actions you read what happened. If an action could mean "
        "more than one thing you get a numbered list; answer with a number of it.\n"
        "Focus only on what the task tells you to: a wrong focus ends it.\n"
        f"You have {step_limit} actions. Answer with one action each time, on a line "
        'that begins with "Action:", perhaps after a line of thought.\n'
        f"The actions, with OBJ for a thing and PLACE for a room:\n{listed}"
    )


class Prompts:
    """AgentRM's published prompt folder (`eval_agent/prompt`), taken by path.

    It has no licence, so nothing of it is part of this package.

    Args:
        folder: The folder, with `instructions`, `icl_examples` and `prm_instruction`.
        form: `"eto"` or `"agentboard"`.

    Raises:
        ConfigurationError: If the folder lacks a file.
    """

    def __init__(self, folder: Path, form: str) -> None:
        name = "sciworld" if form == "eto" else "sciworld_ab"
        self.instruction = _read(folder / f"instructions/{name}_inst.txt").strip()
        self._examples = _turns(folder / f"icl_examples/{name}_icl.json")
        self._reward = folder / f"prm_instruction/{name}_wo_turninfo.txt"

    def examples(self) -> list[Mapping[str, str]]:
        """Turns of the first example, as `{role, content}`."""
        return list(self._examples[0])

    def reward_instruction(self, goal: str) -> str:
        """The reward model's instruction for a goal.

        Raises:
            ConfigurationError: If the folder has none.
        """
        return _read(self._reward).replace("{task_goal}", goal)


@lru_cache(maxsize=8)
def load_prompts(folder: str, form: str) -> Prompts:
    """Load prompts; the last eight sets are kept.

    Raises:
        ConfigurationError: If the folder lacks a file.
    """
    return Prompts(Path(folder), form)


def _turns(path: Path) -> Sequence[Sequence[Mapping[str, str]]]:
    try:
        found: Any = json.loads(_read(path))
    except ValueError as error:
        msg = f"{path} is no JSON file of examples: {error}."
        raise ConfigurationError(msg, remedy=_REMEDY) from error
    if not isinstance(found, list) or not found:
        msg = f"{path} holds no examples."
        raise ConfigurationError(msg, remedy=_REMEDY)
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        msg = f"A prompt is missing: {path} ({error.strerror})."
        raise ConfigurationError(msg, remedy=_REMEDY) from error
