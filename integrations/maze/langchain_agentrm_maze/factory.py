"""The registry entry `"maze"`: kinds of maze, splits, demonstrations."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from langchain_agentrm.environments.base import Demonstration, Split
from langchain_agentrm.environments.tasks import (
    DEMONSTRATION_SEEDS,
    SPLIT_SEEDS,
    TypeGroup,
    check_known,
    check_seed,
    demonstration_seeds,
    round_robin,
)
from langchain_agentrm.types import TaskRef
from langchain_agentrm_maze.environment import KIND, NAME, MazeEnvironment, Settings
from langchain_agentrm_maze.layouts import (
    ALL,
    DEV,
    HELD_IN,
    HELD_OUT,
    OFFICIAL,
    open_maze,
    starts,
)

__all__ = ["MazeFactory", "factory"]

Folder = str | os.PathLike[str]

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

    def types(self, group: TypeGroup) -> list[str]:
        """Types of a group: sizes of carved mazes, and the official grid.

        Raises:
            UnknownTaskError: If there is no such group.
        """
        check_known([group], _GROUPS, "group of maze types")
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
        check_known([split], SPLIT_SEEDS, "split")
        if types is None:
            by_split = {"train": HELD_IN, "dev": DEV, "test": HELD_IN + HELD_OUT}
            types = by_split[split]
        check_known(types, ALL, KIND)
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
        check_known(types, ALL, KIND)
        # The official grid is only for tests.
        every = () if OFFICIAL in types else DEMONSTRATION_SEEDS
        seeds = demonstration_seeds(n_per_type, every)
        return self._round_robin(dict.fromkeys(types, seeds))

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
        check_known([type_], ALL, KIND)
        check_seed(seed, NAME)
        if type_ == OFFICIAL:
            open_maze(type_, seed)
        return TaskRef(env=NAME, type=type_, id=f"{type_}:{seed}", seed=seed)

    def make(self) -> MazeEnvironment:
        """Make an environment that has not been reset."""
        return MazeEnvironment(self.settings)

    def _round_robin(
        self, seeds: Mapping[str, Sequence[int]], limit: int | None = None
    ) -> list[TaskRef]:
        return [self.task(type_, seed) for type_, seed in round_robin(seeds, limit)]


factory = MazeFactory()
"""The registry entry, as the entry point names it."""
