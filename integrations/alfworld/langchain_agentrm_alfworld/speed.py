"""Measure the engines and the environment around them, and the expert."""

from __future__ import annotations

import random
import time
from typing import Literal

from langchain_agentrm.environments.base import Split
from langchain_agentrm_alfworld._play import root
from langchain_agentrm_alfworld._tables import tables
from langchain_agentrm_alfworld._world import World
from langchain_agentrm_alfworld.factory import ALFWorldFactory
from langchain_agentrm_alfworld.forms import AGENTBOARD, ETO
from langchain_agentrm_alfworld.generate import generate

__all__ = ["measure", "measure_expert", "measure_native"]

_WALK = 30
_clock = time.process_time


def measure(
    games: int = 60,
    forks: int = 10_000,
    engine: Literal["native", "textworld"] = "native",
) -> dict[str, float]:
    """Play generated games at random through the environment.

    Args:
        games: Games over the six task types, 30 steps each at most.
        forks: Forks at the last step of the last game.
        engine: Which engine; give `"textworld"` few games and forks.

    Returns:
        Milliseconds for a reset of a game not seen before, steps a second with the list
        of admissible actions after each, and microseconds for a fork.

    Raises:
        ConfigurationError: If the engine is not installed.
    """
    rng = random.Random(0)  # noqa: S311 - a benchmark's choices, not a secret
    factory = ALFWorldFactory(data="generated", engine=engine, step_limit=_WALK + 1)
    env = factory.make()
    first, *tasks = factory.tasks("train", limit=games + 1)
    # Loads the tables, and TextWorld's parsers.
    env.reset(first)
    resetting = stepping = 0.0
    steps = 0
    for task in tasks:
        began = _clock()
        env.reset(task)
        listed = env.actions()
        resetting += _clock() - began
        while listed and len(env.actions_taken) < _WALK:
            action = rng.choice(listed)
            began = _clock()
            env.step(action)
            listed = env.actions()
            stepping += _clock() - began
            steps += 1
    began = _clock()
    for _ in range(forks):
        env.fork()
    forking = _clock() - began
    return {
        "reset_ms": resetting / games * 1e3,
        "steps_per_second_with_list": steps / stepping,
        "fork_us": forking / forks * 1e6,
    }


def measure_native(games: int = 60) -> dict[str, float]:
    """Play generated games at random in the native engine alone.

    Args:
        games: Games over the six task types, 30 steps each.

    Returns:
        Milliseconds to generate and to load a game, and steps a second, each with the
        goal checked, without and with the list of admissible commands.
    """
    rng = random.Random(0)  # noqa: S311 - a benchmark's choices, not a secret
    types = tables().types
    generate(types[0], 0)
    began = _clock()
    made = [generate(types[i % len(types)], i // len(types)) for i in range(games)]
    generating = _clock() - began
    began = _clock()
    worlds = [World(game.content) for game in made]
    loading = _clock() - began
    stepping = listing = 0.0
    for world in worlds:
        node = root(world)
        for _ in range(_WALK):
            began = _clock()
            listed = node.commands()
            listing += _clock() - began
            command = rng.choice(listed)
            began = _clock()
            node = node.step(command)
            _ = node.won
            stepping += _clock() - began
    steps = games * _WALK
    return {
        "generate_ms": generating / games * 1e3,
        "load_ms": loading / games * 1e3,
        "steps_per_second": steps / stepping,
        "steps_per_second_with_list": steps / (stepping + listing),
    }


def measure_expert(split: Split = "test", games: int = 600) -> dict[str, float]:
    """Let the expert play generated games without the step limit.

    Args:
        split: Which split.
        games: How many, over the six task types.

    Returns:
        How many it played and won, and of those the median, 90th percentile and most
        actions, and how many needed more than 30 and 40.

    Raises:
        UnknownTaskError: If the split does not exist.
    """
    factory = ALFWorldFactory(data="generated", step_limit=200)
    tasks = factory.tasks(split, limit=games)
    shown = [factory.demonstrate(task) for task in tasks]
    lengths = sorted(len(x.steps) for x in shown if x is not None and x.success)
    return {
        "games": len(tasks),
        "won": len(lengths),
        "median": lengths[len(lengths) // 2],
        "p90": lengths[len(lengths) * 9 // 10],
        "most": lengths[-1],
        "over_30": sum(n > AGENTBOARD.step_limit for n in lengths),
        "over_40": sum(n > ETO.step_limit for n in lengths),
    }
