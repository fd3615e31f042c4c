from __future__ import annotations

import pytest

from langchain_agentrm.testing.hostile import check_hostile_actions
from langchain_agentrm_pddl import PDDLFactory


@pytest.mark.parametrize("style", ["agentrm", "agentboard"])
def test_ten_thousand_hostile_actions(style) -> None:
    factory = PDDLFactory(style)
    tasks = factory.tasks("train", factory.types("all"), limit=12)
    report = check_hostile_actions(factory, tasks, 10_000)
    assert report.hostile > 5_000
    assert report.forks > 500
