from __future__ import annotations

import os

import pytest

pytest.importorskip("jericho", reason="jericho is not installed (needs gcc and make)")

from langchain_agentrm.testing.environment import EnvironmentConformance
from langchain_agentrm_jericho import JerichoFactory
from langchain_agentrm_jericho.games import VARIABLE


@pytest.mark.skipif(VARIABLE not in os.environ, reason=f"{VARIABLE} names no folder")
class TestJericho(EnvironmentConformance):
    @pytest.fixture
    def factory(self):
        return JerichoFactory(step_limit=12)

    @pytest.fixture
    def tasks(self, factory):
        return factory.tasks("train", factory.types("all"), limit=3)

    @pytest.fixture
    def some_actions(self):
        return ["look", "north", "east", "open window", "take all", "enter", "dance"]
