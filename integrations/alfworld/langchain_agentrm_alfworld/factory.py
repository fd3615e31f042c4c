"""The registry entry `"alfworld"`: task types, splits, demonstrations."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Literal, get_args

from langchain_agentrm.environments.base import Demonstration, Split
from langchain_agentrm.environments.tasks import (
    TypeGroup,
    check_known,
    demonstration_seeds,
    round_robin,
)
from langchain_agentrm.types import TaskRef
from langchain_agentrm_alfworld._tables import tables
from langchain_agentrm_alfworld.environment import ALFWorld, Options, spec_of
from langchain_agentrm_alfworld.expert import demonstrate
from langchain_agentrm_alfworld.games import (
    DEMONSTRATION_SEEDS,
    NAME,
    SPLIT_SEEDS,
    GeneratedGames,
)
from langchain_agentrm_alfworld.generate import Generation

__all__ = ["ALFWorldFactory", "factory"]

Folder = str | os.PathLike[str]


class ALFWorldFactory:
    """The registry entry `"alfworld"`. Starts no engine by itself.

    Without official games its tasks are ALFWorld-format generated games: train in the
    scenes of ALFRED's training split, dev in the same scenes with new seeds ("seen"),
    test in the 24 scenes that training never shows ("unseen"). With official games they
    are train, valid_seen and valid_unseen.

    Args:
        style: `"eto"` (40 steps, success) or `"agentboard"` (30 steps, progress).
        engine: `"native"` or `"textworld"`.
        perturbation: 1 to 5, or 0 for the usual action grammar.
        data: Folder of the official games; None means what `ALFWORLD_DATA` names when
            tasks are asked for, and `"generated"` the generated ones.
        generation: Text grammar of generated games, `"move"` or `"put"`; None means
            `"put"` with `prompts`, else `"move"`.
        labels: AgentBoard's label file or its folder.
        prompts: AgentRM's prompt folder (`eval_agent/prompt`).
        step_limit: Another step limit than the form's.

    Raises:
        ConfigurationError: If an option has no such value.
    """

    name = NAME

    def __init__(
        self,
        style: str = "eto",
        *,
        engine: Literal["native", "textworld"] = "native",
        perturbation: int = 0,
        data: Folder | None = None,
        generation: Generation | None = None,
        labels: Folder | None = None,
        prompts: Folder | None = None,
        step_limit: int | None = None,
    ) -> None:
        self.options = Options(
            style=style,
            engine=engine,
            perturbation=perturbation,
            data=None if data is None else os.fspath(data),
            generation=generation,
            labels=None if labels is None else os.fspath(labels),
            prompts=None if prompts is None else os.fspath(prompts),
            step_limit=step_limit,
        )
        self.options.check()
        self.spec = spec_of(self.options)

    def types(self, group: TypeGroup) -> list[str]:
        """Task types of a group.

        All six are held in, as in AgentRM, whose reward model trains on ALFWorld; what
        a test holds out are its scenes.

        Raises:
            UnknownTaskError: If there is no such group.
        """
        check_known([group], get_args(TypeGroup), "group of ALFWorld task types")
        return list(tables().types) if group in ("held_in", "all") else []

    def tasks(
        self, split: Split, types: Sequence[str] | None = None, limit: int | None = None
    ) -> list[TaskRef]:
        """Tasks of a split in a fixed order, round robin over the types.

        Args:
            split: `"train"`, `"dev"` (seen scenes) or `"test"` (unseen scenes).
            types: Task types; None means all six.
            limit: How many tasks at most.

        Returns:
            The tasks.

        Raises:
            UnknownTaskError: If a type or the split does not exist.
            ConfigurationError: If the folder of official games has none.
        """
        check_known([split], SPLIT_SEEDS, "split")
        games = self.options.games()
        types = self.types("all") if types is None else types
        places = {type_: range(games.count(split, type_)) for type_ in types}
        rows = round_robin(places, limit)
        return [games.nth(split, type_, place) for type_, place in rows]

    def demonstrations(self, types: Sequence[str], n_per_type: int) -> list[TaskRef]:
        """Tasks for imitation, round robin over the types.

        Generated games for it are in no split. Official ones are the first of the
        training split, which is what ALFWorld's experts demonstrate.

        Raises:
            UnknownTaskError: If a type does not exist.
            ConfigurationError: If there are not that many tasks.
        """
        games = self.options.games()
        places = {type_: range(games.count("train", type_)) for type_ in types}
        if isinstance(games, GeneratedGames):
            seeds = demonstration_seeds(n_per_type, DEMONSTRATION_SEEDS)
            rows = round_robin(dict.fromkeys(places, seeds))
            return [games.task(type_, seed) for type_, seed in rows]
        rows = round_robin(
            {t: demonstration_seeds(n_per_type, places[t]) for t in places}
        )
        return [games.nth("train", type_, place) for type_, place in rows]

    def demonstrate(self, task: TaskRef) -> Demonstration | None:
        """Let the expert act; None where it does nothing."""
        shown = demonstrate(task, self.make())
        return shown if shown.steps else None

    def task(self, type_: str, seed: int) -> TaskRef:
        """Name one task by type and seed.

        Raises:
            UnknownTaskError: If the type does not exist or the seed is no seed.
        """
        return self.options.games().task(type_, seed)

    def make(self) -> ALFWorld:
        """Make an environment that has not been reset."""
        return ALFWorld(self.options)


factory = ALFWorldFactory()
"""The registry entry, as the entry point names it."""
