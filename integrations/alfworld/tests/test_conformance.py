from __future__ import annotations

import pytest

from langchain_agentrm.environments import registry
from langchain_agentrm.testing.environment import EnvironmentConformance
from langchain_agentrm_alfworld import ALFWorldFactory


@pytest.fixture(autouse=True)
def _generated(monkeypatch):
    monkeypatch.delenv("ALFWORLD_DATA", raising=False)


class TestETO(EnvironmentConformance):
    @pytest.fixture
    def factory(self):
        return ALFWorldFactory()

    @pytest.fixture
    def tasks(self, factory):
        return factory.tasks("train", limit=6)

    @pytest.fixture
    def some_actions(self):
        return ["look", "go to cabinet 1", "open drawer 1", "dance", "use desklamp 1"]


class TestAgentBoard(TestETO):
    @pytest.fixture
    def factory(self):
        return ALFWorldFactory("agentboard", generation="put")

    @pytest.fixture
    def tasks(self, factory):
        return factory.tasks("test", limit=3)


class TestPerturbed(TestETO):
    @pytest.fixture
    def factory(self):
        return ALFWorldFactory("agentboard", perturbation=5)

    @pytest.fixture
    def tasks(self, factory):
        return factory.tasks("dev", limit=3)


def test_the_distribution_registers_it() -> None:
    assert "alfworld" in registry.available()
    assert len(registry.get("alfworld").types("held_in")) == 6
