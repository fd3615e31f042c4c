from __future__ import annotations

import shutil

import pytest

pytest.importorskip("scienceworld", reason="scienceworld is not installed")

from langchain_agentrm.testing.hostile import check_hostile_actions
from langchain_agentrm_scienceworld import ScienceWorldFactory

SOME_ACTIONS = ["look around", "teleport to kitchen", "open cupboard", "wait1", "0"]


@pytest.mark.skipif(shutil.which("java") is None, reason="ScienceWorld needs java")
@pytest.mark.parametrize("n", [30, pytest.param(300, marks=pytest.mark.slow)])
def test_hostile_actions(n) -> None:
    factory = ScienceWorldFactory()
    named = [("lifespan-longest-lived", 3), ("boil", 20), ("find-plant", 1)]
    tasks = [factory.task(type_, seed) for type_, seed in named]
    # Few forks, since each is a replay in a new world.
    report = check_hostile_actions(
        factory, tasks, n, some_actions=SOME_ACTIONS, fork_share=0.1, step_seconds=120
    )
    factory.close()
    assert report.hostile > n / 2
    assert report.forks > n / 30
