"""A shopper that knows the goal, for demonstrations and as an upper reference."""

from __future__ import annotations

from collections.abc import Iterator

from langchain_agentrm.environments.base import Demonstration
from langchain_agentrm.types import TaskRef
from langchain_agentrm_webshop._actions import click, read_action, search
from langchain_agentrm_webshop._session import Session
from langchain_agentrm_webshop.environment import WebShop
from langchain_agentrm_webshop.reward import plain_colour, similar

__all__ = ["demonstrate", "plan"]

_HITS_PER_PAGE = 10


def demonstrate(task: TaskRef, env: WebShop | None = None) -> Demonstration:
    """Let the expert shop until it buys or reaches the step limit.

    Args:
        task: The task.
        env: The environment to use; by default a new one.

    Returns:
        The episode; without steps where the product cannot be found.

    Raises:
        UnknownTaskError: If the task does not exist.
    """
    env = env or WebShop()
    start = env.reset(task)
    return Demonstration.play(env, start, plan(env.position()[0]))


def plan(session: Session) -> list[str]:
    """List the actions that buy the goal's own product; none if it cannot be found.

    Args:
        session: A session; its goal names the product, which the agent cannot see.
    """
    goal = session.goal
    for words in (" ".join([goal.name, *goal.attributes]), goal.name):
        query = search(words)
        if query is None:
            continue
        parts = read_action(query) or ("", "")
        hits = session.shop.find(tuple(parts[1].split(" "))) or ()
        places = [i for i, hit in enumerate(hits) if hit.asin == goal.asin]
        if places:
            more = ["click[next >]"] * (places[0] // _HITS_PER_PAGE)
            chosen = filter(None, map(click, _choices(session)))
            opened = f"click[{goal.asin.lower()}]"
            return [query, *more, opened, *chosen, "click[buy now]"]
    return []


def _choices(session: Session) -> Iterator[str]:
    """Choose, for each wish, a value that the reward counts as it."""
    goal = session.goal
    product = session.shop.catalogue.by_asin[goal.asin]
    if not isinstance(goal.options, tuple):
        yield from goal.options.values()
        return
    free = dict(product.options)
    for wish in goal.options:
        for name, values in free.items():
            fitting = [v for v in values if v == wish.lower()] or [
                v for v in values if similar(plain_colour(v), plain_colour(wish))
            ]
            if fitting:
                del free[name]
                yield fitting[0]
                break
