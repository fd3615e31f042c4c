from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from langchain_agentrm.errors import ConfigurationError, RewardModelError
from langchain_agentrm.reward_models._checkpoint.heads import (
    Aggregation,
    Head,
    aggregate,
)
from langchain_agentrm.reward_models.layout import read_layout
from tests.reward_models import layouts

PROBABILITIES = st.lists(st.floats(0, 1), min_size=1, max_size=30)
WAYS: list[Aggregation] = ["last", "min", "mean", "product"]


@settings(deadline=None)
@given(PROBABILITIES)
def test_aggregation(values: list[float]) -> None:
    assert aggregate(values) == values[-1]
    assert aggregate(values, "min") == min(values)
    assert aggregate(values, "mean") == pytest.approx(math.fsum(values) / len(values))
    assert aggregate(values, "product") == pytest.approx(
        math.prod(values), rel=1e-9, abs=1e-300
    )


@settings(deadline=None)
@given(PROBABILITIES)
def test_how_the_ways_are_ordered(values: list[float]) -> None:
    low, middle = aggregate(values, "min"), aggregate(values, "mean")
    assert aggregate(values, "product") <= low <= middle + 1e-12
    assert middle <= max(values) + 1e-12


@settings(deadline=None)
@given(st.floats(-50, 50), st.sampled_from(WAYS))
def test_of_one_step_all_ways_agree(value: float, how: Aggregation) -> None:
    assert aggregate([value], how) == value


@settings(deadline=None)
@given(PROBABILITIES, st.integers(0, 30), st.sampled_from(WAYS[1:]))
def test_a_nan_is_never_lost(values: list[float], at: int, how: Aggregation) -> None:
    values.insert(at, math.nan)
    assert math.isnan(aggregate(values, how))


def test_no_step_is_an_error() -> None:
    with pytest.raises(RewardModelError, match="no step"):
        aggregate([])


def test_an_unknown_aggregation_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="'median'"):
        aggregate([1.0], "median")  # type: ignore[arg-type]


def test_bias_and_normalisation() -> None:
    layer = nn.Linear(3, 1)
    nn.init.constant_(layer.weight, 2.0)
    nn.init.constant_(layer.bias, 1.0)
    head = Head([layer], mean=5.0, std=4.0)
    hidden = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    assert head(hidden).tolist() == [(2 * 6 + 1 - 5) / 4, (1 - 5) / 4]
    assert head.outputs(hidden).tolist() == [[13.0], [1.0]]
    assert head.read_value(head.outputs(hidden[:1])) == 2.0


def test_two_classes_are_a_difference_of_logits() -> None:
    head = Head()
    outputs = torch.tensor([[1.0, 4.0], [2.0, -1.0]])
    assert head.values(outputs).tolist() == [3.0, -3.0]


def test_steps_are_probabilities() -> None:
    head = Head(read="steps")
    outputs = torch.tensor([[0.0, 0.0], [0.0, math.log(3)]])
    assert head.values(outputs).tolist() == pytest.approx([0.5, 0.75])
    assert head.read_value(outputs) == pytest.approx(0.75)
    assert head.read_value(outputs, "product") == pytest.approx(0.375)


@pytest.mark.parametrize("positions", [1, 2, 17])
def test_the_mlp_equals_its_formula(tmp_path: Path, positions: int) -> None:
    folder = layouts.qwen_prm(tmp_path)
    t = layouts.weights_of(folder)
    hidden = layouts.numbers(positions, layouts.HIDDEN, seed=3)
    inner = (hidden @ t["score.0.weight"].T + t["score.0.bias"]).clamp(min=0)
    expected = inner @ t["score.2.weight"].T + t["score.2.bias"]
    got = Head.of(read_layout(folder)).outputs(hidden)
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)


def test_heads_stay_float32_under_a_bfloat16_body(tmp_path: Path) -> None:
    folder = layouts.trl(tmp_path)
    weights = layouts.weights_of(folder)
    halved = {key: tensor.bfloat16() for key, tensor in weights.items()}
    layouts.save_weights(folder, halved)
    head = Head.of(read_layout(folder))
    hidden = layouts.numbers(4, layouts.HIDDEN).bfloat16()
    outputs = head.outputs(hidden)
    assert outputs.dtype == torch.float32
    weight, bias = (halved[f"v_head.summary.{n}"].float() for n in ("weight", "bias"))
    torch.testing.assert_close(outputs, hidden.float() @ weight.T + bias)
