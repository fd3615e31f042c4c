"""The rules around the simulator: ETO's evaluation, or AgentBoard's."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm_scienceworld.catalogue import (
    MOVE_LIMIT,
    STEP_LIMITS,
    type_name,
)

__all__ = ["AGENTBOARD", "ETO", "FORMS", "Form", "Label", "load_labels"]


@dataclass(frozen=True, slots=True)
class Form:
    """Whose rules a task is played by.

    Attributes:
        name: `"eto"` or `"agentboard"`.
        simplifications: What the simulator is asked to make easier.
        step_limits: Actions per episode by task type.
        move_limit: The simulator's own moves after which the episode ends.
        progress: Whether subgoals of a label are counted instead of its score.
    """

    name: str
    simplifications: str
    step_limits: Mapping[str, int]
    move_limit: int
    progress: bool


ETO = Form("eto", "easy", STEP_LIMITS, MOVE_LIMIT, progress=False)
"""ETO's evaluation, which AgentRM follows: the best raw score of the episode."""

AGENTBOARD = Form(
    "agentboard",
    "selfWateringFlowerPots,openContainers,openDoors,noElectricalAction",
    dict.fromkeys(STEP_LIMITS, 30),
    MOVE_LIMIT,
    progress=True,
)
"""AgentBoard: 30 steps, no teleporting, the share of labelled subgoals seen."""

FORMS: Mapping[str, Form] = {form.name: form for form in (ETO, AGENTBOARD)}


@dataclass(frozen=True, slots=True)
class Label:
    """One of AgentBoard's labelled tasks.

    Attributes:
        type: Task type.
        variation: Which of its variations.
        goal: The goal in AgentBoard's words.
        subgoals: Regular expressions that observations are searched for.
    """

    type: str
    variation: int
    goal: str
    subgoals: Sequence[str]


@lru_cache(maxsize=8)
def load_labels(path: str) -> Mapping[tuple[str, int], Label]:
    """Read AgentBoard's label file (`data/scienceworld/test.jsonl`).

    Its licence is GPL-2.0, so nothing of it is part of this package.

    Args:
        path: The file, with one JSON object a line: `goal`, `subgoals` and
            `additional_info` with `env_name` and `var`.

    Returns:
        The labels by task type and variation, in the file's order.

    Raises:
        ConfigurationError: If there is no such file or it is not of that form.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        msg = f"The label file {path} cannot be read ({error.strerror})."
        raise ConfigurationError(
            msg, remedy="Give AgentBoard's data/scienceworld/test.jsonl."
        ) from error
    found: dict[tuple[str, int], Label] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            label = _label(json.loads(line))
        except (LookupError, TypeError, ValueError, re.error) as error:
            msg = f"Line {number} of {path} is no label: {error!r}."
            raise ConfigurationError(
                msg, remedy="Give AgentBoard's data/scienceworld/test.jsonl."
            ) from error
        found[label.type, label.variation] = label
    return found


def _label(row: Mapping[str, Any]) -> Label:
    where = row["additional_info"]
    name = type_name(str(where["env_name"]))
    subgoals = [str(pattern) for pattern in row["subgoals"]]
    if not subgoals:
        msg = "no subgoals"
        raise ValueError(msg)
    for pattern in subgoals:
        re.compile(pattern)
    return Label(name, int(where["var"]), str(row["goal"]), tuple(subgoals))
