from __future__ import annotations

import importlib.util

import pytest

from langchain_agentrm.testing.hostile import check_hostile_actions
from langchain_agentrm_alfworld import ALFWorldFactory

INSTALLED = importlib.util.find_spec("textworld") is not None


@pytest.fixture(autouse=True)
def _generated(monkeypatch):
    monkeypatch.delenv("ALFWORLD_DATA", raising=False)


@pytest.mark.parametrize(
    ("style", "perturbation"), [("eto", 0), ("agentboard", 0), ("agentboard", 5)]
)
def test_ten_thousand_hostile_actions(style, perturbation) -> None:
    factory = ALFWorldFactory(style, perturbation=perturbation)
    report = check_hostile_actions(factory, factory.tasks("train", limit=12), 10_000)
    assert report.hostile > 5_000
    assert report.forks > 500


@pytest.mark.slow
@pytest.mark.skipif(not INSTALLED, reason="textworld is missing")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_three_hundred_hostile_actions_in_textworld() -> None:
    factory = ALFWorldFactory(engine="textworld")
    # Few forks, since each is a replay in a new engine.
    report = check_hostile_actions(
        factory,
        factory.tasks("train", limit=3),
        300,
        fork_share=0.03,
        step_seconds=120,
    )
    assert report.hostile > 150
    assert report.forks > 4
