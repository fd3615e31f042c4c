"""The registry entry: names games and makes environments; loads no game."""

from __future__ import annotations

import os
from collections.abc import Sequence

from langchain_agentrm.environments.base import Demonstration, Split
from langchain_agentrm.environments.tasks import TypeGroup, check_known, round_robin
from langchain_agentrm.errors import ConfigurationError, UnknownTaskError
from langchain_agentrm.types import TaskRef
from langchain_agentrm_jericho.environment import (
    NAME,
    SEEDS,
    STEP_LIMIT,
    JerichoGame,
    Options,
)
from langchain_agentrm_jericho.games import AGENTBOARD, DEV, VARIABLE, stories

__all__ = ["SPLIT_SEEDS", "JerichoFactory", "factory"]

Folder = str | os.PathLike[str]

SPLIT_SEEDS = {"test": range(1), "dev": range(1, 5), "train": range(5, 105)}
"""Seeds of each split. Few games draw lots: one game's seeds are much alike."""

_GROUPS = ("held_in", "held_out", "dev", "all")


class JerichoFactory:
    """The registry entry `"jericho"`.

    Args:
        games: Folder of story files; None means the one that `JERICHO_GAMES` names.
        form: `"points"` (score over highest score) or `"agentboard"` (subgoals).
        step_limit: Actions per episode.
        prompts: AgentRM's prompt folder (`eval_agent/prompt`).
        labels: AgentBoard's label file, for its form.

    Raises:
        ConfigurationError: If there is no such form, or it lacks its labels.
    """

    name = NAME
    spec = JerichoGame.spec

    def __init__(
        self,
        *,
        games: Folder | None = None,
        form: str = "points",
        step_limit: int = STEP_LIMIT,
        prompts: Folder | None = None,
        labels: Folder | None = None,
    ) -> None:
        self.options = Options(
            games=None if games is None else os.fspath(games),
            form=form,
            step_limit=step_limit,
            prompts=None if prompts is None else os.fspath(prompts),
            labels=None if labels is None else os.fspath(labels),
        )

    def types(self, group: TypeGroup) -> list[str]:
        """Games of a group, of those in the folder; none where no folder is named.

        Held out are AgentBoard's twenty games, held in what is in no other group.

        Raises:
            UnknownTaskError: If there is no such group.
            ConfigurationError: If the folder does not exist or Jericho is missing.
        """
        check_known([group], _GROUPS, "group of games")
        here = [
            name
            for name in stories(self.options.games)
            if self.options.form == "points" or self.options.label(name) is not None
        ]
        return {
            "held_in": [x for x in here if x not in AGENTBOARD and x not in DEV],
            "held_out": [x for x in AGENTBOARD if x in here],
            "dev": [x for x in DEV if x in here],
            "all": here,
        }[group]

    def tasks(
        self, split: Split, types: Sequence[str] | None = None, limit: int | None = None
    ) -> list[TaskRef]:
        """Tasks of a split in a fixed order, round robin over the games.

        Args:
            split: `"train"`, `"dev"` or `"test"`.
            types: Games; None means the held-in ones for train, the dev ones for dev,
                and AgentBoard's for test.
            limit: How many tasks at most.

        Returns:
            The tasks.

        Raises:
            UnknownTaskError: If a game or the split does not exist.
            ConfigurationError: If there are no story files.
        """
        check_known([split], SPLIT_SEEDS, "split")
        if types is None:
            if not stories(self.options.games):
                msg = "There are no story files to play."
                raise ConfigurationError(
                    msg, remedy=f"Set games= or {VARIABLE} to a folder of them."
                )
            types = {
                "train": self.types("held_in"),
                "dev": self.types("dev"),
                "test": self.types("held_out"),
            }[split]
        for type_ in types:
            self.options.story(type_)
        rows = round_robin(dict.fromkeys(types, SPLIT_SEEDS[split]), limit)
        return [_ref(type_, seed) for type_, seed in rows]

    def task(self, type_: str, seed: int) -> TaskRef:
        """Name one task by game and seed; seed 0 is that of Jericho's walkthrough.

        Raises:
            UnknownTaskError: If there is no such game or seed.
        """
        self.options.story(type_)
        if not isinstance(seed, int) or not 0 <= seed < SEEDS:
            msg = f"A game has no seed {seed!r}."
            raise UnknownTaskError(msg, remedy=f"Choose 0 to {SEEDS - 1}.")
        return _ref(type_, seed)

    def demonstrate(self, task: TaskRef) -> Demonstration | None:
        """Play Jericho's walkthrough; None where it has none or does not win."""
        from langchain_agentrm_jericho.expert import demonstrate

        if not self.options.story(task["type"]).walkthrough:
            return None
        shown = demonstrate(task, self.options)
        return shown if shown.success else None

    def make(self) -> JerichoGame:
        """Make an environment that has not been reset."""
        return JerichoGame(self.options)


def _ref(type_: str, seed: int) -> TaskRef:
    return TaskRef(env=NAME, type=type_, id=f"{type_}:{seed}", seed=seed)


factory = JerichoFactory()
"""The registry entry, as the entry point names it."""
