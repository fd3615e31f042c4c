"""How a game is scored: by its own points, or by AgentBoard's subgoals."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm_jericho.games import AGENTBOARD

__all__ = ["FORMS", "Label", "hit", "load_labels", "tidy", "tidy_agentboard"]

FORMS = ("points", "agentboard")
"""`"points"`: score over highest score; `"agentboard"`: share of labelled subgoals."""

_REDUCED = re.compile(r"[^a-zA-Z0-9\s]")
_POINTS = re.compile(r"\[Your score .*?\]")


@dataclass(frozen=True, slots=True)
class Label:
    """AgentBoard's label of a game.

    Attributes:
        goal: The goal, where the label states one.
        subgoals: Pieces of text that count once each when they are seen.
    """

    goal: str
    subgoals: Sequence[str]


def hit(text: str, subgoals: Sequence[str], found: frozenset[int]) -> frozenset[int]:
    """Count at most one more subgoal, the first one whose text is contained.

    Args:
        text: The observation.
        subgoals: The label's subgoals.
        found: Numbers of those found before.

    Returns:
        Numbers of those found now.
    """
    seen = _REDUCED.sub("", text)
    for i, subgoal in enumerate(subgoals):
        if i not in found and _REDUCED.sub("", subgoal) in seen:
            return found | {i}
    return found


def tidy(text: str) -> str:
    """Take the padding of the status line and blank ends of lines out of a text."""
    lines = [" ".join(line.split()) for line in text.strip("> \n").splitlines()]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def tidy_agentboard(text: str) -> str:
    """Make one line of a text, as AgentBoard does, without the note of the score."""
    return _POINTS.sub("", re.sub(" {2,}", " ", text.replace("\n", " ")))


@lru_cache(maxsize=8)
def load_labels(path: str) -> Mapping[str, Label]:
    """Read AgentBoard's label file (`data/jericho/test.jsonl`).

    Its licence is GPL-2.0, so nothing of it is part of this package.

    Args:
        path: The file, one JSON object a line, in the order of AgentBoard's games.

    Returns:
        The labels by game.

    Raises:
        ConfigurationError: If there is no such file or it is not of that form.
    """
    remedy = "Give AgentBoard's data/jericho/test.jsonl."
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        msg = f"The label file {path} cannot be read ({error.strerror})."
        raise ConfigurationError(msg, remedy=remedy) from error
    try:
        rows: list[Any] = [json.loads(line) for line in lines if line.strip()]
        labels = [
            Label(str(row.get("goal", "")), tuple(map(str, row["subgoals"])))
            for row in rows
        ]
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        msg = f"{path} holds no labels: {error!r}."
        raise ConfigurationError(msg, remedy=remedy) from error
    if len(labels) != len(AGENTBOARD) or not all(x.subgoals for x in labels):
        msg = f"{path} has {len(labels)} labels, or one without subgoals."
        raise ConfigurationError(msg, remedy=f"{remedy} It has {len(AGENTBOARD)}.")
    return dict(zip(AGENTBOARD, labels, strict=True))
