"""Rows and comparisons, on a hand-made example."""

from __future__ import annotations

import json

import pytest

from langchain_agentrm.evaluation.methods import Record
from langchain_agentrm.evaluation.table import (
    as_json,
    compare,
    rows,
    strongest_control,
)


def record(method, task, score, type_="easy", tokens=10.0):
    return Record(method, "e", type_, task, score, 1.0, 3, tokens, 2.0, 0.5)


RUNS = {
    0: [
        record("greedy", "a", 0.0),
        record("greedy", "b", 1.0),
        record("greedy", "h", 0.0, "hard"),
        record("best-of-5", "a", 1.0, tokens=50.0),
        record("best-of-5", "b", 1.0, tokens=70.0),
        record("random-of-5", "a", 0.4),
        record("random-of-5", "b", 0.4),
        record("vote-of-5", "a", 0.5),
        record("vote-of-5", "b", 0.5),
    ],
    1: [record("greedy", "a", 0.0), record("best-of-5", "a", 0.5)],
}
SPLITS = {"held in": ["easy"], "held out": ["hard"], "empty": ["none"]}


def test_rows_pool_runs_and_pair_by_task():
    table = rows(RUNS, SPLITS)
    assert [(r["split"], r["method"]) for r in table] == [
        ("held in", "greedy"),
        ("held in", "random-of-5"),
        ("held in", "vote-of-5"),
        ("held in", "best-of-5"),
        ("held out", "greedy"),
    ]
    best = table[3]
    assert best["episodes"] == 3
    assert best["training_seed"] == "pooled"
    assert best["success"] == pytest.approx(2.5 / 3)
    assert best["delta"] == pytest.approx((1 + 0 + 0.5) / 3)
    assert best["delta_low"] <= best["delta"] <= best["delta_high"]
    assert best["policy_tokens"] == pytest.approx(130 / 3)
    assert table[0]["delta"] == 0.0


def test_one_run_is_named_by_its_seed():
    assert {r["training_seed"] for r in rows({7: RUNS[0]}, SPLITS)} == {7}


def test_the_strongest_control_needs_no_reward_model():
    table = rows(RUNS, SPLITS)
    assert strongest_control(table, "held in") == "vote-of-5"
    assert strongest_control(table, "held out") is None


def test_compare_takes_common_cells_only():
    delta, low, high = compare(RUNS, "best-of-5", "greedy", ["easy"])
    assert delta == pytest.approx(0.5)
    assert low <= delta <= high
    assert compare(RUNS, "best-of-5", "greedy", ["hard"]) == (0.0, 0.0, 0.0)


def test_rows_are_json():
    table = as_json(rows(RUNS, SPLITS))
    assert json.loads(json.dumps(table)) == table
    assert table[3]["success"] == 0.8333
