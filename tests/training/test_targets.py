from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.training.targets import (
    bin_centres,
    expectation,
    mean_return,
    td_lambda,
    td_tree,
    two_hot,
    visit_weight,
)

UNIT = st.floats(0, 1, allow_nan=False)


@st.composite
def trees(draw):
    """A tree in which every visit goes on to a child, with its mean returns."""
    points, totals = {}, {}

    def grow(name, depth):
        below = draw(st.integers(0, 3)) if depth < 4 else 0
        if not below:
            visits, score = draw(st.integers(1, 5)), draw(UNIT)
            points[name][3], points[name][2] = visits, score
            totals[name] = visits * score
            points[name][1] = score
            return
        for i in range(below):
            points[(*name, i)] = [name, None, 0.0, 0]
            grow((*name, i), depth + 1)
        children = [(*name, i) for i in range(below)]
        points[name][3] = sum(points[c][3] for c in children)
        totals[name] = sum(totals[c] for c in children)
        points[name][1] = totals[name] / points[name][3]

    for i in range(draw(st.integers(1, 2))):
        points[(i,)] = [None, None, 0.0, 0]
        grow((i,), 1)
    return {name: tuple(point) for name, point in points.items()}


def test_mean_and_weight_by_hand():
    assert mean_return(3.0, 4) == 0.75
    with pytest.raises(ConfigurationError, match="0 visits"):
        mean_return(0.0, 0)
    assert [visit_weight(n, 16) for n in (0, 1, 9, 16, 400)] == [0, 1, 3, 4, 4]


def test_td_along_a_path_by_hand():
    assert td_lambda([0.2, 0.4, 0.9], 1.0, 1.0) == [1.0, 1.0, 1.0]
    assert td_lambda([0.2, 0.4, 0.9], 1.0, 0.0) == pytest.approx([0.4, 0.9, 1.0])
    half = td_lambda([0.2, 0.4, 0.9], 1.0, 0.5)
    assert half == pytest.approx([0.5 * 0.4 + 0.5 * 0.95, 0.95, 1.0])
    # A state without a value passes the later ones on.
    assert td_lambda([0.2, None, 0.9], 1.0, 0.0) == pytest.approx([0.9, 0.9, 1.0])
    assert td_lambda([], 1.0, 0.5) == []


@given(st.lists(UNIT, min_size=1, max_size=8), UNIT, UNIT)
def test_targets_stay_between_values_and_return(values, final, decay):
    targets = td_lambda(values, final, decay)
    assert targets[-1] == final
    low, high = min([*values, final]), max([*values, final])
    assert all(low - 1e-9 <= t <= high + 1e-9 for t in targets)


@given(trees(), UNIT)
def test_by_visits_the_mean_return_comes_out_again(points, decay):
    targets = td_tree(points, decay, "visits")
    assert targets.keys() == points.keys()
    for name, (_, value, _, _) in points.items():
        assert targets[name] == pytest.approx(value, abs=1e-9)


@given(trees(), st.integers(2, 9))
def test_equal_children_do_not_ask_how_often(points, factor):
    """Visits change nothing at decay 1, where only scores of leaves count."""
    more = {n: (p, v, s, k * factor) for n, (p, v, s, k) in points.items()}
    first = next(iter(points))
    more[first] = (*points[first][:3], points[first][3] + 50)
    assert td_tree(points, 1.0, "equal") == td_tree(more, 1.0, "equal")


def test_on_a_single_path_tree_and_path_agree():
    points = {
        "a": (None, 0.2, 0.0, 3),
        "b": ("a", 0.4, 0.0, 3),
        "c": ("b", 0.9, 1.0, 3),
    }
    for decay in (0.0, 0.3, 1.0):
        along = td_lambda([0.2, 0.4, 0.9], 1.0, decay)
        found = td_tree(points, decay, "equal")
        assert list(found.values()) == pytest.approx(along)


def test_a_search_that_prefers_the_good_child():
    skewed = {
        "r": (None, 0.9, 0.0, 10),
        "good": ("r", 1.0, 1.0, 9),
        "bad": ("r", 0.0, 0.0, 1),
    }
    assert td_tree(skewed, 0.5, "visits")["r"] == pytest.approx(0.9)
    assert td_tree(skewed, 0.5, "equal")["r"] == pytest.approx(0.5)


@pytest.mark.parametrize("decay", [-0.1, 1.1, math.nan])
def test_a_decay_out_of_range_is_named(decay):
    with pytest.raises(ConfigurationError, match=r"lambda"):
        td_lambda([0.5], 1.0, decay)
    with pytest.raises(ConfigurationError, match=r"lambda"):
        td_tree({}, decay, "equal")


@given(UNIT, st.integers(2, 60))
def test_two_hot_has_the_value_as_its_mean(value, bins):
    centres = bin_centres(bins)
    hot = two_hot(value, centres)
    assert expectation(hot, centres) == pytest.approx(value, abs=1e-9)
    assert math.fsum(hot) == pytest.approx(1)
    assert sum(p > 0 for p in hot) <= 2
    assert min(hot) >= 0


def test_bins_outside_and_at_the_ends():
    centres = bin_centres(3, -1.0, 1.0)
    assert centres == [-1.0, 0.0, 1.0]
    assert two_hot(7.0, centres) == [0.0, 0.0, 1.0]
    assert two_hot(-7.0, centres) == [1.0, 0.0, 0.0]
    for bins, low, high in ((1, 0.0, 1.0), (5, 1.0, 1.0)):
        with pytest.raises(ConfigurationError, match="bins"):
            bin_centres(bins, low, high)
