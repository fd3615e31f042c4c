"""Measure the domains: `python -m langchain_agentrm_pddl.speed`."""

from __future__ import annotations

import random
import sys
import time

from langchain_agentrm_pddl._worlds import open_world
from langchain_agentrm_pddl.domains import DOMAINS
from langchain_agentrm_pddl.expert import demonstrate
from langchain_agentrm_pddl.factory import factory

__all__ = ["measure"]


def measure(domain: str, tasks: int = 20) -> dict[str, float]:
    """Play random and expert episodes of one domain, and time each part by itself.

    Args:
        domain: One of the four domains.
        tasks: How many of its test tasks.

    Returns:
        Actions a second of CPU time with and without listing the possible ones,
        milliseconds for a reset, a fork at the end of an episode and a plan, the
        longest plan, and the expert's share of tasks solved.
    """
    rng = random.Random(0)  # noqa: S311 - a benchmark's choices, not a secret
    clock = time.process_time
    refs = factory.tasks("test", [domain], tasks)
    reset = step = listing = fork = plan = 0.0
    steps, longest, solved = 0, 0, 0
    for ref in refs:
        open_world.cache_clear()
        env = factory.make()
        began = clock()
        env.reset(ref)
        env.actions()
        reset += clock() - began
        over = False
        while not over:
            began = clock()
            listed = env.actions() or []
            listing += clock() - began
            action = rng.choice(listed)
            began = clock()
            over = env.step(action).done
            step += clock() - began
            steps += 1
        began = clock()
        for _ in range(1_000):
            env.fork()
        fork += (clock() - began) / 1_000
        began = clock()
        shown = demonstrate(ref, env)
        plan += clock() - began
        longest = max(longest, len(shown.steps))
        solved += shown.success
    return {
        "actions_per_second": steps / step,
        "actions_per_second_with_list": steps / (step + listing),
        "reset_ms": reset / tasks * 1e3,
        "fork_us": fork / tasks * 1e6,
        "plan_ms": plan / tasks * 1e3,
        "longest_plan": float(longest),
        "expert_success": solved / tasks,
    }


if __name__ == "__main__":
    for name in DOMAINS:
        for what, value in measure(name).items():
            sys.stdout.write(f"{name} {what}: {value:.4g}\n")
