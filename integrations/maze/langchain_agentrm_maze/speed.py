"""Measure the maze: `python -m langchain_agentrm_maze.speed`."""

from __future__ import annotations

import random
import sys
import time

from langchain_agentrm_maze.expert import demonstrate
from langchain_agentrm_maze.factory import factory
from langchain_agentrm_maze.layouts import open_maze

__all__ = ["measure"]


def measure(tasks: int = 140) -> dict[str, float]:
    """Play random and expert episodes over the test types, timing each part.

    Args:
        tasks: How many tasks.

    Returns:
        Actions a second of CPU time, milliseconds for a reset, microseconds for a fork
        at the end of an episode, the longest way, and the expert's share of tasks
        solved.
    """
    rng = random.Random(0)  # noqa: S311 - a benchmark's choices, not a secret
    clock = time.process_time
    refs = factory.tasks("test", limit=tasks)
    reset = step = fork = 0.0
    steps, longest, solved = 0, 0, 0
    for ref in refs:
        open_maze.cache_clear()
        env = factory.make()
        began = clock()
        env.reset(ref)
        reset += clock() - began
        over = False
        while not over:
            action = rng.choice(env.actions() or [""])
            began = clock()
            over = env.step(action).done
            step += clock() - began
            steps += 1
        began = clock()
        for _ in range(1_000):
            env.fork()
        fork += (clock() - began) / 1_000
        shown = demonstrate(ref, env)
        longest = max(longest, len(shown.steps))
        solved += shown.success
    return {
        "actions_per_second": steps / step,
        "reset_ms": reset / tasks * 1e3,
        "fork_us": fork / tasks * 1e6,
        "longest_way": float(longest),
        "expert_success": solved / tasks,
    }


if __name__ == "__main__":
    for what, value in measure().items():
        sys.stdout.write(f"{what}: {value:.4g}\n")
