"""Stage `trees` over the counting game, which can kill its own process on the way."""

from __future__ import annotations

import functools
import json
import os
import sys
import time
from pathlib import Path

from langchain_agentrm.training.trees import TreesConfig, build_trees
from tests.faults.processes import append, die
from tests.training.game import CountFactory, RandomPolicy


class LoggedPolicy(RandomPolicy):
    """Appends which tasks it is asked about, and dies at its k-th call if told to."""

    def __init__(self, log, at, pause):
        super().__init__()
        self.log, self.at, self.pause = log, at, pause

    def propose(self, requests):
        tasks = sorted({r.parent.rpartition("/")[0] for r in requests})
        append(self.log, pid=os.getpid(), tasks=tasks)
        time.sleep(self.pause)
        answer = super().propose(requests)
        if self.calls == self.at:
            die()
        return answer


def main(job):
    """Run or resume the stage; print its manifest."""
    config = TreesConfig(
        env="count",
        types=("plain",),
        labeller=job["labeller"],
        tasks=24,
        simulations=6,
        chunk=4,
    )
    done = build_trees(
        config,
        Path("no-checkpoint"),
        Path(job["out"]),
        workers=job["workers"],
        factory=CountFactory(),
        make_proposer=functools.partial(
            LoggedPolicy, job["log"], job.get("at", 0), job.get("pause", 0.0)
        ),
    )
    print(json.dumps(done))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
