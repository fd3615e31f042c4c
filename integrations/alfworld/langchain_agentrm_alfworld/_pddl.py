"""Read the PDDL problem of a game file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from langchain_agentrm.errors import ConfigurationError

__all__ = ["Fact", "Formula", "Problem", "parse_problem", "typed"]

Formula: TypeAlias = "str | list[Formula]"
Fact = tuple[str, ...]

_TOKEN = re.compile(r"[()]|[^\s()]+")
_COMMENT = re.compile(r";[^\n]*")


@dataclass(frozen=True, slots=True)
class Problem:
    """A parsed problem; every symbol is in small letters, as the planner has them.

    Attributes:
        types: Type of each object.
        facts: What holds at the start; distances and other numbers are left out.
        goal: The goal formula as nested lists.
    """

    types: dict[str, str]
    facts: tuple[Fact, ...]
    goal: Formula


def parse_problem(text: str) -> Problem:
    """Parse a PDDL problem.

    Args:
        text: The problem as the game file holds it.

    Returns:
        Its objects, facts and goal.

    Raises:
        ConfigurationError: If the text is no PDDL problem.
    """
    try:
        sections = {
            part[0]: part[1:]
            for part in _nest(text)
            if isinstance(part, list) and part and isinstance(part[0], str)
        }
        types = dict(typed(sections[":objects"]))
        facts = tuple(
            tuple(str(term) for term in fact)
            for fact in sections[":init"]
            if isinstance(fact, list) and all(isinstance(term, str) for term in fact)
        )
        goal = sections[":goal"][0]
    except (IndexError, KeyError, TypeError, ValueError) as error:
        msg = f"A game's pddl_problem cannot be read: {error!r}."
        raise ConfigurationError(
            msg, remedy="Check that the game.tw-pddl file is complete."
        ) from error
    return Problem(types, facts, goal)


def typed(terms: list[Formula]) -> Iterator[tuple[str, str]]:
    """Pair the names of a typed list, such as `?o - object`, with their types."""
    waiting: list[str] = []
    rest = iter(terms)
    for term in rest:
        if not isinstance(term, str):
            msg = f"a nested list in a typed list: {term!r}"
            raise TypeError(msg)
        if term == "-":
            type_ = str(next(rest))
            yield from ((name, type_) for name in waiting)
            waiting = []
        else:
            waiting.append(term)


def _nest(text: str) -> list[Formula]:
    stack: list[list[Formula]] = [[]]
    for mark in _TOKEN.findall(_COMMENT.sub("", text).lower()):
        if mark == "(":
            stack.append([])
        elif mark == ")":
            done = stack.pop()
            stack[-1].append(done)
        else:
            stack[-1].append(mark)
    first = stack[0][0]
    if len(stack) != 1 or not isinstance(first, list):
        msg = "unbalanced parentheses"
        raise ValueError(msg)
    return first
