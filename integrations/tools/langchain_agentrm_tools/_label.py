"""A task: its goal, how it is scored, and, where it was generated, a solution."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from langchain_agentrm_tools._kit import Kit

__all__ = ["Ask", "Goal", "Label", "prepare"]

Ask = Callable[..., Any]
"""Calls a function, `ask(name, argument=...)`, and returns its result as data."""


@dataclass(frozen=True, slots=True)
class Label:
    """One task in AgentBoard's terms.

    Attributes:
        tool: `weather`, `movie`, `academia`, `todo` or `sheet`.
        goal: What is asked.
        subgoals: Values that the log should hold.
        answer: The answer; for a sheet JSON text of the table that should come out, for
            a to-do operation the projects and tasks.
        config: `current_date` and `current_location`, where there are.
        goal_type: 1 where a to-do task is also judged by the final state.
        difficulty: `"easy"` or `"hard"`.
        plan: A solution as calls (name, arguments), or None where none is known.
    """

    tool: str
    goal: str
    subgoals: tuple[Any, ...]
    answer: Any
    config: Mapping[str, str] = field(default_factory=dict)
    goal_type: int = 0
    difficulty: str = "easy"
    plan: tuple[tuple[str, Mapping[str, Any]], ...] | None = None

    def line(self) -> dict[str, Any]:
        """Write it as a line of AgentBoard's label files; the plan is left out."""
        return {
            "goal": self.goal,
            "subgoals": list(self.subgoals),
            "difficulty": self.difficulty,
            "additional_info": {
                "tool": self.tool,
                "answer": self.answer,
                "init_config": dict(self.config),
                "goal_type": self.goal_type,
            },
        }


@dataclass(frozen=True, slots=True)
class Goal:
    """A drawn task before it was solved.

    Attributes:
        text: What is asked.
        solve: Solves it by calls and returns the answer; None for an operation.
        hard: Whether it counts as hard.
    """

    text: str
    solve: Callable[[Ask], Any]
    hard: bool = False


def prepare(goal: Goal, kit: Kit, config: Mapping[str, str]) -> Label:
    """Solve a task in a copy of its kit and write the label from what was done.

    Args:
        goal: The task.
        kit: The tool in its first state; not changed.
        config: Where and when it is.

    Returns:
        Its label, with the calls made as the plan.
    """
    from langchain_agentrm_tools.sheet import Sheets
    from langchain_agentrm_tools.todo import Todo

    work = kit.fork()
    plan: list[tuple[str, Mapping[str, Any]]] = []

    def ask(name: str, /, **arguments: Any) -> Any:
        plan.append((name, arguments))
        return work.result(name, arguments)

    answer = goal.solve(ask)
    operation = answer is None
    subgoals = tuple(work.log)
    if isinstance(work, Sheets):
        answer, subgoals = json.dumps(work.values(), ensure_ascii=False), ()
        plan.append(("finish", {}))
    elif operation and isinstance(work, Todo):
        # The answer to an operation is the agent's own wording, so it is not scored.
        answer = work.final()
        plan.append(("finish", {"answer": "done"}))
    else:
        ask("finish", answer=answer)
        subgoals = tuple(work.log)
    return Label(
        kit.tool,
        goal.text,
        subgoals,
        answer,
        config,
        int(operation),
        "hard" if goal.hard else "easy",
        tuple(plan),
    )
