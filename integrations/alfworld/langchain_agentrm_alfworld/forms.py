"""The two published ways to play ALFWorld, as rules around an unchanged engine."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm_alfworld._expert import Aim
from langchain_agentrm_alfworld._play import NOTHING

__all__ = [
    "AGENTBOARD",
    "CHECK",
    "ETO",
    "FORMS",
    "Form",
    "generated_subgoals",
    "read_labels",
    "without_place",
]

CHECK = "check valid actions"
"""The action that AgentBoard adds: it lists the admissible ones and costs a step."""

_LONGEST = 4096
_PLACE = re.compile(r"You arrive at loc [^.]*\. ")


@dataclass(frozen=True, slots=True)
class Form:
    """The rules of one benchmark.

    Attributes:
        name: `"eto"` or `"agentboard"`.
        step_limit: Actions after which the episode ends.
        invalid: What a message without action is told; None shows the engine an empty
            command.
        progress: Whether progress counts subgoals, and is the score.
    """

    name: str
    step_limit: int
    invalid: str | None
    progress: bool

    def command(self, action: str) -> str:
        """Tidy an action as the benchmark does before its engine sees it."""
        command = action.strip()
        if not self.progress:
            return command
        if "put" in command:
            if " in " in command:
                command = command.replace(" in ", " in/on ")
            elif " on " in command:
                command = command.replace(" on ", " in/on ")
        # The agent's side drops one full stop and the environment another.
        return command.removesuffix(".").strip().removesuffix(".")

    def key(self, action: str) -> str:
        """Normalise an action: tidied until nothing changes any more."""
        action = action.strip()
        if len(action) > _LONGEST:
            # No command, and tidying it bit by bit could take long.
            return action
        tidy = self.command(action)
        while tidy != action:
            action, tidy = tidy, self.command(tidy)
        return tidy

    def remembers(self, command: str, answer: str) -> bool:
        """Whether a later `look` repeats this answer."""
        moved = "go to" in command or "open" in command
        return self.progress and moved and NOTHING.rstrip(".") not in answer


ETO = Form(
    name="eto",
    step_limit=40,
    invalid="Error Input. Your input must contains 'Action: '",
    progress=False,
)
"""As in ETO and AgentRM: 40 steps, scored by success."""

AGENTBOARD = Form(name="agentboard", step_limit=30, invalid=None, progress=True)
"""As in AgentBoard: 30 steps, scored by the best progress over labelled subgoals."""

FORMS: Mapping[str, Form] = {form.name: form for form in (ETO, AGENTBOARD)}
"""The forms by name."""


def without_place(text: str) -> str:
    """Drop the `You arrive at loc N.` that older games begin an answer with."""
    match = _PLACE.match(text)
    return text[match.end() :] if match else text


def generated_subgoals(aim: Aim) -> tuple[str, ...]:
    """Subgoals of a generated game, for which AgentBoard has no labels: ours.

    Args:
        aim: What the goal asks for.

    Returns:
        Regular expressions in the form of AgentBoard's labels: pick the object up, then
        treat it, light the lamp, or place the first of two.
    """
    thing, home = aim.thing.removesuffix("type"), aim.home.removesuffix("type")
    found = [rf"You pick up the {thing} \d+ from"]
    if aim.lamp:
        found.append(rf"You turn on the {aim.lamp.removesuffix('type')} \d+")
    elif aim.treatment:
        found.append(rf"You {aim.treatment} the {thing} \d+ using")
    elif aim.count > 1:
        found.append(rf"You (?:move|put) the {thing} \d+ (?:to|in/on) the {home} \d+")
    return tuple(found)


@lru_cache(maxsize=4)
def read_labels(path: Path) -> Mapping[str, tuple[str, ...]]:
    """Read AgentBoard's label file.

    Args:
        path: `test.jsonl`, or the folder that holds it.

    Returns:
        The subgoals of each game, by its id.

    Raises:
        ConfigurationError: If the file is missing or is no label file.
    """
    file = path / "test.jsonl" if path.is_dir() else path
    labels: dict[str, tuple[str, ...]] = {}
    try:
        for line in file.read_text(encoding="utf-8").splitlines():
            if line.strip():
                row = json.loads(line)
                subgoals = tuple(str(x) for x in row["subgoals"])
                for subgoal in subgoals:
                    re.compile(subgoal)
                labels[row["additional_info"]["description"]] = subgoals
    except (OSError, ValueError, KeyError, TypeError, re.error) as error:
        msg = f"{file} cannot be read as AgentBoard's ALFWorld labels: {error!r}."
        raise ConfigurationError(
            msg, remedy="Give AgentBoard's data/alfworld/test.jsonl or its folder."
        ) from error
    return labels
