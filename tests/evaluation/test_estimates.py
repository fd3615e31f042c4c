"""Intervals over tasks, expected best of N, and the pure metrics they agree with."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

np = pytest.importorskip("numpy", reason="numpy is in the extra `train`")

from langchain_agentrm.evaluation._estimates import (  # noqa: E402
    estimate,
    expected_best,
    resampled,
)
from langchain_agentrm.evaluation.analysis import Scored, analyse  # noqa: E402
from langchain_agentrm.metrics import (  # noqa: E402
    bootstrap,
    calibration_error,
    pearson,
    ranks,
    sibling_accuracy,
    spearman,
    top_one,
)

pairs = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 4)), min_size=1, max_size=7
)


@given(pairs, st.integers(1, 7))
@settings(max_examples=60, deadline=None)
def test_expected_best_is_the_mean_over_all_subsets(some, n):
    """Ties are broken at random, so a subset counts the mean of its best."""
    n = min(n, len(some))
    wanted = []
    for subset in itertools.combinations(some, n):
        top = max(v for v, _ in subset)
        best = [s for v, s in subset if v == top]
        wanted.append(sum(best) / len(best))
    assert expected_best(some, n) == pytest.approx(sum(wanted) / len(wanted))


def test_expected_best_of_a_known_pool():
    pool = [(0.9, 0.0), (0.5, 1.0), (0.1, 1.0)]
    assert expected_best(pool, 1) == pytest.approx(2 / 3)
    assert expected_best(pool, 2) == pytest.approx(1 / 3)
    assert expected_best(pool, 3) == expected_best(pool, 99) == 0.0
    assert expected_best([], 3) == 0.0


def test_estimates_agree_with_the_plain_bootstrap():
    rng = random.Random(3)
    by_task = {i: [rng.random() for _ in range(1 + i % 3)] for i in range(60)}
    found = estimate({"": by_task})
    low, high = bootstrap(by_task)
    flat = [x for v in by_task.values() for x in v]
    assert found.value == pytest.approx(sum(flat) / len(flat))
    assert (found.n, found.tasks) == (len(flat), 60)
    assert found.low == pytest.approx(low, abs=0.01)
    assert found.high == pytest.approx(high, abs=0.01)


def test_the_macro_average_weighs_strata_alike():
    found = estimate({"a": {i: [1.0] for i in range(9)}, "b": {0: [0.0]}})
    assert (found.value, found.low, found.high) == (0.5, 0.5, 0.5)
    assert estimate({}) is None
    assert estimate({"a": {"t": []}}) is None


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = random.Random(0)
    hits = 0
    for seed in range(200):
        by_task = {i: [float(rng.random() < 0.4)] for i in range(80)}
        found = estimate({"": by_task}, seed=seed)
        hits += found.low <= 0.4 <= found.high
    assert 180 <= hits <= 198


def test_a_figure_without_meaning_is_none():
    assert resampled({}, lambda s: s[..., 1]) is None
    assert resampled({"t": [0.0, 0.0]}, lambda s: s[..., 1] / s[..., 0]) is None


def scored(n=300, seed=0, noise=0.2):
    """States of 30 tasks, ten siblings' families each."""
    rng = random.Random(seed)
    out = []
    for i in range(n):
        value = rng.random()
        score = value + rng.gauss(0, noise)
        task, parent = i % 30, (i // 30) // 3
        depth = 1 + parent
        out.append(
            Scored(
                "e", f"t{task % 2}", f"{task}", f"{parent}", depth, i, 3, value, score
            )
        )
    return out


def test_offline_figures_equal_the_plain_ones():
    rows = scored()
    found = analyse(rows)["pooled"]
    flat = [(r.score, r.value) for r in rows]
    families = {}
    for r in rows:
        families.setdefault((r.task, r.parent), []).append((r.score, r.value))
    groups = list(families.values())
    mean = sum(t for _, t in flat) / len(flat)
    wanted = {
        "mse": sum((p - t) ** 2 for p, t in flat) / len(flat),
        "variance": sum((t - mean) ** 2 for _, t in flat) / len(flat),
        "pearson": pearson(flat),
        "spearman": spearman(flat),
        "siblings": sibling_accuracy(groups)[0],
        "top_one": top_one(groups)[0],
        "ece": calibration_error(flat),
        "with_length": pearson([(r.score, r.length) for r in rows]),
        "with_depth": pearson([(r.score, r.depth) for r in rows]),
    }
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert found[name]["value"] == pytest.approx(value, abs=2e-6), name
        assert found[name]["low"] <= value <= found[name]["high"], name


def test_offline_figures_by_type_and_depth():
    found = analyse([*scored(), Scored("e", "t9", "z", "", 1, 1, 1, 0.5, None)])
    assert found["failed"] == 1
    assert set(found["by_type"]) == {"t0", "t1"}
    assert [d["depth"] for d in found["by_depth"]] == [1, 2, 3, 4]
    assert sum(d["states"] for d in found["by_depth"]) == 300
    assert sum(b["truth"]["n"] for b in found["calibration"]["bins"]) == 300


def test_scores_that_are_no_values_have_only_the_order_of_siblings():
    found = analyse(scored(), comparable="group")
    assert set(found["pooled"]) == {"siblings", "top_one"}
    assert found["calibration"]["bins"] == []


def test_what_does_not_vary_has_no_correlation():
    rows = [Scored("e", "t", str(i), "", 1, 5, 1, 0.5, 0.1 * i) for i in range(5)]
    found = analyse(rows)["pooled"]
    assert found["pearson"] is found["spearman"] is found["with_length"] is None
    assert found["siblings"] is None
    assert pearson([(1, 1), (1, 2)]) is None
    assert pearson([]) is None


@given(st.lists(st.floats(-5, 5), max_size=20))
def test_ranks_are_places(values):
    found = ranks(values)
    assert math.fsum(found) == pytest.approx(len(values) * (len(values) + 1) / 2)
    for a, x in zip(values, found, strict=True):
        for b, y in zip(values, found, strict=True):
            assert (a < b) == (x < y)


def test_top_one_shares_ties_and_leaves_small_gaps_out():
    assert top_one([[(0.9, 1.0), (0.1, 0.0)], [(0.5, 1.0), (0.5, 0.0)]]) == (0.75, 2)
    assert top_one([[(0.9, 0.50), (0.1, 0.55)]]) == (0.0, 0)
    assert calibration_error([]) is None
