"""LangChain tools in a search: which may run in branches, and how they run there."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Self, get_args

from langchain_core.messages import AIMessage, ToolCall, ToolMessage
from langchain_core.tools import BaseTool, ToolException, tool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import ValidationError

from langchain_agentrm.environments.base import (
    Environment,
    EnvironmentSpec,
    Split,
    Start,
)
from langchain_agentrm.environments.tasks import TypeGroup, check_known
from langchain_agentrm.environments.text import clean
from langchain_agentrm.errors import ConfigurationError, UnknownTaskError
from langchain_agentrm.search import ToolCallGrammar
from langchain_agentrm.types import Action, TaskRef, Transition

__all__ = [
    "ToolEnvironment",
    "ToolFactory",
    "as_tools",
    "check_tools",
    "irreversible",
    "observation_of",
]

_TYPE = "request"

Grade = Callable[[str, Sequence[Action]], float]


def as_tools(tools: Sequence[BaseTool | Callable[..., Any]]) -> list[BaseTool]:
    """Take tools as `create_agent` takes them: a plain function becomes a tool.

    Args:
        tools: Tools, or functions with a docstring and annotated parameters.

    Returns:
        The tools; those made here are not marked as reversible.
    """
    return [t if isinstance(t, BaseTool) else tool(t) for t in tools]


def irreversible(
    tools: Sequence[BaseTool], reversible: Collection[str] = ()
) -> list[str]:
    """Name the tools that must not run in a branch which may be dropped.

    Args:
        tools: The tools offered.
        reversible: Names of tools that leave nothing behind that matters, besides those
            whose `metadata` says `{"reversible": True}`.

    Returns:
        Names of all others, in order.

    Raises:
        ConfigurationError: If `reversible` names no tool.
    """
    names = [t.name for t in tools]
    unknown = sorted(set(reversible) - set(names))
    if unknown:
        msg = f"reversible={unknown} names no tool."
        raise ConfigurationError(msg, remedy=f"The tools are {', '.join(names)}.")
    return [
        t.name
        for t in tools
        if t.name not in reversible
        # Only True itself counts: a truthy text such as "no" must not.
        and (t.metadata or {}).get("reversible") is not True
    ]


def check_tools(
    tools: Sequence[BaseTool], *, branches: int, reversible: Collection[str] = ()
) -> None:
    """Refuse a search that would run tools with side effects in several branches.

    Args:
        tools: The tools offered.
        branches: Branches that the search runs side by side, its revisits included.
        reversible: Names of tools that may be branched.

    Raises:
        ConfigurationError: If more than one branch would run a tool that is not marked.
    """
    fixed = irreversible(tools, reversible)
    if branches > 1 and fixed:
        msg = (
            f"This search runs {branches} branches, but the tools {fixed} are not "
            "marked as reversible: what a dropped branch did could not be undone."
        )
        raise ConfigurationError(
            msg,
            remedy="Choose one: beam_width=1 without revisits, where only the chosen "
            "action runs; mark tools that leave nothing behind, by "
            "metadata={'reversible': True} or reversible={'name'}; or search in an "
            "environment that forks.",
        )


def observation_of(answers: Sequence[ToolMessage]) -> str:
    """Write the answers to one action's calls as one observation.

    A call's own text comes back in it, lone surrogates included, which no log, trace
    or provider could take.
    """
    texts = [str(answer.text) for answer in answers]
    if len(texts) == 1:
        return clean(texts[0], None)
    named = zip(answers, texts, strict=True)
    return clean("\n".join(f"{answer.name}: {text}" for answer, text in named), None)


class ToolEnvironment(Environment):
    """A user's request, worked on with tools; an answer without calls ends it.

    Made by `ToolFactory`. Between reversible tools there is nothing to copy: a branch
    is the list of its actions. A failed call is an observation, as in a tool loop; an
    exception that is no `ToolException` is the tool's own fault and is raised.
    """

    def __init__(self, factory: ToolFactory) -> None:
        super().__init__()
        self._factory = factory
        self._grammar = ToolCallGrammar()
        self._request = ""
        self._over = False
        self.spec = factory.spec

    def _reset(self, task: TaskRef) -> Start:
        self._request = self._factory.request(task)
        self._over = False
        return Start(
            observation="",
            goal=self._request,
            instruction=self._factory.instruction,
            tools=tuple(convert_to_openai_tool(t) for t in self._factory.tools),
            step_limit=self._factory.step_limit,
        )

    def _step(self, action: Action) -> Transition:
        if self._over:
            msg = f"The episode is over after {len(self.actions_taken)} actions."
            raise ConfigurationError(msg, remedy="Call reset(task) for a new one.")
        last = len(self.actions_taken) + 1 >= self._factory.step_limit
        text = "" if isinstance(action, str) else self._factory.run(action)
        self._over = done = isinstance(action, str) or last
        score = 0.0
        if done and self._factory.grade is not None:
            score = self._factory.grade(self._request, [*self.actions_taken, action])
        return Transition(text, float(done), done, score >= 1, score)

    def _copy(self) -> Self:
        twin = self._fresh()
        # Another of its own class.
        twin._request, twin._over = self._request, self._over  # noqa: SLF001
        return twin

    def _fresh(self) -> Self:
        return type(self)(self._factory)

    def parse(self, message: AIMessage) -> Action | None:
        """Read tool calls, or the text where there are none."""
        return self._grammar.parse(message)

    def key(self, action: Action) -> str:
        """Names and sorted JSON arguments of the calls, or the text."""
        return self._grammar.key(action)


class ToolFactory:
    """Requests to be worked on with LangChain tools, as an environment.

    Args:
        tools: The tools. Those that carry `metadata={"reversible": True}` or are named
            in `reversible` may run in branches; with any other the environment cannot
            be branched, and only `beam_width=1` is possible.
        requests: The users' requests by id.
        splits: Ids of the requests of each split; None means that all are for tests.
        reversible: Names of tools that may be branched.
        grade: `fn(request, actions)` that grades a finished episode, 0..1, for
            evaluation; None gives 0.
        instruction: Role and rules, for policy and reward model.
        step_limit: Actions at most.
        name: Name of the environment.

    Raises:
        UnknownTaskError: If `splits` names a split or a request that does not exist.
    """

    def __init__(
        self,
        tools: Sequence[BaseTool | Callable[..., Any]],
        requests: Mapping[str, str],
        *,
        splits: Mapping[Split, Sequence[str]] | None = None,
        reversible: Collection[str] = (),
        grade: Grade | None = None,
        instruction: str = "",
        step_limit: int = 30,
        name: str = "tools",
    ) -> None:
        self.name = name
        self.tools = as_tools(tools)
        self.requests = dict(requests)
        self.splits = {"test": list(requests)} if splits is None else dict(splits)
        for split, ids in self.splits.items():
            check_known([split], get_args(Split), "split")
            check_known(ids, self.requests, "request")
        self.grade = grade
        self.instruction = instruction
        self.step_limit = step_limit
        free = not irreversible(self.tools, reversible)
        self.spec = EnvironmentSpec(fork="copy" if free else "none", replayable=free)
        self._by_name = {t.name: t for t in self.tools}

    def types(self, group: TypeGroup) -> list[str]:
        """One type, `request`, which is held in.

        Raises:
            UnknownTaskError: If there is no such group.
        """
        check_known([group], get_args(TypeGroup), "group of task types")
        return [_TYPE] if group in {"held_in", "all"} else []

    def tasks(
        self, split: Split, types: Sequence[str] | None = None, limit: int | None = None
    ) -> list[TaskRef]:
        """Requests of a split, in their order.

        Raises:
            UnknownTaskError: If a type or the split does not exist.
        """
        check_known([split], get_args(Split), "split")
        names = [_TYPE] if types is None else types
        found = [self._task(t, i) for t in names for i in self.splits.get(split, ())]
        return found if limit is None else found[: max(0, limit)]

    def task(self, type_: str, seed: int) -> TaskRef:
        """Name the request at place `seed`.

        Raises:
            UnknownTaskError: If there is none.
        """
        ids = list(self.requests)
        if not 0 <= seed < len(ids):
            msg = f"There is no request {seed} among {len(ids)}."
            raise UnknownTaskError(msg, remedy=f"Use 0 to {len(ids) - 1}.")
        return self._task(type_, ids[seed])

    def _task(self, type_: str, ident: str) -> TaskRef:
        check_known([type_], [_TYPE], "task type")
        seed = list(self.requests).index(ident)
        return TaskRef(env=self.name, type=type_, id=ident, seed=seed)

    def request(self, task: TaskRef) -> str:
        """The request that a task stands for.

        Raises:
            UnknownTaskError: If there is none.
        """
        if task["id"] not in self.requests:
            msg = f"There is no request {task['id']!r} in environment {self.name!r}."
            raise UnknownTaskError(
                msg, remedy=f"The requests are {', '.join(self.requests)}."
            )
        return self.requests[task["id"]]

    def make(self) -> ToolEnvironment:
        """Make an environment that has not been reset."""
        return ToolEnvironment(self)

    def run(self, calls: Sequence[Mapping[str, Any]]) -> str:
        """Run an action's calls in order and write what they answered.

        Args:
            calls: Calls `{name, args}`.

        Returns:
            The observation; a call that cannot be made is answered with its error.
        """
        return observation_of(
            [self._run(call, f"call-{i}") for i, call in enumerate(calls)]
        )

    def _run(self, call: Mapping[str, Any], ident: str) -> ToolMessage:
        name = call["name"]
        asked = self._by_name.get(name)
        if asked is None:
            known = ", ".join(self._by_name)
            text = f"Error: there is no tool {name!r}. The tools are {known}."
            return ToolMessage(text, tool_call_id=ident, name=name, status="error")
        made = ToolCall(name=name, args=dict(call["args"]), id=ident, type="tool_call")
        try:
            answer = asked.invoke(made)
        except (ToolException, ValidationError) as error:
            text = f"Error: {error}"
            return ToolMessage(text, tool_call_id=ident, name=name, status="error")
        if isinstance(answer, ToolMessage):
            return answer
        text = answer if isinstance(answer, str) else json.dumps(answer, default=str)
        return ToolMessage(text, tool_call_id=ident, name=name)
