"""The registry entry `"maze"`: kinds of maze, splits, demonstrations."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from langchain_agentrm.environments.base import Split
from langchain_agentrm.errors import ConfigurationError, UnknownTaskError
from langchain_agentrm.types import TaskRef
from langchain_agentrm_maze.environment import (
    NAME,
    MazeEnvironment,
    Settings,
    check_seed,
    check_types,
)
from langchain_agentrm_maze.layouts import (
    ALL,
    DEV,
    HELD_IN,
    HELD_OUT,
    OFFICIAL,
    open_maze,
    starts,
)

if TYPE_CHECKING:
    from langchain_agentrm_maze.expert import Demonstration

__all__ = ["DEMONSTRATION_SEEDS", "SPLIT_SEEDS", "MazeFactory", "factory"]

Folder = str | os.PathLike[str]

SPLIT_SEEDS: Mapping[str, range] = {
    "train": range(100_000, 105_000),
    "dev": range(300_000, 305_000),
    "test": range(400_000, 405_000),
}

DEMONSTRATION_SEEDS = range(10_000, 15_000)
"""Seeds for imitation, in no split."""

_GROUPS: Mapping[str, tuple[str, ...]] = {
    "held_in": HELD_IN,
    "held_out": HELD_OUT,
    "dev": DEV,
    "all": ALL,
}


class MazeFactory:
    """The registry entry `"maze"`. Starts nothing by itself.

    Args:
        style: `"agentgym"` or `"lmrl"`, whose texts differ in blanks.
        prompts: AgentRM's prompt folder (`eval_agent/prompt`).
        step_limit: Actions after which an episode ends.

    Raises:
        ConfigurationError: If an option has no such value.
    """

    name = NAME
    spec = MazeEnvironment.spec

    def __init__(
        self,
        style: str = "agentgym",
        *,
        prompts: Folder | None = None,
        step_limit: int = 50,
    ) -> None:
        self.settings = Settings(
            style=style,
            prompts=None if prompts is None else os.fspath(prompts),
            step_limit=step_limit,
        )

    def types(self, group: Literal["held_in", "held_out", "dev", "all"]) -> list[str]:
        """Types of a group: sizes of carved mazes, and the official grid.

        Raises:
            UnknownTaskError: If there is no such group.
        """
        if group not in _GROUPS:
            msg = f"The maze has no group of types {group!r}."
            raise UnknownTaskError(msg, remedy=f"Choose one of {list(_GROUPS)}.")
        return list(_GROUPS[group])

    def tasks(
        self, split: Split, types: Sequence[str] | None = None, limit: int | None = None
    ) -> list[TaskRef]:
        """Tasks of a split in a fixed order, round robin over the types.

        The official grid has its 25 tasks in the test split, and none elsewhere.

        Args:
            split: `"train"`, `"dev"` or `"test"`.
            types: Types; None means the held-in ones for train, the dev types for dev,
                and held in plus held out for test.
            limit: How many tasks at most.

        Returns:
            The tasks.

        Raises:
            UnknownTaskError: If a type or the split does not exist.
        """
        if split not in SPLIT_SEEDS:
            msg = f"The maze has no split {split!r}."
            raise UnknownTaskError(msg, remedy=f"Choose one of {list(SPLIT_SEEDS)}.")
        if types is None:
            by_split = {"train": HELD_IN, "dev": DEV, "test": HELD_IN + HELD_OUT}
            types = by_split[split]
        check_types(types)
        seeds: dict[str, Sequence[int]] = dict.fromkeys(types, SPLIT_SEEDS[split])
        if OFFICIAL in seeds:
            seeds[OFFICIAL] = range(starts() if split == "test" else 0)
        return self._round_robin(seeds, limit)

    def demonstrations(self, types: Sequence[str], n_per_type: int) -> list[TaskRef]:
        """Tasks for imitation, which are in no split, round robin over the types.

        Raises:
            UnknownTaskError: If a type does not exist.
            ConfigurationError: If there are not that many tasks.
        """
        check_types(types)
        most = 0 if OFFICIAL in types else len(DEMONSTRATION_SEEDS)
        if not 0 <= n_per_type <= most:
            msg = f"n_per_type={n_per_type} demonstrations of {list(types)}."
            raise ConfigurationError(
                msg, remedy=f"Ask for 0 to {most}; {OFFICIAL!r} is only for tests."
            )
        seeds = dict.fromkeys(types, DEMONSTRATION_SEEDS[:n_per_type])
        return self._round_robin(seeds, None)

    def demonstrate(self, task: TaskRef) -> Demonstration | None:
        """Let the expert walk; None where there is nothing to do."""
        from langchain_agentrm_maze.expert import demonstrate

        shown = demonstrate(task, self.make())
        return shown if shown.steps else None

    def task(self, type_: str, seed: int) -> TaskRef:
        """Name one task by type and seed.

        Raises:
            UnknownTaskError: If the type does not exist, the seed is no seed, or the
                official grid has no start of that number.
        """
        check_types([type_])
        check_seed(seed)
        if type_ == OFFICIAL:
            open_maze(type_, seed)
        return TaskRef(env=NAME, type=type_, id=f"{type_}:{seed}", seed=seed)

    def make(self) -> MazeEnvironment:
        """Make an environment that has not been reset."""
        return MazeEnvironment(self.settings)

    def _round_robin(
        self, seeds: Mapping[str, Sequence[int]], limit: int | None
    ) -> list[TaskRef]:
        most = sum(map(len, seeds.values()))
        most = most if limit is None else max(0, min(most, limit))
        found: list[TaskRef] = []
        i = 0
        while len(found) < most:
            found += [self.task(t, s[i]) for t, s in seeds.items() if i < len(s)]
            i += 1
        return found[:most]


factory = MazeFactory()
"""The registry entry, as the entry point names it."""
