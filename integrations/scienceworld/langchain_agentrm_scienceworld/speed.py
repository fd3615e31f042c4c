"""Measure the simulator: `python -m langchain_agentrm_scienceworld.speed`."""

from __future__ import annotations

import sys
import time

from langchain_agentrm_scienceworld import catalogue
from langchain_agentrm_scienceworld.expert import demonstrate
from langchain_agentrm_scienceworld.factory import ScienceWorldFactory

__all__ = ["measure"]

_LIMIT = 10_000
_DEPTH = 30
_WORDS = ("look around", "wait1", "inventory", "teleport to kitchen")


def measure(types: int = 6) -> dict[str, float]:
    """Time the parts of an episode, over some task types.

    Args:
        types: How many of the 30 task types.

    Returns:
        Milliseconds for a reset, a step, a listing of actions, a fork at step 30, the
        first child's step and another child's (which is replayed); and the share of
        the types' first test tasks that the simulator's own solution solves.
    """
    factory = ScienceWorldFactory(
        step_limit=_LIMIT, move_limit=_LIMIT, list_actions=True, sessions=2
    )
    chosen = catalogue.ALL[:: len(catalogue.ALL) // types][:types]
    tasks = [factory.tasks("test", [type_], 1)[0] for type_ in chosen]
    clock = time.perf_counter
    # Java translates what runs often, so one round is not counted.
    solved = sum(demonstrate(task, factory.make()).success for task in tasks)
    spent = dict.fromkeys(("reset", "step", "list", "fork", "first", "other"), 0.0)
    for task in tasks:
        env = factory.make()
        began = clock()
        env.reset(task)
        spent["reset"] += clock() - began
        began = clock()
        for i in range(_DEPTH):
            env.step(_WORDS[i % len(_WORDS)])
        spent["step"] += (clock() - began) / _DEPTH
        began = clock()
        env.actions()
        spent["list"] += clock() - began
        began = clock()
        first, other = env.fork(), env.fork()
        spent["fork"] += (clock() - began) / 2
        for name, child in (("first", first), ("other", other)):
            began = clock()
            child.step("look around")
            spent[name] += clock() - began
    figures = {f"{name}_ms": s / len(tasks) * 1e3 for name, s in spent.items()}
    factory.make().pool.close()
    return {**figures, "expert_success": solved / len(tasks)}


if __name__ == "__main__":
    for name, value in measure().items():
        sys.stdout.write(f"{name}: {value:.4g}\n")
