"""AgentRM's published prompts, read from a folder that the user names.

They have no licence, so nothing of them is part of this package. Source: the folder
`eval_agent/prompt` of the AgentRM repository (ACL 2025).
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from langchain_agentrm.errors import ConfigurationError

__all__ = ["PromptFolder"]

_ROLES = {"user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant"}
_REMEDY = "Name AgentRM's eval_agent/prompt folder."


class PromptFolder:
    """AgentRM's prompt folder.

    Args:
        folder: The folder that holds `instructions`, `icl_examples` and
            `prm_instruction`.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """Remember the folder; files are read when they are asked for."""
        self.folder = Path(folder)

    def instruction(self, name: str) -> str:
        """Read a policy's instruction.

        Args:
            name: Its name, such as `"alfworld_inst"`.

        Returns:
            The instruction.

        Raises:
            ConfigurationError: If the folder has none of that name.
        """
        text = _text(self.folder / "instructions" / f"{name}.txt")
        return _line_ends(text).strip()

    def examples(self, name: str) -> list[tuple[dict[str, str], ...]]:
        """Read a task's worked examples.

        Args:
            name: Their name, such as `"alfworld_icl"`.

        Returns:
            The examples, each its turns as `{role, content}`; none where the folder has
            no such file.

        Raises:
            ConfigurationError: If the file holds no examples.
        """
        path = self.folder / "icl_examples" / f"{name}.json"
        if not path.is_file():
            return []
        try:
            found = [
                tuple(
                    {"role": _ROLES[t["role"]], "content": str(t["content"])}
                    for t in example
                )
                for example in json.loads(_text(path))
            ]
        except (ValueError, LookupError, TypeError) as error:
            msg = f"{path} holds no list of examples: {error!r}."
            raise ConfigurationError(msg, remedy=_REMEDY) from error
        if not found:
            msg = f"{path} holds no list of examples: it is empty."
            raise ConfigurationError(msg, remedy=_REMEDY)
        return found

    def policy(self, task: str) -> tuple[str, tuple[dict[str, str], ...]]:
        """Read what a policy is told: instruction and first worked example.

        Args:
            task: Name of the task in the names of the files, such as `"maze"`.

        Returns:
            Both, as `Start.instruction` and `Start.examples` take them; no turns where
            the folder has no example.

        Raises:
            ConfigurationError: If the instruction is missing or the example broken.
        """
        examples = self.examples(f"{task}_icl")
        return self.instruction(f"{task}_inst"), examples[0] if examples else ()

    def reward_instruction(self, name: str, goal: str) -> str:
        """Read a reward model's instruction, with the task's goal put in.

        Args:
            name: Its name, such as `"alfworld_wo_turninfo"`.
            goal: The goal.

        Returns:
            The instruction.

        Raises:
            ConfigurationError: If the folder has none of that name.
        """
        text = _text(self.folder / "prm_instruction" / f"{name}.txt")
        return _line_ends(text).replace("{task_goal}", goal)


def _line_ends(text: str) -> str:
    # Some of the published files have line ends written as two characters.
    return text.replace("\\n", "\n")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"A prompt is missing or no text: {path} ({error})."
        raise ConfigurationError(msg, remedy=_REMEDY) from error
