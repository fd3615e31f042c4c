"""Ours beside the official wrapper, on random episodes over all 30 types.

`python integrations/scienceworld/tests/parity.py` plays the same actions in both, ours
in several worlds of one Java process with forks between, and compares texts, scores and
moves. Actions come from the official list of valid ones, with unknown ones between.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys

from langchain_agentrm.testing._parity import Parity, options
from langchain_agentrm_scienceworld import ScienceWorldFactory, catalogue

STEPS, LIMIT = 8, 10_000
EXACT = "-XX:+UnlockExperimentalVMOptions -XX:hashCode=2"
# Both ask back after it, and only the official wrapper takes the answer as a number.
UNKNOWN = ["look", "frobnicate", "", "0", "\u6253\u5f00", "x" * 10_000, "{" * 200]


def java() -> str:
    """Version of the Java that runs the simulator."""
    done = subprocess.run(
        ["java", "-version"], capture_output=True, text=True, check=True
    )
    found = re.search(r'version "([^"]+)"', done.stderr)
    return found[1] if found else "unknown"


def main() -> int:
    """Play, and report the differences."""
    given = options()
    # Without it the simulator lists things in another order in each process.
    os.environ["JDK_JAVA_OPTIONS"] = EXACT
    from scienceworld import ScienceWorldEnv

    report = Parity(
        "scienceworld",
        "the official wrapper around its simulator",
        "task text, text, raw score, moves and end, after each step; ours forks",
        given.seed,
        {"episodes": given.episodes, "steps": STEPS, "simplification": "easy"},
        ("scienceworld", "py4j"),
    )
    official = ScienceWorldEnv("", envStepLimit=LIMIT)
    factory = ScienceWorldFactory(step_limit=LIMIT, move_limit=LIMIT)
    rng = random.Random(given.seed)
    forks = 0
    for episode in range(given.episodes):
        type_ = catalogue.ALL[episode % len(catalogue.ALL)]
        task = factory.task(type_, rng.randrange(catalogue.SIZES[type_].total))
        env = factory.make()
        start = env.reset(task)
        official.load(type_, task["seed"], "easy")
        _, info = official.reset()
        report.episodes += 1
        report.check(f"{task['id']} start", start.observation, info["taskDesc"])
        for step in range(STEPS):
            # The one action that is refused here by design.
            action = rng.choice([x for x in info["valid"] if x != "reset task"])
            if rng.random() < 0.1:
                action = rng.choice([*UNKNOWN, action.upper()])
            if rng.random() < 0.3:
                env = env.fork()
                forks += 1
            ours = env.step(action)
            text, _, over, info = official.step(action)
            report.steps += 1
            shown = (
                ours.observation,
                round(100 * ours.info["raw_score"]),
                ours.info["moves"],
                ours.done,
            )
            where = f"{task['id']} step {step} {action[:60]!r}"
            report.check(where, shown, (text, info["score"], info["moves"], bool(over)))
            if ours.done or over:
                break
    report.details = {"types": len(catalogue.ALL), "forks": forks}
    factory.close()
    official.close()
    return report.finish(given.out, java=java())


if __name__ == "__main__":
    sys.exit(main())
