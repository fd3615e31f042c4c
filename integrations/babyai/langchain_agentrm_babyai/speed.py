"""Measure the game: `python -m langchain_agentrm_babyai.speed`."""

from __future__ import annotations

import random
import sys
import time

from langchain_agentrm_babyai import levels
from langchain_agentrm_babyai._world import World
from langchain_agentrm_babyai.environment import factory

__all__ = ["measure"]


def measure(tasks: int = 240) -> dict[str, float]:
    """Take random applicable actions in new worlds, and time each part by itself.

    Args:
        tasks: Tasks over the held-in and held-out levels.

    Returns:
        Actions a second of CPU time with and without listing the applicable ones, and
        milliseconds for a reset and a fork.
    """
    rng = random.Random(0)  # noqa: S311 - a benchmark's choices, not a secret
    clock = time.process_time
    refs = factory.tasks("train", [*levels.HELD_IN, *levels.HELD_OUT], tasks)
    World(refs[0]["type"], 0)
    reset = step = listing = 0.0
    steps = 0
    for ref in refs:
        began = clock()
        world = World(ref["type"], ref["seed"])
        reset += clock() - began
        node = world.root
        while not node.over:
            began = clock()
            listed = world.actions(node)
            listing += clock() - began
            action = rng.choice([a for a in listed if a != "done"])
            began = clock()
            node = world.advance(node, action)
            step += clock() - began
            steps += 1
    env = factory.make()
    env.reset(refs[0])
    began = clock()
    for _ in range(10_000):
        env.fork()
    fork = (clock() - began) / 10_000
    return {
        "actions_per_second": steps / step,
        "actions_per_second_with_list": steps / (step + listing),
        "reset_ms": reset / len(refs) * 1e3,
        "fork_ms": fork * 1e3,
    }


if __name__ == "__main__":
    for name, value in measure().items():
        sys.stdout.write(f"{name}: {value:.4g}\n")
