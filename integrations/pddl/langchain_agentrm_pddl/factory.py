"""The registry entry `"pddl"`: domains, splits, demonstrations."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from langchain_agentrm.environments.base import Demonstration, Split
from langchain_agentrm.environments.tasks import (
    SPLIT_SEEDS,
    TypeGroup,
    check_known,
    check_seed,
    demonstration_seeds,
    round_robin,
)
from langchain_agentrm.errors import UnknownTaskError
from langchain_agentrm.types import TaskRef
from langchain_agentrm_pddl._worlds import FIRST_GENERATED, official_files
from langchain_agentrm_pddl.domains import DOMAINS, HELD_IN, HELD_OUT
from langchain_agentrm_pddl.environment import KIND, NAME, PDDL, Settings

__all__ = ["PDDLFactory", "factory"]

Folder = str | os.PathLike[str]

_GROUPS: Mapping[str, tuple[str, ...]] = {
    "held_in": HELD_IN,
    "held_out": HELD_OUT,
    "dev": (),
    "all": HELD_IN + HELD_OUT,
}


class PDDLFactory:
    """The registry entry `"pddl"`. Starts nothing by itself.

    Args:
        style: `"agentrm"` (our own words) or `"agentboard"` (its short forms).
        problems: AgentBoard's folder of problem files
            (`environment/pddl_env/pddlgym/pddl`); its 60 problems are then the test
            split.
        prompts: AgentRM's prompt folder (`eval_agent/prompt`).
        step_limit: Actions after which an episode ends.

    Raises:
        ConfigurationError: If an option has no such value.
    """

    name = NAME
    spec = PDDL.spec

    def __init__(
        self,
        style: str = "agentrm",
        *,
        problems: Folder | None = None,
        prompts: Folder | None = None,
        step_limit: int = 30,
    ) -> None:
        self.settings = Settings(
            style=style,
            problems=None if problems is None else os.fspath(problems),
            prompts=None if prompts is None else os.fspath(prompts),
            step_limit=step_limit,
        )

    def types(self, group: TypeGroup) -> list[str]:
        """Domains of a group; none is only for dev, which has its own seeds.

        Raises:
            UnknownTaskError: If there is no such group.
        """
        check_known([group], _GROUPS, "group of PDDL domains")
        return list(_GROUPS[group])

    def tasks(
        self, split: Split, types: Sequence[str] | None = None, limit: int | None = None
    ) -> list[TaskRef]:
        """Tasks of a split in a fixed order, round robin over the domains.

        Args:
            split: `"train"`, `"dev"` or `"test"`.
            types: Domains; None means all four for test, else the held-in ones.
            limit: How many tasks at most.

        Returns:
            The tasks.

        Raises:
            UnknownTaskError: If a domain or the split does not exist.
            ConfigurationError: If the folder of problems has none of a domain.
        """
        check_known([split], SPLIT_SEEDS, "split")
        if types is None:
            types = self.types("all" if split == "test" else "held_in")
        check_known(types, DOMAINS, KIND)
        folder = self.settings.problems
        seeds: dict[str, Sequence[int]] = dict.fromkeys(types, SPLIT_SEEDS[split])
        if split == "test" and folder is not None:
            seeds = {t: range(len(official_files(folder, t))) for t in types}
        return self._round_robin(seeds, limit)

    def demonstrations(self, types: Sequence[str], n_per_type: int) -> list[TaskRef]:
        """Tasks for imitation, which are in no split, round robin over the domains.

        Raises:
            UnknownTaskError: If a domain does not exist.
            ConfigurationError: If there are not that many tasks.
        """
        check_known(types, DOMAINS, KIND)
        return self._round_robin(dict.fromkeys(types, demonstration_seeds(n_per_type)))

    def demonstrate(self, task: TaskRef) -> Demonstration | None:
        """Let the expert act; None where it finds no plan."""
        from langchain_agentrm_pddl.expert import demonstrate

        shown = demonstrate(task, self.make())
        return shown if shown.steps else None

    def task(self, type_: str, seed: int) -> TaskRef:
        """Name one task by domain and seed.

        With a folder of problems, seeds below 1000 number its files.

        Raises:
            UnknownTaskError: If the domain or the file does not exist, or the seed is
                no seed.
        """
        check_known([type_], DOMAINS, KIND)
        check_seed(seed, KIND)
        ident = f"{type_}:{seed}"
        folder = self.settings.problems
        if folder is not None and seed < FIRST_GENERATED:
            files = official_files(folder, type_)
            if seed >= len(files):
                msg = f"{folder} has no {type_} problem number {seed}."
                raise UnknownTaskError(msg, remedy=f"Use 0 to {len(files) - 1}.")
            ident = f"{type_}:{files[seed].stem}"
        return TaskRef(env=NAME, type=type_, id=ident, seed=seed)

    def make(self) -> PDDL:
        """Make an environment that has not been reset."""
        return PDDL(self.settings)

    def _round_robin(
        self, seeds: Mapping[str, Sequence[int]], limit: int | None = None
    ) -> list[TaskRef]:
        return [self.task(type_, seed) for type_, seed in round_robin(seeds, limit)]


factory = PDDLFactory()
"""The registry entry, as the entry point names it."""
