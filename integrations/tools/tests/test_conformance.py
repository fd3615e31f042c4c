from __future__ import annotations

import pytest

from langchain_agentrm.environments import registry
from langchain_agentrm.testing.environment import EnvironmentConformance
from langchain_agentrm_tools import ToolTasksFactory


class TestTools(EnvironmentConformance):
    @pytest.fixture
    def factory(self):
        return ToolTasksFactory()

    @pytest.fixture
    def tasks(self, factory):
        return factory.tasks("train", factory.types("all"), limit=10)

    @pytest.fixture
    def some_actions(self):
        return [
            "check_valid_actions with Action Input: {}",
            "get_all_values with Action Input: {}",
            'update_cell with Action Input: {"position": "C2", "value": 7}',
            "get_projects with Action Input: {}",
            "loadPaperNet with Action Input: {}",
            'get_latitude_longitude with Action Input: {"name": "Nowhere"}',
            [{"name": "get_user_current_date", "args": {}}],
            'finish with Action Input: {"answer": 3}',
        ]


class TestToolCalls(TestTools):
    @pytest.fixture
    def factory(self):
        return ToolTasksFactory(style="calls")


def test_the_distribution_registers_it() -> None:
    assert "tools" in registry.available()
    assert registry.get("tools").types("held_out") == ["weather", "sheet"]
