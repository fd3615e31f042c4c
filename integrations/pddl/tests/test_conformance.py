from __future__ import annotations

import pytest

from langchain_agentrm.environments import registry
from langchain_agentrm.testing.environment import EnvironmentConformance
from langchain_agentrm_pddl import PDDLFactory


class TestPDDL(EnvironmentConformance):
    @pytest.fixture
    def factory(self):
        return PDDLFactory()

    @pytest.fixture
    def tasks(self, factory):
        return factory.tasks("train", factory.types("all"), limit=8)

    @pytest.fixture
    def some_actions(self):
        return [
            "dance",
            "move rooma roomb",
            "open boot",
            "pickup b1",
            "leave left shot1",
        ]


class TestAgentBoardStyle(TestPDDL):
    @pytest.fixture
    def factory(self):
        return PDDLFactory("agentboard")


def test_the_distribution_registers_it() -> None:
    assert "pddl" in registry.available()
    assert registry.get("pddl").types("held_in") == ["blockworld", "gripper"]
