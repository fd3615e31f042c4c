"""Everything that the sessions of one catalogue share."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property, lru_cache
from pathlib import Path

from langchain_agentrm.errors import UnknownTaskError
from langchain_agentrm_webshop.catalogue import (
    Catalogue,
    Product,
    load,
    read_products,
)
from langchain_agentrm_webshop.generate import generate
from langchain_agentrm_webshop.goals import Goal, make_goals
from langchain_agentrm_webshop.reward import Reward, reward
from langchain_agentrm_webshop.search import SearchIndex
from langchain_agentrm_webshop.settings import STYLES, Settings
from langchain_agentrm_webshop.taggers import get_tagger

__all__ = ["Shop", "open_shop"]


class Shop:
    """Catalogue, goals, search and reward.

    Args:
        settings: Which catalogue, goals and tagger.

    Raises:
        ConfigurationError: If the official files cannot be read.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        folder = settings.folder
        files = generate() if folder is None else load(Path(folder))
        # One stream for prices and then limits, as in the official engine, whose
        # global stream nobody seeds.
        rng = random.Random(settings.seed)  # noqa: S311 - draws of a game, no secret
        self.catalogue = Catalogue(read_products(files, settings.products), rng)
        self.goals = make_goals(self.catalogue, rng, human=settings.human)
        self._index: SearchIndex | None = None
        self._lock = threading.Lock()
        self._nouns = lru_cache(maxsize=65_536)(self._tag)

    @property
    def tagger(self) -> str:
        """Name of the tagger that the reward uses."""
        return get_tagger(self.settings.tagger).name

    @property
    def index(self) -> SearchIndex:
        """The search index; built when it is first needed."""
        with self._lock:
            if self._index is None:
                products = self.catalogue.products
                self._index = SearchIndex({p.asin: p.document for p in products})
            return self._index

    def find(self, words: tuple[str, ...]) -> tuple[Product, ...] | None:
        """Answer a search.

        The official engine also takes a command in place of the first word. `<c> X` and
        `<q> X` list the products of a category or a query. `<r>` draws at random and
        `<a>` fails in text mode; both are refused here, and so is `<c>` without a word.

        Args:
            words: The words, as parted at each blank.

        Returns:
            The hits, best first; None if the search is refused.
        """
        products = self.catalogue.products
        command, rest = words[0], " ".join(words[1:]).strip()
        if command in {"<r>", "<a>"}:
            return None
        if command == "<c>":
            if len(words) == 1:
                return None
            wanted = words[1].strip()
            return tuple(p for p in products if p.category == wanted)
        if command == "<q>":
            return tuple(p for p in products if p.query == rest)
        found = self.index.search(" ".join(words))
        return tuple(self.catalogue.by_asin[asin] for asin in found)

    @cached_property
    def by_category(self) -> dict[str, list[int]]:
        """Places of the goals, by category; categories sorted."""
        places: dict[str, list[int]] = {}
        for i, goal in enumerate(self.goals):
            places.setdefault(goal.category, []).append(i)
        return dict(sorted(places.items()))

    def check_category(self, category: str) -> str:
        """Return a category that has goals.

        Raises:
            UnknownTaskError: If there is none of this name.
        """
        if category not in self.by_category:
            msg = f"WebShop's catalogue has no goals in category {category!r}."
            raise UnknownTaskError(
                msg, remedy=f"Choose one of {list(self.by_category)}."
            )
        return category

    def goal(self, category: str, place: int) -> Goal:
        """Return the goal at a place of the official order.

        Raises:
            UnknownTaskError: If there is no such goal, or it is of another category.
        """
        places = self.by_category[self.check_category(category)]
        known = isinstance(place, int) and 0 <= place < len(self.goals)
        if not known or self.goals[place].category != category:
            msg = f"WebShop has no goal {place!r} in category {category!r}."
            raise UnknownTaskError(
                msg, remedy=f"A task's seed is its goal's index, such as {places[0]}."
            )
        return self.goals[place]

    def judge(self, goal: Goal, asin: str, options: Mapping[str, str]) -> Reward:
        """Judge the purchase of a product with the options chosen."""
        product = self.catalogue.by_asin[asin]
        nouns = (self._nouns(product.name), self._nouns(goal.name))
        return reward(product, goal, self.catalogue.prices[asin], options, nouns)

    def _tag(self, title: str) -> tuple[str, ...]:
        return get_tagger(self.settings.tagger).nouns(title)


@lru_cache(maxsize=4)
def _open(settings: Settings, folder: str | None) -> Shop:
    del folder  # only makes a changed WEBSHOP_DATA another shop
    return Shop(settings)


_opening = threading.Lock()


def open_shop(settings: Settings) -> Shop:
    """Return the shop of these settings, opened once per process."""
    # What only concerns texts and tasks makes no other shop.
    shared = replace(
        settings, style=STYLES[0], step_limit=1, prompts=None, indices=None
    )
    with _opening:
        return _open(shared, settings.folder)
