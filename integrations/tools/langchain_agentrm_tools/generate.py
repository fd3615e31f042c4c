"""Generated tasks: the same tool and seed always give the same task."""

from __future__ import annotations

import json
import random
from functools import lru_cache

from langchain_agentrm_tools._kit import Kit
from langchain_agentrm_tools._label import Label, prepare
from langchain_agentrm_tools._operations import (
    SHEET,
    TODO,
    draw_projects,
    draw_table,
)
from langchain_agentrm_tools._queries import ACADEMIA, MOVIE, WEATHER, draw_config
from langchain_agentrm_tools._score import equal_cells
from langchain_agentrm_tools._world import get_world
from langchain_agentrm_tools.academia import Academia
from langchain_agentrm_tools.movie import Movies
from langchain_agentrm_tools.sheet import Sheets
from langchain_agentrm_tools.todo import Todo
from langchain_agentrm_tools.weather import Weather

__all__ = ["generate"]

_TASKS_A_WORLD = 50
_QUERIES = {"weather": WEATHER, "movie": MOVIE, "academia": ACADEMIA}


@lru_cache(maxsize=512)
def generate(tool: str, seed: int) -> tuple[Label, Kit]:
    """Generate a task and its tool.

    Fifty seeds in a row share their tables; no two splits do.

    Args:
        tool: `weather`, `movie`, `academia`, `todo` or `sheet`.
        seed: Seed of the task.

    Returns:
        The label, with a plan that solves it, and the tool in its first state, which
        must be forked before it is used.
    """
    rng = random.Random(f"{tool} {seed}")  # noqa: S311 - a game's tasks
    world = get_world(seed // _TASKS_A_WORLD)
    config = draw_config(rng, world)
    kit: Kit
    if tool == "todo":
        projects = draw_projects(rng, config["current_date"])
        goal = TODO[seed % len(TODO)](rng, projects)
        first = 2_300_000_000 + seed % 1000 * 97 + 1
        kit = Todo(projects, config, first)
    elif tool == "sheet":
        return _sheet(rng, seed)
    else:
        kinds = _QUERIES[tool]
        goal = kinds[seed % len(kinds)](rng, world, config)
        if tool == "weather":
            kit = Weather(world.places, config, world.number)
        elif tool == "movie":
            kit = Movies(world.movies, world.persons)
        else:
            kit = Academia(world.papers, world.authors)
        if tool != "weather":
            config = {}
    return prepare(goal, kit, config), kit


def _sheet(rng: random.Random, seed: int) -> tuple[Label, Kit]:
    while True:
        name, table = f"Sheet{rng.randrange(1, 100)}", draw_table(rng)
        goal = SHEET[seed % len(SHEET)](rng, name, table)
        kit = Sheets({name: table})
        kit.open(name)
        label = prepare(goal, kit, {})
        # Only the common rectangle is compared, so that some changes cannot be told
        # from none: a table sorted already, or last rows that should go.
        if equal_cells(table, json.loads(label.answer)) < 1:
            return label, kit
