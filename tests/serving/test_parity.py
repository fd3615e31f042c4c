"""What the comparison of backends says, over made-up scores."""

from __future__ import annotations

import pytest

from langchain_agentrm.errors import RewardModelError
from langchain_agentrm.reward_models import FunctionRewardModel
from langchain_agentrm.serving import VLLMServer, parity, sample_trajectories
from langchain_agentrm.serving._parity import _row, _values


def test_the_names_of_the_package_are_what_they_say():
    assert callable(parity)
    assert isinstance(VLLMServer, type)


def test_candidates_of_a_state_share_all_but_their_action():
    texts = sample_trajectories(states=3, candidates=4)
    assert len(texts) == 12
    for state in range(3):
        siblings = texts[4 * state : 4 * state + 4]
        assert len({t.turns[:-1] for t in siblings}) == 1
        assert len({t.turns[-1].action for t in siblings}) == 4
        assert all(len(t.turns) == state + 1 for t in siblings)


def test_a_row_measures_the_distance_and_the_order():
    row = _row("there", [1.0, 2.0, 3.0], [1.0, 2.5, 3.0], 30, 10)
    assert (row.maximum, row.mean) == (0.5, pytest.approx(0.5 / 3))
    assert row.spread == pytest.approx((2 / 3) ** 0.5)
    assert row.same_order
    assert (row.texts, row.tokens, row.cached) == (3, 30, 10)
    assert not _row("there", [1.0, 2.0], [2.0, 1.0], 0, 0).same_order
    # Nobody ranks what is equal.
    assert _row("there", [1.0, 1.0 + 1e-6], [2.0, 1.0], 0, 0).same_order


def test_a_text_that_is_not_scored_is_an_error():
    broken = FunctionRewardModel(lambda ts: [0.0, float("nan")])
    with pytest.raises(RewardModelError, match=r"1 of 2 texts failed\..*nan"):
        _values(broken, sample_trajectories(1, 2), "there")
