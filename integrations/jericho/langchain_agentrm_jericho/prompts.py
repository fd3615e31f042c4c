"""The instruction: in our own words, or AgentRM's published prompts from a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from langchain_agentrm.errors import ConfigurationError

__all__ = ["INSTRUCTION", "Prompts", "load_prompts"]

INSTRUCTION = """\
You play a work of interactive fiction: you read what happens, and type what the person
in the story does.
A command is a short imperative sentence, a verb and perhaps one or two things, such as
"look", "examine table", "open door", "take lamp", "put coin in box", "north",
"unlock door with key", "inventory".
The story knows a limited set of words and says so where it does not understand. Words
that it uses itself are the best ones.
Saving, undoing and restarting are not possible.
You have {steps} commands. Answer with one command each time, on a line that begins
with "Action:", perhaps after a line of thought."""
"""Role, rules and action grammar; `{steps}` is the step limit."""

_REMEDY = "Give AgentRM's eval_agent/prompt folder."


class Prompts:
    """AgentRM's published prompt folder (`eval_agent/prompt`), taken by path.

    It has no licence, so nothing of it is part of this package.

    Args:
        folder: The folder, with `instructions`, `icl_examples` and `prm_instruction`.

    Raises:
        ConfigurationError: If the folder lacks a file.
    """

    def __init__(self, folder: Path) -> None:
        self.instruction = _read(folder / "instructions/jericho_inst.txt").strip()
        self._examples = _turns(folder / "icl_examples/jericho_icl.json")
        self._reward = folder / "prm_instruction/jericho_wo_turninfo.txt"

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
def load_prompts(folder: str) -> Prompts:
    """Load prompts; the last eight sets are kept.

    Raises:
        ConfigurationError: If the folder lacks a file.
    """
    return Prompts(Path(folder))


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
