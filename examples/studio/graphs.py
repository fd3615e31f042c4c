"""What `langgraph dev` and LangGraph Studio load: a search and an agent.

Both are compiled without a checkpointer, as the server brings its own, and take plain
JSON. `OPENAI_BASE_URL`, `OPENAI_API_KEY` and `POLICY_MODEL` name the model.
"""

from __future__ import annotations

import os
from typing import Literal

from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from langchain_agentrm import (
    Environment,
    FunctionRewardModel,
    TaskRef,
    Trajectory,
    create_beam_search,
)
from langchain_agentrm.environments.base import EnvironmentSpec, Split, Start
from langchain_agentrm.errors import UnknownTaskError
from langchain_agentrm.middleware import AgentRMMiddleware
from langchain_agentrm.types import Action, Transition

POLICY = ChatOpenAI(
    model=os.environ.get("POLICY_MODEL", "any"),
    base_url=os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8900/v1"),
    api_key=os.environ.get("OPENAI_API_KEY", "EMPTY"),
)


class Corridor(Environment):
    """Walk from cell 0 to the exit."""

    spec = EnvironmentSpec(fork="replay", replayable=True)

    def _reset(self, task: TaskRef) -> Start:
        self.cell, self.exit = 0, 2 + task["seed"] % 3
        return Start(
            observation="cell 0",
            goal=f"Reach cell {self.exit}.",
            instruction="Answer with one of: left, right",
            step_limit=10,
        )

    def _step(self, action: Action) -> Transition:
        moves = {"left": -1, "right": 1}
        self.cell = max(0, self.cell + moves.get(str(action), 0))
        won = self.cell == self.exit
        return Transition(
            observation=f"cell {self.cell}",
            progress=min(1.0, self.cell / self.exit),
            done=won,
            success=won,
            score=float(won),
            info={"valid": str(action) in moves},
        )


class CorridorFactory:
    """Names tasks and makes environments."""

    name = "corridor"
    spec = Corridor.spec

    def types(self, group: str) -> list[str]:
        """Name the task types of a group."""
        return [] if group in {"held_out", "dev"} else ["straight"]

    def task(self, type_: str, seed: int) -> TaskRef:
        """Name a task."""
        if type_ != "straight":
            msg = f"corridor has no task type {type_!r}."
            raise UnknownTaskError(msg, remedy="Use 'straight'.")
        return TaskRef(env=self.name, type=type_, id=f"{type_}:{seed}", seed=seed)

    def tasks(
        self, split: Split, types: list[str] | None = None, limit: int | None = None
    ) -> list[TaskRef]:
        """Name the tasks of a split."""
        first = {"train": 0, "dev": 1000, "test": 2000}[split]
        seeds = range(first, first + (limit or 100))
        return [self.task(t, s) for s in seeds for t in (types or ["straight"])]

    def make(self) -> Corridor:
        """Make an environment."""
        return Corridor()


def rate_walk(trajectories: list[Trajectory]) -> list[float]:
    """Prefer the way to the right, and the shorter of two ways."""
    steps = {"right": 0.9, "left": -1.1}
    return [sum(steps.get(t.action, 0.0) for t in x.turns) for x in trajectories]


search = create_beam_search(
    POLICY,
    FunctionRewardModel(rate_walk),
    CorridorFactory(),
    beam_width=2,
    expansions=4,
).compile(name="search")


@tool
def look_up(word: Literal["agent", "reward", "search"]) -> str:
    """Look up a word.

    Args:
        word: The word.
    """
    return f"{word}: a word of {len(word)} letters"


def rate_answer(trajectories: list[Trajectory]) -> list[float]:
    """Look something up once, then answer."""
    return [
        float(("look_up" in t.turns[-1].action) == (len(t.turns) == 1))
        for t in trajectories
    ]


agent = create_agent(
    POLICY,
    [look_up],
    middleware=[AgentRMMiddleware(FunctionRewardModel(rate_answer), n=8)],
    name="agent",
)
