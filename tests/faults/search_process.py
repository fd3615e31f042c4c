"""A checkpointed beam search that is killed: by itself at a point, or from outside.

The environment writes every action that it runs to a file: the side effect that must
not happen twice.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import sqlite3
import sys
import threading
import time
from pathlib import Path

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from langchain_agentrm import create_beam_search
from langchain_agentrm.errors import ForkError
from langchain_agentrm.testing.scripted import (
    ScriptedEnvironment,
    ScriptedFactory,
    ScriptedPolicy,
    ScriptedRewardModel,
)
from tests.faults.processes import append, die, lines

CONFIG = {"configurable": {"thread_id": "killed"}}
TASK = ("count_far", 203)  # reach 12, in 4 steps at least


class Fuse:
    """Kills the process when a place is passed for the k-th time.

    With a pace, every place takes so many seconds, so that a kill from outside can
    fall into each of them.
    """

    def __init__(self, place, at, before, pace=0.0):
        self.place, self.at, self.before, self.pace = place, at, before, pace
        self.count = itertools.count(1)
        self.lock = threading.Lock()
        self.burning = threading.Event()

    def passed(self, place):
        """Count, and die if it is time."""
        time.sleep(self.pace)
        if place == "step" and self.burning.is_set():
            time.sleep(60)  # a sibling that comes now must not act after the last look
        if place != self.place:
            return
        with self.lock:
            here = next(self.count)
        if here == self.at:
            self.burning.set()
            self.before()
            die()


class LoggedEnvironment(ScriptedEnvironment):
    """Appends each action it runs to a file."""

    log_file = ""
    fuse = None

    def _step(self, action):
        if not self._replaying:
            self.fuse.passed("step")
        append(
            self.log_file,
            path=[*map(str, self.actions_taken), str(action)],
            replay=self._replaying,
        )
        if not self._replaying:
            self.fuse.passed("stepped")
        return super()._step(action)


class LoggedFactory(ScriptedFactory):
    """Makes environments that log to the job's file."""

    def make(self):
        return LoggedEnvironment(self._shared)


def recorded(database):
    """Paths of the nodes whose step the checkpointer has on disk."""
    if not Path(database).exists():
        return []
    connection = sqlite3.connect(database, timeout=30)
    saver = SqliteSaver(connection)
    made = "select 1 from sqlite_master where name='writes'"
    query = "select type, value from writes where channel='nodes'"
    try:
        if connection.execute(made).fetchone() is None:
            return []  # killed before the checkpointer made its tables
        rows = connection.execute(query).fetchall()
    finally:
        connection.close()
    nodes = {}
    for row in rows:
        update = saver.serde.loads_typed(row) or {}
        nodes |= {k: n for k, n in update.items() if n and n["observation"]}
    return sorted(_path(nodes, ident) for ident in nodes)


def _path(nodes, ident):
    path = []
    while ident in nodes:
        path.insert(0, nodes[ident]["action"])
        ident = nodes[ident]["parent"]
    return path


def _answer(messages, rng):
    return rng.choice(["add 1", "add 2", "add 3", "take 1"])


def _score(trajectory):
    """Towards the goal, with enough noise that beams of several parents survive."""
    actions = [turn.action for turn in trajectory.turns]
    total = sum(int(a[-1]) * (1 if a.startswith("add") else -1) for a in actions)
    noise = hashlib.blake2s(" ".join(actions).encode()).digest()[0] / 256
    goal = int(trajectory.goal.strip(".").split()[-1])
    return 1.5 * noise - abs(goal - total)


def main(job):
    """Run or resume the search; print its outcome."""

    def settle():
        # Siblings run at the same time; what they did must be on record before the
        # kill, so that repeating them would be a fault and not a race.
        until = time.monotonic() + 20
        settled = 0
        while time.monotonic() < until and settled < 10:
            ran = sum(not line["replay"] for line in lines(job["log"]))
            known = len(recorded(job["database"])) >= ran - job.get("open", 0)
            settled = settled + 1 if known else 0
            time.sleep(0.05)

    fuse = Fuse(job.get("place"), job.get("at", 0), settle, job.get("pace", 0.0))
    LoggedEnvironment.log_file, LoggedEnvironment.fuse = job["log"], fuse
    policy = ScriptedPolicy(answers=_watched(_answer, fuse, "policy"))
    reward_model = ScriptedRewardModel(_watched(_score, fuse, "reward"))
    factory = LoggedFactory(fork=job["fork"])
    builder = create_beam_search(
        policy,
        reward_model,
        factory,
        beam_width=job["width"],
        expansions=3,
        max_steps=8,
        seed=7,
    )
    given = {"task": factory.task(*TASK)}
    print("ready", flush=True)
    began = time.monotonic()
    go = _run_async if job.get("async") else _run
    try:
        begun, out = go(builder, given, job["database"])
    except ForkError as error:
        print(json.dumps({"begun": True, "refused": str(error)}))
        return
    seconds = time.monotonic() - began
    messages = [[m.type, m.id, str(m.text)] for m in out["messages"]]
    outcome = {"begun": begun, "result": out["result"], "messages": messages}
    print(json.dumps({**outcome, "seconds": seconds}))


def _run(builder, given, database):
    with SqliteSaver.from_conn_string(database) as saver:
        graph = builder.compile(checkpointer=saver)
        begun = bool(graph.get_state(CONFIG).values)
        out = graph.invoke(None if begun else given, CONFIG, durability="sync")
    return begun, out


def _run_async(builder, given, database):
    async def run():
        async with AsyncSqliteSaver.from_conn_string(database) as saver:
            graph = builder.compile(checkpointer=saver)
            begun = bool((await graph.aget_state(CONFIG)).values)
            now = None if begun else given
            return begun, await graph.ainvoke(now, CONFIG, durability="sync")

    return asyncio.run(run())


def _watched(function, fuse, place):
    def call(*given):
        fuse.passed(place)
        return function(*given)

    return call


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
