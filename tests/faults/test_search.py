from __future__ import annotations

import pytest

from tests.faults.processes import finish, lines, perish, start
from tests.faults.search_process import recorded


class Run:
    """One search's files, and the processes that work on them."""

    def __init__(self, folder, fork, width=3):
        folder.mkdir(parents=True, exist_ok=True)
        self.job = {
            "fork": fork,
            "width": width,
            "database": str(folder / "checkpoints.sqlite"),
            "log": str(folder / "effects.jsonl"),
        }

    def go(self, **job):
        return start("search_process", **self.job, **job)

    def effects(self, *, replay=False):
        return [e["path"] for e in lines(self.job["log"]) if e["replay"] is replay]

    def recorded(self):
        return recorded(self.job["database"])


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The same search, left alone; copy and replay must not differ."""
    run = Run(tmp_path_factory.mktemp("undisturbed"), "copy")
    outcome = finish(run.go())
    assert outcome["begun"] is False
    assert outcome["result"]["success"]
    return outcome, sorted(run.effects())


@pytest.mark.parametrize(
    ("fork", "place", "at"),
    [
        ("copy", "step", 2),
        ("copy", "step", 8),
        ("replay", "step", 5),
        ("copy", "reward", 14),
        ("replay", "policy", 21),
    ],
)
def test_a_killed_search_resumes_to_the_same_end(
    tmp_path, undisturbed, fork, place, at
):
    run = Run(tmp_path, fork)
    perish(run.go(place=place, at=at))
    before = run.effects()
    assert sorted(before) == run.recorded()
    outcome = finish(run.go())
    assert outcome["begun"] is True
    alone, effects = undisturbed
    assert outcome["result"] == alone["result"]
    assert outcome["messages"] == alone["messages"]
    # Every action took effect once, although two processes ran it.
    assert sorted(run.effects()) == effects
    assert len(before) < len(effects)


def test_an_effect_without_a_record_is_all_that_can_happen_twice(tmp_path, undisturbed):
    # Between an action and its record there is a gap that no library can close.
    run = Run(tmp_path, "copy")
    perish(run.go(place="stepped", at=5, open=1))
    before, known = run.effects(), run.recorded()
    lost = [path for path in before if path not in known]
    assert len(lost) == 1
    outcome = finish(run.go())
    alone, effects = undisturbed
    assert outcome["result"] == alone["result"]
    assert sorted(run.effects()) == sorted([*effects, *lost])


def test_a_world_that_forbids_replay_is_left_alone_after_a_kill(tmp_path):
    run = Run(tmp_path, "none", width=1)
    perish(run.go(place="step", at=3))
    before = run.effects()
    outcome = finish(run.go())
    assert "forbids replay" in outcome["refused"]
    assert run.effects() == before
    assert run.effects(replay=True) == []
