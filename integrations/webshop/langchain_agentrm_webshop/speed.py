"""Measure the game."""

from __future__ import annotations

import random
import time

from langchain_agentrm_webshop.expert import demonstrate
from langchain_agentrm_webshop.factory import factory

__all__ = ["measure"]


def measure(tasks: int = 200) -> dict[str, float]:
    """Take random clicks, fork, and let the expert shop, in CPU time.

    Args:
        tasks: Tasks over all categories.

    Returns:
        Seconds to open the shop, milliseconds for a reset, a step (each session
        begins with a search not made before) and a fork, and the expert's mean score
        and actions.
    """
    rng = random.Random(0)  # noqa: S311 - a benchmark's choices, not a secret
    clock = time.process_time
    began = clock()
    shop = factory.shop
    shop.index.search("warm")
    opening = clock() - began
    refs = factory.tasks("test", factory.types("all"), tasks)
    env = factory.make()
    reset = step = 0.0
    steps = 0
    for ref in refs:
        began = clock()
        env.reset(ref)
        reset += clock() - began
        while not env.over:
            listed = [a for a in env.actions() or [] if a != "click[buy now]"]
            action = rng.choice(listed)
            began = clock()
            env.step(action)
            step += clock() - began
            steps += 1
    env.reset(refs[0])
    env.step("search[shoes]")
    began = clock()
    for _ in range(10_000):
        env.fork()
    fork = (clock() - began) / 10_000
    shown = [demonstrate(ref) for ref in refs]
    return {
        "open_s": opening,
        "reset_ms": reset / len(refs) * 1e3,
        "step_ms": step / steps * 1e3,
        "fork_ms": fork * 1e3,
        "expert_score": sum(d.score for d in shown) / len(shown),
        "expert_actions": sum(len(d.steps) for d in shown) / len(shown),
    }
