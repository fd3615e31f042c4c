"""The registry entry: tasks by tool, AgentBoard's where given, else generated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from langchain_agentrm.environments.base import Demonstration, Split
from langchain_agentrm.environments.tasks import (
    SPLIT_SEEDS,
    TypeGroup,
    check_known,
    check_seed,
    check_task,
    demonstration_seeds,
    given_settings,
    round_robin,
)
from langchain_agentrm.errors import UnknownTaskError
from langchain_agentrm.types import TaskRef
from langchain_agentrm_tools.environment import ToolTasks
from langchain_agentrm_tools.settings import Settings

if TYPE_CHECKING:
    from langchain_agentrm_tools._kit import Kit
    from langchain_agentrm_tools._label import Label
    from langchain_agentrm_tools.official import Official

__all__ = [
    "HELD_IN",
    "HELD_OUT",
    "ToolTasksFactory",
    "factory",
    "open_task",
]

HELD_IN = ("movie", "academia", "todo")
"""Tools that demonstrations and reward-model training may use."""

HELD_OUT = ("weather", "sheet")
"""Tools that only a test may use."""

_LINES = 1_000
_ALL = HELD_IN + HELD_OUT
_GROUPS = {"held_in": HELD_IN, "held_out": HELD_OUT, "dev": (), "all": _ALL}
_NAME = "tools"


def open_task(settings: Settings, task: TaskRef) -> tuple[Label, Kit]:
    """Make a task's label and its tool in a state of its own.

    Raises:
        UnknownTaskError: If the task does not exist.
        ConfigurationError: If AgentBoard's data for it cannot be read.
    """
    check_task(task, _NAME)
    tool, seed = task["type"], task["seed"]
    if _task(settings, tool, seed)["id"] != task["id"]:
        msg = f"There is no task {task['id']!r} with tool {tool!r} and seed {seed}."
        raise UnknownTaskError(msg, remedy="Take tasks from the factory.")
    if seed < _LINES:
        official = _official(settings)
        if official is not None:
            label = official.labels[tool][seed]
            return label, official.kit(label)
    from langchain_agentrm_tools.generate import generate

    made, kit = generate(tool, seed)
    return made, kit.fork()


class ToolTasksFactory:
    """The registry entry `"tools"`; a task's type is its tool.

    Seeds below 1,000 are the lines of AgentBoard's label files, counted by tool; all
    others stand for generated tasks. Where a folder with labels is given, the test
    split of its tools is theirs.

    Args:
        settings: Handed to every environment.
        options: Fields of `Settings`, instead of `settings`.

    Raises:
        ConfigurationError: If an option does not exist or has no such value.
    """

    name = _NAME
    spec = ToolTasks.spec

    def __init__(self, settings: Settings | None = None, **options: Any) -> None:
        self.settings = given_settings(
            Settings, settings, options, "The tool environment"
        )

    def types(self, group: TypeGroup) -> list[str]:
        """Tools of a group; none is a dev tool.

        Raises:
            UnknownTaskError: If there is no such group.
        """
        check_known([group], _GROUPS, "group of tools")
        return list(_GROUPS[group])

    def tasks(
        self, split: Split, types: Sequence[str] | None = None, limit: int | None = None
    ) -> list[TaskRef]:
        """Tasks of a split in a fixed order, round robin over the tools.

        Args:
            split: `"train"`, `"dev"` or `"test"`.
            types: Tools; None means the held-in ones for train and dev, all for test.
            limit: How many tasks at most.

        Returns:
            The tasks: for test AgentBoard's where given; 5,000 generated ones of each
            tool otherwise.

        Raises:
            UnknownTaskError: If a tool or the split does not exist.
            ConfigurationError: If AgentBoard's labels cannot be read.
        """
        check_known([split], SPLIT_SEEDS, "split")
        if types is None:
            types = self.types("all" if split == "test" else "held_in")
        official = _official(self.settings) if split == "test" else None
        seeds: dict[str, Sequence[int]] = {}
        check_known(types, _ALL, "tool")
        for type_ in types:
            labels = official.labels.get(type_) if official is not None else None
            seeds[type_] = SPLIT_SEEDS[split] if labels is None else range(len(labels))
        rows = round_robin(seeds, limit)
        return [_task(self.settings, type_, seed) for type_, seed in rows]

    def demonstrations(self, types: Sequence[str], n_per_type: int) -> list[TaskRef]:
        """Tasks for imitation, which are in no split, round robin over the tools.

        Raises:
            UnknownTaskError: If a tool does not exist.
            ConfigurationError: If there are not that many tasks.
        """
        check_known(types, _ALL, "tool")
        rows = round_robin(dict.fromkeys(types, demonstration_seeds(n_per_type)))
        return [_task(self.settings, type_, seed) for type_, seed in rows]

    def demonstrate(self, task: TaskRef) -> Demonstration | None:
        """Let the expert act; None for AgentBoard's tasks, which bring no solution."""
        from langchain_agentrm_tools.expert import demonstrate

        shown = demonstrate(task, self.make())
        return shown if shown.steps else None

    def task(self, type_: str, seed: int) -> TaskRef:
        """Name one task by tool and seed.

        Raises:
            UnknownTaskError: If the tool does not exist, or the seed is no seed.
        """
        return _task(self.settings, type_, seed)

    def label(self, task: TaskRef) -> dict[str, Any]:
        """Write a task as a line of AgentBoard's label files.

        Raises:
            UnknownTaskError: If the task does not exist.
        """
        return open_task(self.settings, task)[0].line()

    def make(self) -> ToolTasks:
        """Make an environment that has not been reset."""
        return ToolTasks(self.settings)


def _official(settings: Settings) -> Official | None:
    if settings.folder is None:
        return None
    from langchain_agentrm_tools.official import load_official

    return load_official(settings.folder)


def _task(settings: Settings, tool: str, seed: int) -> TaskRef:
    check_known([tool], _ALL, "tool")
    check_seed(seed, "tool task")
    if seed >= _LINES:
        return TaskRef(env=_NAME, type=tool, id=f"{tool}:{seed}", seed=seed)
    official = _official(settings)
    labels = official.labels.get(tool, ()) if official is not None else ()
    if seed >= len(labels):
        msg = f"AgentBoard's labels at hand have {len(labels)} lines for {tool!r}."
        raise UnknownTaskError(
            msg,
            remedy="Seeds below 1,000 are those lines, from TOOLS_DATA; generated "
            "tasks have seeds from 1,000.",
        )
    return TaskRef(env=_NAME, type=tool, id=f"agentboard/{tool}:{seed}", seed=seed)


factory = ToolTasksFactory()
"""The registry entry, as the entry point names it."""
