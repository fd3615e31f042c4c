from __future__ import annotations

import pytest

from langchain_agentrm.environments import registry
from langchain_agentrm.testing.environment import EnvironmentConformance
from langchain_agentrm_babyai import BabyAIFactory, levels


class TestBabyAI(EnvironmentConformance):
    @pytest.fixture
    def factory(self):
        return BabyAIFactory()

    @pytest.fixture
    def tasks(self, factory):
        types = [*levels.HELD_IN, *levels.HELD_OUT, *levels.DEV]
        return factory.tasks("train", types, limit=len(types))

    @pytest.fixture
    def some_actions(self):
        return ["turn left", "move forward", "drop", "go to red ball 1", "dance"]


def test_the_distribution_registers_it() -> None:
    assert "babyai" in registry.available()
    assert registry.get("babyai").types("held_in") == list(levels.HELD_IN)
