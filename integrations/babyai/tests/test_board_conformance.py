from __future__ import annotations

import pytest

from langchain_agentrm.testing.environment import EnvironmentConformance
from langchain_agentrm_babyai import BabyAIFactory


class TestBoard(EnvironmentConformance):
    @pytest.fixture
    def factory(self):
        return BabyAIFactory(style="agentboard")

    @pytest.fixture
    def tasks(self, factory):
        return factory.tasks("test", limit=28)[::4]

    @pytest.fixture
    def some_actions(self):
        return ["check available actions", "turn left", "move forward", "dance"]
