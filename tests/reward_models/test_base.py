from __future__ import annotations

import math

import pytest

from langchain_agentrm.errors import ConfigurationError, RewardModelError
from langchain_agentrm.reward_models import (
    FunctionRewardModel,
    RewardModel,
    checked,
)
from langchain_agentrm.testing.reward_model import RewardModelConformance
from langchain_agentrm.trajectory import Trajectory, Turn
from langchain_agentrm.types import Batch, Score

ONE = Trajectory(turns=(Turn("a wall", "go"),))


class TestFunction(RewardModelConformance):
    @pytest.fixture
    def reward_model(self) -> RewardModel:
        return FunctionRewardModel(
            lambda ts: [len(t.turns) + len(t.turns[-1].action) / 100 for t in ts]
        )


def test_wrong_count_names_both_numbers() -> None:
    with pytest.raises(RewardModelError, match="2 scores for 3 trajectories"):
        FunctionRewardModel(lambda _: [1.0, 2.0]).score([ONE] * 3)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_not_finite_is_an_error_of_its_own(value: float) -> None:
    good, bad = FunctionRewardModel(lambda _: [1.0, value]).score([ONE] * 2).items
    assert good.value == 1.0
    assert bad.value is None
    assert repr(value) in (bad.error or "")


def test_checked_mends_a_backend_that_passes_nan_on() -> None:
    batch = checked([ONE, ONE], Batch([Score(math.nan), Score()]))
    assert all(s.value is None and s.error for s in batch.items)


def test_negative_resolution_refused() -> None:
    with pytest.raises(ConfigurationError, match="-1"):
        FunctionRewardModel(lambda _: [], resolution=-1)


def test_satisfies_the_protocol() -> None:
    assert isinstance(FunctionRewardModel(lambda _: []), RewardModel)
