"""Ours beside the official wrapper, on 50 random episodes over all 30 types.

`python integrations/scienceworld/tests/parity.py` plays the same actions in both, ours
in several worlds of one Java process with forks between, and compares texts, scores and
moves. Actions come from the official list of valid ones, with unknown ones between.
"""

from __future__ import annotations

import os
import random
import sys

from langchain_agentrm_scienceworld import ScienceWorldFactory, catalogue

EPISODES, STEPS, LIMIT = 50, 8, 10_000
EXACT = "-XX:+UnlockExperimentalVMOptions -XX:hashCode=2"


def main() -> int:
    """Play, report differences and return how many there are."""
    os.environ["JDK_JAVA_OPTIONS"] = EXACT
    from scienceworld import ScienceWorldEnv

    official = ScienceWorldEnv("", envStepLimit=LIMIT)
    factory = ScienceWorldFactory(step_limit=LIMIT, move_limit=LIMIT)
    rng = random.Random(0)
    steps, different = 0, 0
    for episode in range(EPISODES):
        type_ = catalogue.ALL[episode % len(catalogue.ALL)]
        task = factory.task(type_, rng.randrange(catalogue.SIZES[type_].total))
        env = factory.make()
        start = env.reset(task)
        official.load(type_, task["seed"], "easy")
        _, info = official.reset()
        different += start.observation != info["taskDesc"]
        for _ in range(STEPS):
            # The one action that is refused here by design.
            action = rng.choice([x for x in info["valid"] if x != "reset task"])
            if rng.random() < 0.1:
                action = rng.choice(["look", "frobnicate", "", action.upper(), "0"])
            if rng.random() < 0.3:
                env = env.fork()
            ours = env.step(action)
            text, _, over, info = official.step(action)
            steps += 1
            seen = (ours.observation, ours.info["raw_score"], ours.info["moves"])
            if (seen[0], round(100 * seen[1]), seen[2]) != (
                text,
                info["score"],
                info["moves"],
            ):
                different += 1
                print(f"{task['id']}: {action!r}: {seen} {text!r} {info['score']}")
            if ours.done or over:
                break
    factory.close()
    official.close()
    print(f"{EPISODES} episodes, {steps} steps, {different} differences")
    return different


if __name__ == "__main__":
    sys.exit(main() > 0)
