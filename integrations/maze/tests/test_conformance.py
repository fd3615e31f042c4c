from __future__ import annotations

import pytest

from langchain_agentrm.environments import registry
from langchain_agentrm.testing.environment import EnvironmentConformance
from langchain_agentrm_maze import MazeFactory


class TestMaze(EnvironmentConformance):
    @pytest.fixture
    def factory(self):
        return MazeFactory()

    @pytest.fixture
    def tasks(self, factory):
        return factory.tasks("test", factory.types("all"), limit=8)

    @pytest.fixture
    def some_actions(self):
        return ["dance", "move up", "move left"]


class TestLMRLStyle(TestMaze):
    @pytest.fixture
    def factory(self):
        return MazeFactory("lmrl", step_limit=20)


def test_the_distribution_registers_it() -> None:
    assert "maze" in registry.available()
    assert "double_t" in registry.get("maze").types("held_out")
