"""Measure the game: `python -m langchain_agentrm_tools.speed`."""

from __future__ import annotations

import random
import sys
import time

from langchain_agentrm_tools.expert import demonstrate
from langchain_agentrm_tools.factory import HELD_IN, HELD_OUT, factory
from langchain_agentrm_tools.generate import generate

__all__ = ["measure"]


def measure(tasks: int = 250) -> dict[str, float]:
    """Make tasks, repeat their solutions' calls for thirty steps, and fork.

    Args:
        tasks: Tasks over all tools.

    Returns:
        Milliseconds to generate a task, to reset it and to fork at step 29, steps a
        second of CPU time, and the expert's share of successes.
    """
    rng = random.Random(0)  # noqa: S311 - a benchmark's choices, not a secret
    clock = time.process_time
    refs = factory.tasks("dev", [*HELD_IN, *HELD_OUT], tasks)
    began = clock()
    for ref in refs:
        generate(ref["type"], ref["seed"])
    making = clock() - began
    solved = sum(demonstrate(ref).success for ref in refs)
    reset = step = fork = 0.0
    for ref in refs:
        env = factory.make()
        began = clock()
        env.reset(ref)
        reset += clock() - began
        actions = [a for _, a in demonstrate(ref).steps if "finish" not in a]
        began = clock()
        for _ in range(29):
            env.step(rng.choice(actions))
        step += clock() - began
        began = clock()
        for _ in range(20):
            env.fork()
        fork += clock() - began
    return {
        "generate_ms": making / len(refs) * 1e3,
        "reset_ms": reset / len(refs) * 1e3,
        "steps_per_second": 29 * len(refs) / step,
        "fork_ms": fork / 20 / len(refs) * 1e3,
        "expert_success": solved / len(refs),
    }


if __name__ == "__main__":
    for name, value in measure().items():
        sys.stdout.write(f"{name}: {value:.4g}\n")
