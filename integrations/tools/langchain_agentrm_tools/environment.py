"""Tool tasks: calls of functions over local data, scored as AgentBoard does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from langchain_core.messages import AIMessage, ToolMessage

from langchain_agentrm.environments.base import Environment, EnvironmentSpec, Start
from langchain_agentrm.environments.prompts import PromptFolder
from langchain_agentrm.environments.tools import observation_of
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.search import tool_call_key
from langchain_agentrm.types import Action, TaskRef, Transition
from langchain_agentrm_tools._grammar import (
    FORMAT_ERROR,
    cleaned,
    key_of,
    read_arguments,
    split,
)
from langchain_agentrm_tools._score import equal_cells, found
from langchain_agentrm_tools.settings import Settings

if TYPE_CHECKING:
    from langchain_agentrm_tools._kit import Kit
    from langchain_agentrm_tools._label import Label

__all__ = ["STEP_LIMIT", "ToolTasks"]

STEP_LIMIT = 30
"""Actions of an episode, as in AgentBoard's main configuration."""

_BAD_ARGUMENTS = (
    "ERROR | Exception(Parameters in action input are not valid, please change your "
    "action input.)"
)
_FIRST = (
    "Once you have finished the goal, please remember to take 'finish' action to end "
    "this goal."
)
_FIRST_WEATHER = (
    "If you want to get the latitude and longitude information of a city, you must "
    'call "get_latitude_longitude", do not generate it by yourself which maybe wrong. '
)


