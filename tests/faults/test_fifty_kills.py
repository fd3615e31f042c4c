"""Searches killed from outside, at a moment drawn by chance.

Five in the default suite, all fifty by `make test-kills`.
"""

from __future__ import annotations

import random
import signal
import time
from collections import Counter

import pytest

from tests.faults.processes import PATIENCE, finish, lines, start
from tests.faults.search_process import recorded

PACE = 0.004
KINDS = [
    {"fork": fork, "async": mode} for fork in ("copy", "replay") for mode in (0, 1)
]
KILLS = [
    pytest.param(kill, marks=[] if kill < 5 else pytest.mark.kills)
    for kill in range(50)
]


class Search:
    """One search's files, and the processes that work on them."""

    def __init__(self, folder, kind):
        folder.mkdir(exist_ok=True)
        self.job = {
            **kind,
            "width": 3,
            "pace": PACE,
            "database": str(folder / "checkpoints.sqlite"),
            "log": str(folder / "effects.jsonl"),
        }

    def go(self):
        return start("search_process", **self.job)

    def effects(self):
        """How often each action took effect in the world, by path."""
        ran = [e["path"] for e in lines(self.job["log"]) if not e["replay"]]
        return Counter(map(tuple, ran))

    def killed_after(self, seconds):
        """Run, kill -9 after so many seconds of the search; tell if it still ran."""
        process = self.go()
        assert process.stdout.readline() == "ready\n", process.stderr.read()
        time.sleep(seconds)
        process.kill()
        process.communicate(timeout=PATIENCE)
        return process.returncode == -signal.SIGKILL


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    search = Search(tmp_path_factory.mktemp("undisturbed"), KINDS[0])
    outcome = finish(search.go())
    assert outcome["result"]["success"]
    effects = search.effects()
    assert set(effects.values()) == {1}
    return outcome, effects


@pytest.mark.parametrize("kill", KILLS)
def test_a_search_killed_at_any_moment_makes_the_same_choice(
    tmp_path, undisturbed, kill
):
    alone, once = undisturbed
    share = random.Random(kill).random()
    for attempt in range(10):
        search = Search(tmp_path / str(attempt), KINDS[kill % len(KINDS)])
        if search.killed_after(share * alone["seconds"]):
            break
        share /= 2  # it was over before the kill: no kill, so draw an earlier one
    else:
        pytest.fail("ten searches ended before they could be killed")
    before = search.effects()
    known = Counter(tuple(path) for path in recorded(search.job["database"]))
    outcome = finish(search.go())
    assert outcome["result"] == alone["result"]
    assert outcome["messages"] == alone["messages"]
    # An action whose record was on disk never ran again; the others' gap between
    # effect and record is what no library can close.
    assert known <= before <= once
    assert search.effects() == once + (before - known)
