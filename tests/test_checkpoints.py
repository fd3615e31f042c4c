"""What a search leaves in a database: small, readable, and the same from any saver."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import pwd
import random
import shutil
import sqlite3
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver

from langchain_agentrm import create_beam_search
from langchain_agentrm.testing.scripted import (
    ScriptedEnvironment,
    ScriptedFactory,
    ScriptedPolicy,
    ScriptedRewardModel,
)
from tests.search.doubles import a_task
from tests.test_graphs import build, comparable

WORDS = ("a red door", "the blue key", "a wall ahead", "nothing here", "a grey box")
LIMIT = 400 * 1024
OBSERVATION = 300


class Wordy(ScriptedEnvironment):
    """A game of exactly 15 steps, with observations of 300 characters."""

    def _reset(self, task):
        return dataclasses.replace(super()._reset(task), step_limit=15)

    def _step(self, action):
        answer = super()._step(action)
        rng = random.Random(answer.observation)
        words = " ".join(rng.choice(WORDS) for _ in range(60))
        text = f"{answer.observation} {words}"[:OBSERVATION]
        return dataclasses.replace(answer, observation=text, done=False)


class WordyFactory(ScriptedFactory):
    def make(self):
        return Wordy(self._shared)


def long_search(saver):
    """Fifteen steps with four beams, as checkpoints."""

    def answer(messages, rng):
        return f"{rng.choice(['add', 'take'])} {rng.randrange(1, 4)}"

    def rate(trajectory):
        return random.Random("".join(t.action for t in trajectory.turns)).random()

    factory = WordyFactory()
    graph = create_beam_search(
        ScriptedPolicy(answers=answer),
        ScriptedRewardModel(rate),
        factory,
        beam_width=4,
        expansions=4,
    ).compile(checkpointer=saver)
    config = {"configurable": {"thread_id": "long"}}
    task = a_task(factory, type_="count_far")
    out = graph.invoke({"task": task}, config, durability="sync")
    return graph, config, out


def test_fifteen_steps_of_four_beams_take_at_most_400_kib(tmp_path):
    file = tmp_path / "runs.sqlite"
    with SqliteSaver.from_conn_string(str(file)) as saver:
        graph, config, out = long_search(saver)
        seen = [s.values for s in graph.get_state_history(config)]
    assert (out["result"]["steps"], out["result"]["ended"]) == (15, "max_steps")
    # It is all there: every superstep can be read back, with all live nodes.
    assert max(len(v.get("nodes") or {}) for v in seen) > 15
    sizes = [f.stat().st_size for f in tmp_path.iterdir()]
    assert sum(sizes) <= LIMIT, sizes


def test_every_superstep_reads_back_the_same_from_sqlite_as_from_memory(tmp_path):
    with SqliteSaver.from_conn_string(str(tmp_path / "runs.sqlite")) as saver:
        graph, config, _ = long_search(saver)
        disk = [_stored(s) for s in graph.get_state_history(config)]
    graph, config, _ = long_search(InMemorySaver())
    assert disk == [_stored(s) for s in graph.get_state_history(config)]
    assert len(disk) == 2 * 15 + 4


def _stored(snapshot):
    values = {k: v for k, v in snapshot.values.items() if k != "messages"}
    if values.get("search"):
        values["search"] = {**values["search"], "started": 0.0}
    return sorted(snapshot.next), values


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
def test_any_durability_keeps_a_finished_thread_usable(tmp_path, durability):
    config = {"configurable": {"thread_id": "t"}}
    given = {"task": a_task(ScriptedFactory())}
    outs = []
    for _ in range(2):
        with SqliteSaver.from_conn_string(str(tmp_path / "runs.sqlite")) as saver:
            graph = build("beam").compile(checkpointer=saver)
            outs.append(graph.invoke(given, config, durability=durability))
            state = graph.get_state(config).values
            assert (state["nodes"], state["beams"]) == ({}, [])
    first, second = outs
    assert len(second["messages"]) == 2 * len(first["messages"])
    assert comparable(first)[0] == comparable(second)[0]


def test_no_environment_and_no_pickle_is_in_the_database(tmp_path):
    file = tmp_path / "runs.sqlite"
    with SqliteSaver.from_conn_string(str(file)) as saver:
        long_search(saver)
    connection = sqlite3.connect(file)
    kinds = {row[0] for row in connection.execute("select type from writes")}
    kinds |= {row[0] for row in connection.execute("select type from checkpoints")}
    data = b"".join(r[0] or b"" for r in connection.execute("select value from writes"))
    connection.close()
    assert kinds <= {"msgpack", "null", "empty"}
    assert b"Environment" not in data


# Strict msgpack: what no class of ours may need.

_STRICT = """
import json, logging, sys, warnings
warnings.simplefilter("error")
logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
from langgraph.checkpoint.sqlite import SqliteSaver
from langchain_core.messages import BaseMessage
from tests.test_checkpoints import long_search
from tests.test_graphs import build
from tests.test_selector import agent, ask, by_text, explorer, speller
from tests.search.doubles import a_task
from langchain_agentrm.testing.scripted import ScriptedFactory, ScriptedPolicy
from langchain_agentrm.testing.scripted import ScriptedRewardModel

def plain(checkpointer):
    policy, reward_model = ScriptedPolicy(answers=explorer(3)), by_text
    return agent(policy, ScriptedRewardModel(reward_model), checkpointer=checkpointer)

