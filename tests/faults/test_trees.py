from __future__ import annotations

import os
import signal
import sqlite3
import time
from pathlib import Path

import pytest

from langchain_agentrm.training.trees import STORE_FILE
from tests.faults.processes import PATIENCE, finish, lines, perish, start


class Build:
    """One tree database, and the processes that work on it."""

    def __init__(self, folder, labeller, workers=1):
        folder.mkdir(parents=True, exist_ok=True)
        self.store = folder / STORE_FILE
        self.job = {
            "out": str(folder),
            "log": str(folder / "asked.jsonl"),
            "labeller": labeller,
            "workers": workers,
        }

    def go(self, **job):
        return start("trees_process", **self.job, **job)

    def table(self, query):
        connection = sqlite3.connect(self.store, timeout=30)
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()

    def content(self):
        nodes = "select * from nodes order by tree_id, node_id"
        trees = "select * from trees order by tree_id"
        return self.table(nodes), self.table(trees)

    def chunks(self):
        return [row[0] for row in self.table("select chunk from chunks order by chunk")]

    def finished_tasks(self):
        return {row[0] for row in self.table("select task_id from trees")}

    def asked(self):
        return lines(self.job["log"])


@pytest.fixture(scope="module", params=["rollouts", "mcts"])
def undisturbed(request, tmp_path_factory):
    build = Build(tmp_path_factory.mktemp(request.param), request.param)
    manifest = finish(build.go())
    assert build.chunks() == list(range(6))
    return request.param, manifest, build


@pytest.mark.parametrize("part", [0.1, 0.45, 0.95])
def test_a_killed_build_resumes_to_the_same_trees(tmp_path, undisturbed, part):
    labeller, manifest, alone = undisturbed
    build = Build(tmp_path, labeller)
    calls = len(alone.asked())
    at = max(1, int(part * calls))
    perish(build.go(at=at))
    assert not (tmp_path / "manifest.json").exists()
    known, ready = build.finished_tasks(), build.chunks()
    assert len(ready) < 6
    assert bool(ready) is (part > 0.4)
    before = len(build.asked())
    assert before == at
    resumed = finish(build.go())
    assert build.content() == alone.content()
    again = {task for line in build.asked()[before:] for task in line["tasks"]}
    assert again
    assert not again & known
    same = {"trees", "nodes", "env_steps", "requests", "mean_return", "invalid"}
    for name in same:
        assert resumed["counts"][name] == manifest["counts"][name], name


@pytest.mark.parametrize("part", [0.15, 0.5, 0.9])
def test_a_killed_search_loses_one_iteration_of_each_tree_at_most(
    tmp_path, searched, part
):
    build = Build(tmp_path, "agentrm")
    calls = len(searched.asked())
    at = max(1, int(part * calls))
    perish(build.go(at=at))
    finish(build.go())
    assert build.content() == searched.content()
    # An iteration is an expansion and at most as many steps as an episode has.
    assert len(build.asked()) <= calls + 1 + 5
    assert not (tmp_path / "parts").exists()


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    build = Build(tmp_path_factory.mktemp("agentrm"), "agentrm")
    finish(build.go())
    return build


def test_workers_end_with_a_killed_parent_and_the_build_goes_on(tmp_path):
    alone = Build(tmp_path / "alone", "rollouts")
    finish(alone.go())
    build = Build(tmp_path / "killed", "rollouts", workers=2)
    # Each worker's first call ends it, so the parent's pool breaks: an error, no hang.
    parent = build.go(at=2)
    _out, err = parent.communicate(timeout=PATIENCE)
    assert parent.returncode == 1
    assert "EnvironmentFailedError" in err
    assert "again: it goes on" in err
    workers = {line["pid"] for line in build.asked()}
    assert parent.pid not in workers
    _gone(workers)
    finish(build.go())
    assert build.content() == alone.content()


def test_orphaned_workers_end_by_themselves(tmp_path):
    build = Build(tmp_path, "mcts", workers=2)
    parent = build.go(pause=0.2)
    until = time.monotonic() + PATIENCE
    while not build.asked():
        assert parent.poll() is None
        assert time.monotonic() < until
        time.sleep(0.02)
    parent.kill()
    parent.wait(PATIENCE)
    _gone({line["pid"] for line in build.asked()})
    # Not before: workers that stay hold its pipes open.
    parent.communicate(timeout=PATIENCE)
    finish(build.go())
    assert build.chunks() == list(range(6))


def _gone(processes):
    until = time.monotonic() + 30
    left = set(processes)
    while left:
        left = {pid for pid in left if _alive(pid)}
        if time.monotonic() > until:
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            pytest.fail(f"still running: {left}")
        time.sleep(0.05)


def _alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return Path("/proc/self/stat").exists() is False
    # Ended, and only not yet collected by whoever inherited it.
    return status.rpartition(")")[2].split()[0] != "Z"
