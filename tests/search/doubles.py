"""Policies, reward models and runs that the search tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_agentrm.testing.scripted import (
    ScriptedFactory,
    ScriptedPolicy,
    ScriptedRewardModel,
)

if TYPE_CHECKING:
    from random import Random

    from langchain_core.messages import BaseMessage

    from langchain_agentrm.trajectory import Trajectory
    from langchain_agentrm.types import TaskRef

ACTIONS = ("add 1", "add 2", "add 3", "take 1", "take 2")


def wander(messages: list[BaseMessage], rng: Random) -> str:
    """Play any of the game's actions."""
    del messages
    return rng.choice(ACTIONS)


def closeness(trajectory: Trajectory) -> float:
    """Tell how near the actions come to the goal: 1 at it, less on either side."""
    goal = int(trajectory.goal.removeprefix("Reach ").rstrip("."))
    total = 0
    for turn in trajectory.turns:
        verb, _, amount = turn.action.partition(" ")
        if verb in {"add", "take"} and amount.isdigit():
            total += int(amount) if verb == "add" else -int(amount)
    return 1 - abs(goal - total) / 100


def game() -> tuple[ScriptedPolicy, ScriptedRewardModel, ScriptedFactory]:
    """Make the three parts of a search that can win."""
    return (
        ScriptedPolicy(answers=wander),
        ScriptedRewardModel(closeness),
        ScriptedFactory(),
    )


def a_task(factory: ScriptedFactory, seed: int = 203, type_: str = "count") -> TaskRef:
    """Name a task; the default one's goal is 6."""
    return factory.task(type_, seed)


def pool_of(builder: Any) -> Any:
    """Find the branch pool of a ready graph."""
    name = "select" if "select" in builder.nodes else "sample"
    return builder.nodes[name].runnable.pool


def texts(messages: list[BaseMessage]) -> list[tuple[str, str]]:
    """Messages as kind and text, for comparing runs."""
    return [(m.type, str(m.text)) for m in messages]