given = {"task": a_task(ScriptedFactory())}
kinds = {
    "plain": (plain, ask(), "model"),
    "words": (lambda s: speller(checkpointer=s), ask("Spell."), "select"),
    "best-of-n": (lambda s: build("best-of-n").compile(s), given, "sample"),
}
with SqliteSaver.from_conn_string(sys.argv[1]) as saver:
    found = {}
    for name, (make, now, node) in kinds.items():
        config = {"configurable": {"thread_id": name}}
        while True:
            # A graph that knows nothing but what the database says.
            graph = make(saver)
            out = graph.invoke(now, config, interrupt_before=[node])
            values = graph.get_state(config).values
            assert all(isinstance(m, BaseMessage) for m in values["messages"])
            assert json.loads(json.dumps({**values, "messages": []}))
            if not graph.get_state(config).next:
                break
            now = None
        found[name] = [str(m.text) for m in out["messages"]]
print(json.dumps(found))
"""


def test_every_kind_of_search_resumes_under_strict_msgpack(tmp_path):
    done = {
        strict: subprocess.run(
            [sys.executable, "-c", _STRICT, str(tmp_path / f"{strict}.sqlite")],
            env={**os.environ, "LANGGRAPH_STRICT_MSGPACK": strict},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        for strict in ("true", "false")
    }
    for one in done.values():
        assert (one.returncode, one.stderr) == (0, "")
    found = json.loads(done["true"].stdout)
    assert found == json.loads(done["false"].stdout)
    assert found["words"][-1] == "dad"
    assert found["plain"][-1].startswith("done")


# Postgres, where there is a server to start.


def _binaries():
    found = shutil.which("initdb")
    if found:
        return Path(found).parent
    return max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)


@contextmanager
def postgres(folder):
    """A server of its own on a Unix socket, as another user where we are root."""
    binaries = _binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL server is installed")
    account = {}
    if os.geteuid() == 0:
        if "postgres" not in {user.pw_name for user in pwd.getpwall()}:
            pytest.skip("PostgreSQL refuses root, and there is no user postgres")
        account = {"user": "postgres", "group": "postgres"}
        for part in (folder, *folder.parents[:-2]):
            part.chmod(part.stat().st_mode | 0o755)
        shutil.chown(folder, "postgres")
    data = folder / "data"

    def run(program, *arguments):
        subprocess.run(
            [binaries / program, "-D", data, *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=folder,
            timeout=120,
            **account,
        )

    run("initdb", "-A", "trust", "-U", "agentrm", "--no-sync")
    options = f"-k {folder} -c listen_addresses='' -c fsync=off"
    run("pg_ctl", "-w", "-l", folder / "log", "-o", options, "start")
    try:
        yield f"host={folder} user=agentrm dbname=postgres"
    finally:
        run("pg_ctl", "-w", "-m", "immediate", "stop")


_KILLED = """
import os, sys
from langgraph.checkpoint.postgres import PostgresSaver
from tests.search.doubles import closeness
from tests.test_checkpoints import long_search
from tests.test_graphs import build
from langchain_agentrm.testing.scripted import ScriptedFactory, ScriptedRewardModel
from tests.search.doubles import a_task

def rate(trajectory):
    if len(trajectory.turns) == 3:
        os.kill(os.getpid(), 9)
    return closeness(trajectory)

with PostgresSaver.from_conn_string(sys.argv[1]) as saver:
    saver.setup()
    graph = build("beam", reward_model=ScriptedRewardModel(rate)).compile(saver)
    given = {"task": a_task(ScriptedFactory(), type_="count_far")}
    graph.invoke(given, {"configurable": {"thread_id": "t"}}, durability="sync")
"""


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    pytest.importorskip(
        "langgraph.checkpoint.postgres",
        reason="langgraph-checkpoint-postgres is not installed",
        exc_type=ImportError,
    )
    # The socket's path must be short.
    with postgres(tmp_path_factory.mktemp("pg")) as address:
        yield address


def test_postgres_holds_what_memory_holds(database):
    from langgraph.checkpoint.postgres import PostgresSaver

    with PostgresSaver.from_conn_string(database) as saver:
        saver.setup()
        graph, config, _ = long_search(saver)
        disk = [_stored(s) for s in graph.get_state_history(config)]
    graph, config, _ = long_search(InMemorySaver())
    assert disk == [_stored(s) for s in graph.get_state_history(config)]


def _kill(database):
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, database],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == -9, done.stderr


async def test_a_killed_search_goes_on_from_postgres(database):
    from langgraph.checkpoint.postgres import PostgresSaver
    from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver

    config = {"configurable": {"thread_id": "t"}}
    whole = (
        build("beam")
        .compile()
        .invoke({"task": a_task(ScriptedFactory(), type_="count_far")})
    )
    await asyncio.to_thread(_kill, database)
    async with AsyncPostgresSaver.from_conn_string(database) as saver:
        graph = build("beam").compile(saver)
        state = await graph.aget_state(config)
        assert state.values["search"]["step"] == 2
        out = await graph.ainvoke(None, config, durability="sync")
    assert comparable(out) == comparable(whole)
    with PostgresSaver.from_conn_string(database) as saver:
        assert build("beam").compile(saver).get_state(config).next == ()