class ToolTasks(Environment):
    """One task with one tool: weather, movie, academia, todo or sheet.

    Progress is the best share of the label's subgoals found among the calls' results
    so far (a sheet: of equal cells), 0..1. The episode ends with `finish` or after 30
    actions; it is a success if it was finished and progress is 1. As in AgentBoard, a
    text action also ends it by the word "finish" anywhere in it.

    Args:
        settings: Options; None means the usual ones.
    """

    spec = EnvironmentSpec(fork="copy", replayable=True, thread_safe=True)

    def __init__(self, settings: Settings | None = None) -> None:
        super().__init__()
        self.settings = settings or Settings()
        self._label: Label | None = None
        self._kit: Kit | None = None
        self._truth: Any = None
        self._best = 0.0
        self._steps = 0
        self._over = False

    @property
    def label(self) -> Label:
        """The task's label, which holds its solution; the agent must not see it.

        Raises:
            ConfigurationError: If no task was loaded.
        """
        return self._loaded()[0]

    @property
    def over(self) -> bool:
        """Whether the episode is over."""
        return self._over

    def _reset(self, task: TaskRef) -> Start:
        from langchain_agentrm_tools.factory import open_task
        from langchain_agentrm_tools.prompts import instruction
        from langchain_agentrm_tools.sheet import Sheets

        label, kit = open_task(self.settings, task)
        self._label, self._kit = label, kit
        self._truth = json.loads(label.answer) if label.tool == "sheet" else None
        self._best, self._steps, self._over = 0.0, 0, False
        first = _FIRST_WEATHER + _FIRST if label.tool == "weather" else _FIRST
        if isinstance(kit, Sheets) and kit.state["open"] is not None:
            first += f"\nYou are now in {kit.state['open']}\n{kit.values()}"
        style = self.settings.style
        told, examples = (
            (instruction(label.tool, kit.functions, style, STEP_LIMIT), ())
            if self.settings.prompts is None
            else PromptFolder(self.settings.prompts).policy(label.tool)
        )
        return Start(
            observation=first,
            goal=label.goal,
            instruction=told,
            examples=examples,
            tools=tuple(
                {
                    "type": "function",
                    "function": {
                        "name": f.name,
                        "description": f.about,
                        "parameters": f.schema,
                    },
                }
                for f in kit.functions
            )
            if style == "calls"
            else (),
            step_limit=STEP_LIMIT,
        )

    def _step(self, action: Action) -> Transition:
        label, kit = self._loaded()
        if self._over:
            msg = f"The episode is over after {self._steps} actions."
            raise ConfigurationError(msg, remedy="Call reset(task) for another one.")
        self._steps += 1
        if isinstance(action, str):
            text, valid, finished = self._run_text(kit, action)
        else:
            text, valid, finished = self._run_calls(kit, action)
        self._over = finished or self._steps >= STEP_LIMIT
        success = finished and self._best >= 1.0
        if success and label.goal_type == 1 and label.tool == "todo":
            success = _final(kit) == label.answer
        return Transition(
            observation=text,
            progress=self._best,
            done=self._over,
            success=success,
            score=self._best,
            info={"valid": valid, "steps": self._steps},
        )

    def _run_text(self, kit: Kit, action: str) -> tuple[str, bool, bool]:
        parts = split(action)
        if parts is None:
            return FORMAT_ERROR, False, False
        name, written = parts
        try:
            arguments = read_arguments(written)
        except ValueError:
            return _BAD_ARGUMENTS, False, False
        text, raised = self._call(kit, name, arguments)
        said = f"{name} {written}"
        ends = "finish" in (said.lower() if kit.tool == "sheet" else said)
        ends = ends or "Finish" in said
        return text, not text.startswith("ERROR | "), ends and not raised

    def _run_calls(
        self, kit: Kit, calls: list[dict[str, Any]]
    ) -> tuple[str, bool, bool]:
        answers: list[ToolMessage] = []
        valid, finished = True, False
        for i, call in enumerate(calls):
            name = cleaned(str(call.get("name", "")))
            given = call.get("args")
            arguments = cleaned(given) if isinstance(given, Mapping) else {}
            text, raised = self._call(kit, name, arguments)
            answers.append(ToolMessage(text, tool_call_id=f"call-{i}", name=name))
            valid = valid and not text.startswith("ERROR | ")
            if name == "finish" and not raised:
                finished = True
                break
        if not answers:
            return FORMAT_ERROR, False, False
        return observation_of(answers), valid, finished

    def _call(self, kit: Kit, name: str, arguments: Any) -> tuple[str, bool]:
        """Call a function and keep the best progress, where the call is scored."""
        text, raised = kit.call(name, arguments)
        if "Invalid" not in text and (kit.tool == "sheet" or not raised):
            self._best = max(self._best, self._progress(kit))
        return text, raised

    def _progress(self, kit: Kit) -> float:
        from langchain_agentrm_tools.sheet import Sheets

        label = self._loaded()[0]
        if isinstance(kit, Sheets):
            try:
                values = kit.values()
            except LookupError:
                return 0.0
            return equal_cells(values, self._truth)
        return found(label.subgoals, kit.log, places=kit.tool == "weather")

    def _loaded(self) -> tuple[Label, Kit]:
        if self._label is None or self._kit is None:
            msg = "This environment of tool tasks has no task."
            raise ConfigurationError(msg, remedy="Call reset(task) first.")
        return self._label, self._kit

    def _copy(self) -> Self:
        twin = self._fresh()
        twin._label, twin._truth = self._label, self._truth  # noqa: SLF001
        twin._kit = None if self._kit is None else self._kit.fork()  # noqa: SLF001
        twin._best, twin._steps = self._best, self._steps  # noqa: SLF001
        twin._over = self._over  # noqa: SLF001
        return twin

    def _fresh(self) -> Self:
        return type(self)(self.settings)

    def parse(self, message: AIMessage) -> Action | None:
        """Read tool calls, else the first action line.

        Args:
            message: The policy's answer.

        Returns:
            The calls; or `NAME with Action Input: ARGUMENTS`, from the first line that
            begins with `Action:` or, without one, the first of that form; None where
            there is neither.
        """
        if message.tool_calls:
            return [{"name": c["name"], "args": c["args"]} for c in message.tool_calls]
        lines = [x for x in cleaned(str(message.text)).splitlines() if x.strip()]
        for i, line in enumerate(lines):
            head, colon, rest = line.partition(":")
            if colon and head.strip().casefold() == "action":
                said = rest if rest.strip() else "".join(lines[i + 1 : i + 2])
                return said.strip() if split(said) is not None else None
        said = next((x for x in lines if split(x) is not None), "")
        return said.strip() or None

    def key(self, action: Action) -> str:
        """Name and sorted arguments; or the text with single blanks."""
        return key_of(action) if isinstance(action, str) else tool_call_key(action)

    def on_invalid(self, message: AIMessage) -> Transition | None:
        """Answer a message without action with the benchmark's format error, a step."""
        del message
        # Through `step`, so that a replay repeats it.
        return self.step("")


def _final(kit: Kit) -> Any:
    from langchain_agentrm_tools.todo import Todo

    return kit.final() if isinstance(kit, Todo) else None
