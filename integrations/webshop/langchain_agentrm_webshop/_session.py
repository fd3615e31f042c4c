"""A shopping session as a value: stepping it makes a new one."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import NamedTuple

from langchain_agentrm_webshop import _pages
from langchain_agentrm_webshop._actions import read_action
from langchain_agentrm_webshop._pages import Page
from langchain_agentrm_webshop.goals import Goal
from langchain_agentrm_webshop.reward import Reward
from langchain_agentrm_webshop.shop import Shop

__all__ = ["Answer", "Session", "Visit"]

_RANDOM, _ATTRIBUTE, _CATEGORY, _QUERY = "<r>", "<a>", "<c>", "<q>"
_PLACES = ("search_results", "item_page", "item_sub_page", "done")

_TURNS = {
    (_pages.NEXT, "search_results"): 1,
    (_pages.PREVIOUS, "search_results"): -1,
    (_pages.PREVIOUS, "item_page"): 0,
}


class Visit(NamedTuple):
    """Where a session stands.

    Attributes:
        place: `"search"`, `"search_results"`, `"item_page"`, `"item_sub_page"` or
            `"done"`.
        words: What was searched for.
        number: Page of the results.
        asin: The product looked at.
        options: Values chosen, by option name, in the order first chosen.
        sub: Which sub-page is open.
        reward: The reward, after a purchase.
    """

    place: str = "search"
    words: tuple[str, ...] = ()
    number: int = 1
    asin: str = ""
    options: tuple[tuple[str, str], ...] = ()
    sub: str = ""
    reward: Reward | None = None


class Answer(NamedTuple):
    """What an action led to.

    Attributes:
        visit: Where the session stands now.
        valid: Whether the action did anything.
    """

    visit: Visit
    valid: bool


class Session:
    """One goal's sessions; visits are values, so that branches share it.

    Args:
        shop: Catalogue, search and tagger.
        goal: What is to be bought.
    """

    def __init__(self, shop: Shop, goal: Goal) -> None:
        self.shop = shop
        self.goal = goal
        self.page = lru_cache(maxsize=256)(self._page)

    def act(self, visit: Visit, action: str) -> Answer:
        """Apply an action as the official engine does; a bad one changes nothing.

        Args:
            visit: Where the session stands.
            action: `search[words]` or `click[something on the page]`.
        """
        parts = read_action(action)
        if parts is None:
            return Answer(visit, valid=False)
        verb, argument = parts
        after: Visit | None = None
        if verb == "search":
            after = self._search(tuple(argument.split(" ")), 1)
        elif verb == "click" and argument != "search":
            after = self._click(visit, argument)
        return Answer(visit if after is None else after, after is not None)

    def _page(self, visit: Visit) -> Page:
        text = self.goal.instruction
        if visit.place == "search":
            return _pages.search_page(text)
        if visit.place == "search_results":
            hits = self.shop.find(visit.words) or ()
            start, end = (visit.number - 1) * 10, visit.number * 10
            return _pages.results_page(text, hits[start:end], visit.number, len(hits))
        product = self.shop.catalogue.by_asin[visit.asin]
        if visit.place == "item_page":
            shown = self.shop.settings.show_attributes
            return _pages.item_page(text, product, attributes=shown)
        if visit.place == "item_sub_page":
            return _pages.sub_page(text, product, visit.sub)
        value = 0.0 if visit.reward is None else visit.reward.value
        return _pages.done_page(visit.asin, dict(visit.options), value)

    def _search(self, words: tuple[str, ...], number: int) -> Visit | None:
        if self.shop.find(words) is None:
            return None
        return Visit("search_results", words, number)

    def _click(self, visit: Visit, name: str) -> Visit | None:
        does = self.page(visit).clickables.get(name)
        if does is None:
            return None
        if name == _pages.BUY:
            return self._buy(visit)
        if name == _pages.BACK:
            return Visit()
        turned = _TURNS.get((name, _place(visit)))
        if turned is not None:
            return self._search(visit.words, visit.number + turned)
        if name in _pages.SUB_PAGES:
            return visit._replace(place="item_sub_page", sub=name)
        return _open_item(visit, name, does)

    def _buy(self, visit: Visit) -> Visit:
        judged = self.shop.judge(self.goal, visit.asin, dict(visit.options))
        return visit._replace(place="done", reward=judged)


def _open_item(visit: Visit, name: str, does: str) -> Visit:
    """Show a product: another one, the same with a value chosen, or as it was."""
    item = visit._replace(place="item_page", sub="")
    if does == "asin":
        return item._replace(asin=name.upper())
    if does:
        options = dict(visit.options) | {does[1:]: name}
        return item._replace(options=tuple(options.items()))
    return item


def _place(visit: Visit) -> str:
    """Tell which page the official engine believes to show.

    It looks for the pages' names anywhere in the address, which holds the words
    searched for and the options too, and the first name found wins.
    """
    if visit.place in {"search", "search_results", "done"}:
        return visit.place
    chosen = dict(visit.options)
    options = json.dumps(chosen) if visit.place == "item_page" else str(chosen)
    address = "/".join([visit.place, "+".join(visit.words), options])
    return next(name for name in _PLACES if name in address)
