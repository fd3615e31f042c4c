"""LangChain tools over a state of their own: each branch works on its own copy."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from langchain_core.tools import BaseTool

from langchain_agentrm.environments.base import Split, Start
from langchain_agentrm.environments.tools import ToolEnvironment, ToolFactory
from langchain_agentrm.errors import ForkError
from langchain_agentrm.types import Action, TaskRef

__all__ = ["StateGrade", "StatefulToolEnvironment", "StatefulToolFactory"]

StateGrade = Callable[[str, Any, Sequence[Action]], float]


class StatefulToolFactory(ToolFactory):
    """Requests to be worked on with tools that read and change a state.

    Every episode starts from a state of its own, and a fork copies it in depth, so that
    tools may change it in branches that are dropped. Nothing else may be changed by
    them: what they do to the world outside would stay.

    Args:
        reset: `fn(request)` that makes the state in which an episode starts, a new one
            at each call and equal ones for equal requests.
        tools: `fn(state)` that makes the tools that work on this very state.
        requests: The users' requests by id.
        splits: Ids of the requests of each split; None means that all are for tests.
        grade: `fn(request, state, actions)` that grades a finished episode, 0..1, from
            the state it ends in; None gives 0.
        instruction: Role and rules, for policy and reward model.
        step_limit: Actions at most.
        name: Name of the environment.
    """

    def __init__(
        self,
        reset: Callable[[str], Any],
        tools: Callable[[Any], Sequence[BaseTool | Callable[..., Any]]],
        requests: Mapping[str, str],
        *,
        splits: Mapping[Split, Sequence[str]] | None = None,
        grade: StateGrade | None = None,
        instruction: str = "",
        step_limit: int = 30,
        name: str = "tools",
    ) -> None:
        super().__init__(
            [],
            requests,
            splits=splits,
            instruction=instruction,
            step_limit=step_limit,
            name=name,
        )
        self.reset = reset
        self._make_tools = tools
        self._grade_state = grade

    def make(self) -> StatefulToolEnvironment:
        """Make an environment that has not been reset."""
        return StatefulToolEnvironment(self)

    def over(self, state: Any) -> ToolFactory:
        """Make the tools of one state, with everything else as here.

        Args:
            state: The state; it is not copied.

        Returns:
            A factory whose tools and grade work on this state.
        """
        grade = self._grade_state
        return ToolFactory(
            self._make_tools(state),
            self.requests,
            grade=grade and (lambda request, actions: grade(request, state, actions)),
            instruction=self.instruction,
            step_limit=self.step_limit,
            name=self.name,
        )


class StatefulToolEnvironment(ToolEnvironment):
    """A user's request, worked on with tools over a state; made by its factory.

    Attributes:
        state: The state as it is now; None before the first `reset`.
    """

    def __init__(self, factory: StatefulToolFactory) -> None:
        super().__init__(factory)
        self._whole = factory
        self.state: Any = None

    def _reset(self, task: TaskRef) -> Start:
        self._work_on(self._whole.reset(self._whole.request(task)))
        return super()._reset(task)

    def _work_on(self, state: Any) -> None:
        self.state = state
        self._factory = self._whole.over(state)

    def _copy(self) -> Self:
        try:
            state = copy.deepcopy(self.state)
        except Exception as error:
            name = self._whole.name
            msg = f"The state of environment {name!r} cannot be copied: {error!r}."
            raise ForkError(
                msg,
                remedy="Keep plain data in it, or give its class __deepcopy__.",
            ) from error
        twin = super()._copy()
        if self.task is not None:
            twin._work_on(state)  # noqa: SLF001 - another of its own class
        return twin

    def _fresh(self) -> Self:
        return type(self)(self._whole)
