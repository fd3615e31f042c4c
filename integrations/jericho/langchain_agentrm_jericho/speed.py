"""Measure the games: `python -m langchain_agentrm_jericho.speed`."""

from __future__ import annotations

import sys
import time

from langchain_agentrm_jericho.factory import JerichoFactory

__all__ = ["measure"]

_STEPS = 500
_DEPTH = 30


def measure(name: str, factory: JerichoFactory | None = None) -> dict[str, float]:
    """Time the parts of a game.

    Args:
        name: The game.
        factory: Where it is; by default among the files of `JERICHO_GAMES`.

    Returns:
        Milliseconds for a reset, a step, a fork at step 30, a fork together with its
        first step, and a replay of 30 steps.
    """
    factory = factory or JerichoFactory(step_limit=_STEPS + 1)
    task = factory.task(name, 0)
    env = factory.make()
    env.reset(task)
    clock = time.perf_counter
    began = clock()
    env.reset(task)
    reset = clock() - began
    began = clock()
    for _ in range(_STEPS):
        env.step("look")
    step = (clock() - began) / _STEPS
    env.reset(task)
    for _ in range(_DEPTH):
        env.step("look")
    began = clock()
    forks = [env.fork() for _ in range(_STEPS)]
    fork = (clock() - began) / _STEPS
    began = clock()
    for each in forks:
        each.step("inventory")
    branch = fork + (clock() - began) / _STEPS
    began = clock()
    factory.make().replay(task, env.actions_taken, env.digests)
    replay = clock() - began
    parts = {"reset": reset, "step": step, "fork": fork, "fork_and_step": branch}
    return {
        f"{key}_ms": value * 1e3 for key, value in {**parts, "replay": replay}.items()
    }


if __name__ == "__main__":
    made = JerichoFactory(step_limit=_STEPS + 1)
    for game in made.types("all"):
        figures = " ".join(f"{k}={v:.3g}" for k, v in measure(game, made).items())
        sys.stdout.write(f"{game}: {figures}\n")
