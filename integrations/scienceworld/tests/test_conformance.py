from __future__ import annotations

import shutil

import pytest

pytest.importorskip("scienceworld", reason="scienceworld is not installed")

from langchain_agentrm.environments import registry
from langchain_agentrm.testing.environment import EnvironmentConformance
from langchain_agentrm_scienceworld import ScienceWorldFactory, catalogue

needs_java = pytest.mark.skipif(
    shutil.which("java") is None, reason="ScienceWorld needs java"
)


@needs_java
class TestScienceWorld(EnvironmentConformance):
    @pytest.fixture
    def factory(self):
        # A short limit, since the suite walks from each state of an episode to its end.
        return ScienceWorldFactory(step_limit=3, sessions=3)

    @pytest.fixture
    def tasks(self, factory):
        return [factory.task("lifespan-longest-lived", 3), factory.task("boil", 20)]

    @pytest.fixture
    def some_actions(self):
        return ["look around", "teleport to kitchen", "open cupboard", "wait1", "dance"]


def test_the_distribution_registers_it() -> None:
    assert "scienceworld" in registry.available()
    found = registry.get("scienceworld")
    assert found.types("held_in") == list(catalogue.HELD_IN)
