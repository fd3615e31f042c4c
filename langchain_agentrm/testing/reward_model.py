"""What every reward model must do; inherit and give a `reward_model` fixture."""

from __future__ import annotations

import asyncio
import math

import pytest

from langchain_agentrm.reward_models.base import RewardModel
from langchain_agentrm.trajectory import Trajectory, Turn
from langchain_agentrm.types import Batch, Score

__all__ = ["RewardModelConformance"]

_ACTIONS = ("go forward", "turn left", "pick up the red ball", "open the blue door")


class RewardModelConformance:
    """Pytest suite of the reward-model contract.

    Example:
        ```python
        import pytest
        from langchain_agentrm.reward_models import FunctionRewardModel
        from langchain_agentrm.testing.reward_model import RewardModelConformance


        class TestMine(RewardModelConformance):
            @pytest.fixture
            def reward_model(self):
                return FunctionRewardModel(lambda ts: [len(t.turns) for t in ts])
        ```
    """

    @pytest.fixture
    def reward_model(self) -> RewardModel:
        """Give the reward model under test; override it."""
        pytest.fail(f"{type(self).__name__} overrides no `reward_model` fixture.")

    @pytest.fixture
    def trajectories(self) -> list[Trajectory]:
        """Give trajectories of different lengths, four candidates each."""
        return [
            Trajectory(
                turns=(
                    *(
                        Turn(f"you see a wall, {i} ahead", "turn right")
                        for i in range(past)
                    ),
                    Turn("you see a red ball", action),
                ),
                goal="go to the red ball",
                instruction="You are in a grid.",
                search_id="conformance",
                group=f"g{past}",
            )
            for past in (0, 1, 4)
            for action in _ACTIONS
        ]

    def test_one_score_or_error_each(
        self, reward_model: RewardModel, trajectories: list[Trajectory]
    ) -> None:
        """Every trajectory has either a finite value or an error."""
        batch = reward_model.score(trajectories)
        assert len(batch.items) == len(trajectories)
        for score in batch.items:
            assert (score.value is None) != (score.error is None)
            assert score.value is None or math.isfinite(score.value)
        assert any(score.ok for score in batch.items)

    def test_empty(self, reward_model: RewardModel) -> None:
        """Nothing asked, nothing answered, nothing spent."""
        batch = reward_model.score([])
        assert list(batch.items) == []
        assert batch.usage.tokens == 0

    def test_declares_itself(self, reward_model: RewardModel) -> None:
        """Resolution and comparability are declared."""
        assert reward_model.resolution >= 0
        assert reward_model.comparable in {"global", "group", "depth"}

    def test_order_is_kept(
        self, reward_model: RewardModel, trajectories: list[Trajectory]
    ) -> None:
        """A score belongs to its trajectory, not to its place."""
        forward = reward_model.score(trajectories)
        back = reward_model.score(trajectories[::-1])
        self._same(reward_model, forward, Batch(list(back.items)[::-1]))

    def test_many_equal_one_by_one(
        self, reward_model: RewardModel, trajectories: list[Trajectory]
    ) -> None:
        """What else is in the batch changes nothing above the resolution."""
        if reward_model.comparable == "group":
            pytest.skip("scores of this reward model depend on their group")
        many = reward_model.score(trajectories)
        alone = [reward_model.score([t]).items[0] for t in trajectories]
        self._same(reward_model, many, Batch(alone))

    def test_duplicates_are_equal(
        self, reward_model: RewardModel, trajectories: list[Trajectory]
    ) -> None:
        """The same trajectory twice has the same score twice."""
        items = reward_model.score([*trajectories, *trajectories]).items
        half = len(trajectories)
        self._same(reward_model, Batch(items[:half]), Batch(items[half:]))

    def test_async_equals_sync(
        self, reward_model: RewardModel, trajectories: list[Trajectory]
    ) -> None:
        """Both twins answer alike."""
        twin = asyncio.run(reward_model.ascore(trajectories))
        self._same(reward_model, reward_model.score(trajectories), twin)

    @staticmethod
    def _same(model: RewardModel, one: Batch[Score], other: Batch[Score]) -> None:
        assert len(one.items) == len(other.items)
        tolerance = max(model.resolution * 10, 1e-12)
        for a, b in zip(one.items, other.items, strict=True):
            assert a.ok == b.ok
            if a.value is not None and b.value is not None:
                assert abs(a.value - b.value) <= tolerance
