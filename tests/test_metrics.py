"""Intervals and accuracies, against hand-made figures."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_agentrm.metrics import (
    bootstrap,
    calibration_bins,
    mean,
    paired_bootstrap,
    sibling_accuracy,
)

_unit = st.floats(0, 1)
_cells = st.dictionaries(
    st.integers(0, 9), st.dictionaries(st.integers(0, 2), _unit, max_size=3), max_size=6
)


def test_nothing_gives_zero():
    assert mean([]) == 0.0
    assert bootstrap({}) == (0.0, 0.0)
    assert bootstrap({"t": []}) == (0.0, 0.0)
    assert paired_bootstrap({}, {}) == (0.0, 0.0, 0.0)
    assert sibling_accuracy([]) == (0.0, 0)


@settings(max_examples=30)
@given(st.dictionaries(st.integers(), st.lists(_unit, min_size=1, max_size=3)))
def test_the_interval_stays_within_the_values(by_task):
    low, high = bootstrap(by_task, draws=60)
    values = [v for some in by_task.values() for v in some] or [0.0]
    assert min(values) - 1e-9 <= low <= high <= max(values) + 1e-9


@settings(max_examples=30)
@given(_cells, _cells)
def test_swapping_the_sides_flips_the_sign(left, right):
    there = paired_bootstrap(left, right, draws=60)
    back = paired_bootstrap(right, left, draws=60)
    assert math.isclose(there[0], -back[0], abs_tol=1e-9)
    assert there[1] <= there[2]


@settings(max_examples=20)
@given(_cells)
def test_a_method_does_not_differ_from_itself(cells):
    assert paired_bootstrap(cells, cells, draws=40) == (0.0, 0.0, 0.0)


@settings(max_examples=20)
@given(_cells)
def test_a_constant_gain_has_no_spread(cells):
    better = {t: {r: v + 0.25 for r, v in runs.items()} for t, runs in cells.items()}
    delta = paired_bootstrap(better, cells, draws=40)
    expected = 0.25 if any(cells.values()) else 0.0
    assert delta == pytest.approx((expected,) * 3)


def test_the_same_seed_gives_the_same_interval_and_tasks_are_resampled():
    by_task = {t: [float(t % 2)] * 3 for t in range(20)}
    assert bootstrap(by_task) == bootstrap(by_task)
    assert bootstrap(by_task, seed=1, draws=50) != bootstrap(by_task, seed=2, draws=50)
    low, high = bootstrap(by_task)
    # 20 tasks at 0.5: the error of the mean is 0.11; of 60 episodes it would be 0.065.
    assert low == pytest.approx(0.5 - 1.96 * 0.112, abs=0.06)
    assert high == pytest.approx(0.5 + 1.96 * 0.112, abs=0.06)


def test_only_common_cells_are_paired():
    left = {"a": {0: 1.0, 1: 1.0}, "b": {0: 0.0}}
    right = {"a": {0: 0.5}, "c": {0: 1.0}}
    assert paired_bootstrap(left, right)[0] == 0.5


def test_sibling_accuracy_counts_ties_half_and_leaves_out_close_pairs():
    group = [(0.9, 1.0), (0.1, 0.0), (0.1, 0.05)]
    assert sibling_accuracy([group]) == (1.0, 2)
    assert sibling_accuracy([[(0.5, 1.0), (0.5, 0.0)]]) == (0.5, 1)
    assert sibling_accuracy([[(0.1, 1.0), (0.5, 0.0)]]) == (0.0, 1)


def test_calibration_bins_put_one_into_the_last_bin():
    bins = calibration_bins([(1.0, 1.0), (0.95, 0.0), (0.0, 0.0), (-1.0, 0.2)])
    assert bins == [(-0.5, 0.1, 2), (0.975, 0.5, 2)]
