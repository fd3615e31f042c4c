from __future__ import annotations

import os

import pytest

pytest.importorskip("jericho", reason="jericho is not installed (needs gcc and make)")

from langchain_agentrm.testing.hostile import check_hostile_actions
from langchain_agentrm_jericho import JerichoFactory
from langchain_agentrm_jericho.games import VARIABLE

SOME_ACTIONS = ["look", "inventory", "north", "south", "east", "west", "take all"]


@pytest.mark.skipif(VARIABLE not in os.environ, reason=f"{VARIABLE} names no folder")
def test_ten_thousand_hostile_actions(tmp_path, monkeypatch) -> None:
    # An interpreter that saves a game does it here.
    monkeypatch.chdir(tmp_path)
    factory = JerichoFactory()
    tasks = factory.tasks("train", factory.types("all"), limit=6)
    report = check_hostile_actions(factory, tasks, 10_000, some_actions=SOME_ACTIONS)
    assert report.hostile > 5_000
    assert report.forks > 500
    assert list(tmp_path.iterdir()) == []
