"""The registry entry: tasks by category, splits by the official order of goals."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from langchain_agentrm.environments.base import Demonstration, Split
from langchain_agentrm.environments.tasks import (
    TypeGroup,
    check_known,
    given_settings,
    round_robin,
)
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.types import TaskRef
from langchain_agentrm_webshop.environment import NAME, WebShop
from langchain_agentrm_webshop.settings import Settings

if TYPE_CHECKING:
    from langchain_agentrm_webshop.shop import Shop

__all__ = ["DEV", "HELD_OUT", "WebShopFactory", "factory"]

HELD_OUT = ("garden",)
"""Categories that a reward model is tested on without having seen them."""

DEV = ("grocery",)
"""Categories to choose settings on. All others are held in."""

_OFFICIAL_TEST, _OFFICIAL_DEV, _OFFICIAL_FEWEST = 500, 1500, 3000
_FILES = {"train": "train_indices.json", "test": "test_indices.json"}


class WebShopFactory:
    """The registry entry `"webshop"`.

    A task's type is its goal's category, its seed the goal's place in the official,
    shuffled order, which is also its index in ETO's and AgentRM's lists.

    Args:
        settings: Handed to every environment.
        options: Fields of `Settings`, instead of `settings`.

    Raises:
        ConfigurationError: If an option does not exist or has no such value.
    """

    name = NAME
    spec = WebShop.spec

    def __init__(self, settings: Settings | None = None, **options: Any) -> None:
        self.settings = given_settings(Settings, settings, options, "WebShop")

    @property
    def shop(self) -> Shop:
        """Catalogue, goals and search, shared by all environments.

        Raises:
            ConfigurationError: If the official files cannot be read.
        """
        from langchain_agentrm_webshop.shop import open_shop

        return open_shop(self.settings)

    def types(self, group: TypeGroup) -> list[str]:
        """Categories of a group, sorted.

        Raises:
            UnknownTaskError: If there is no such group.
        """
        check_known([group], get_args(TypeGroup), "group of categories")
        every = list(self.shop.by_category)
        if group == "all":
            return every
        if group == "held_in":
            return [c for c in every if c not in HELD_OUT + DEV]
        return [c for c in every if c in (HELD_OUT if group == "held_out" else DEV)]

    def tasks(
        self, split: Split, types: Sequence[str] | None = None, limit: int | None = None
    ) -> list[TaskRef]:
        """Tasks of a split in a fixed order, round robin over the categories.

        Over official goals the splits are those of WebShop's authors: the first 500
        goals test, the next 1,000 dev, the others train; with fewer than 3,000 goals a
        tenth, a tenth and the rest; with the option `indices`, ETO's lists, and no dev.

        Args:
            split: `"train"`, `"dev"` or `"test"`.
            types: Categories; None means the held-in ones for train, the dev ones for
                dev, and held in plus held out for test; with `indices`, all.
            limit: How many tasks at most.

        Raises:
            UnknownTaskError: If a category or the split does not exist.
        """
        check_known([split], get_args(Split), "split")
        if types is None:
            types = self._usual_types(split)
        shop = self.shop
        wanted = self._indices(split)
        seeds = {
            type_: [i for i in wanted if shop.goals[i].category == type_]
            for type_ in map(shop.check_category, types)
        }
        return [_task(type_, i) for type_, i in round_robin(seeds, limit)]

    def task(self, type_: str, seed: int) -> TaskRef:
        """Name one task by category and the goal's index.

        Raises:
            UnknownTaskError: If the category does not exist, or the goal of this index
                is not of it.
        """
        self.shop.goal(type_, seed)
        return _task(type_, seed)

    def make(self) -> WebShop:
        """Make an environment that has not been reset."""
        return WebShop(self.settings)

    def demonstrate(self, task: TaskRef) -> Demonstration | None:
        """Let the expert shop; None where it finds no product that pays."""
        from langchain_agentrm_webshop.expert import demonstrate

        shown = demonstrate(task, self.make())
        return shown if shown.score else None

    def _usual_types(self, split: Split) -> list[str]:
        if self.settings.indices is not None:
            return self.types("all")
        if split == "test":
            return self.types("held_in") + self.types("held_out")
        return self.types("held_in" if split == "train" else "dev")

    def _indices(self, split: Split) -> Sequence[int]:
        count = len(self.shop.goals)
        if self.settings.indices is not None:
            return _read_indices(self.settings.indices, split, count)
        test, dev = _OFFICIAL_TEST, _OFFICIAL_DEV
        if count < _OFFICIAL_FEWEST:
            test, dev = count // 10, count // 5
        return {
            "test": range(test),
            "dev": range(test, dev),
            "train": range(dev, count),
        }[split]


@lru_cache(maxsize=8)
def _read_indices(folder: str, split: str, count: int) -> tuple[int, ...]:
    if split not in _FILES:
        return ()
    path = Path(folder) / _FILES[split]
    try:
        # A list may name a goal twice; a split has each task once.
        indices = tuple(dict.fromkeys(json.loads(path.read_text(encoding="utf-8"))))
    except (OSError, ValueError, TypeError) as error:
        msg = f"The goals of split {split!r} cannot be read from {path}: {error}."
        raise ConfigurationError(
            msg, remedy="Name ETO's folder eval_agent/data/webshop."
        ) from error
    wrong = [i for i in indices if not isinstance(i, int) or not 0 <= i < count]
    if wrong:
        msg = f"{path} names goal {wrong[0]!r}; there are {count} goals."
        raise ConfigurationError(
            msg, remedy="Its lists belong to the full official catalogue."
        )
    return indices


def _task(type_: str, seed: int) -> TaskRef:
    return TaskRef(env=NAME, type=type_, id=f"{type_}:{seed}", seed=seed)


factory = WebShopFactory()
"""The registry entry, as the entry point names it."""
