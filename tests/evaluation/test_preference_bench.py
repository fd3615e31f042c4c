from __future__ import annotations

import random
import time

import pytest

from langchain_agentrm import FunctionRewardModel
from langchain_agentrm.errors import ConfigurationError, RewardModelError
from langchain_agentrm.evaluation.preference_bench import (
    compare_pairs,
    ifbench_halves,
    split_of,
    subset_rows,
)
from langchain_agentrm.evaluation.preference_data import load_pairs
from tests.evaluation.preference_files import by_length, converted, data_file, written


def loaded(tmp_path, rows):
    return load_pairs(written(tmp_path / "d.jsonl", rows))


def test_right_wrong_and_tied_pairs_are_counted_by_subset(tmp_path):
    rows = [
        converted(1, "long answer", "short"),
        converted(3, "short", "long answer"),
        converted(2, "tied.", "tied!"),
        converted(4, "long answer", "short"),
    ]
    pairs = loaded(tmp_path, rows)
    table = subset_rows(pairs, compare_pairs(by_length(), pairs))
    assert [(r["subset"], r["n"]) for r in table] == [
        ("level-1", 2),
        ("level-2", 2),
        ("all", 4),
    ]
    level_1, level_2, whole = table
    assert (level_1["accuracy"], level_1["decided"]) == (0.5, 1.0)
    assert (level_2["accuracy"], level_2["decided"]) == (0.75, 0.5)
    assert level_2["accuracy_decided"] == 1.0
    assert whole["accuracy"] == 0.625
    assert whole["accuracy_decided"] == pytest.approx(2 / 3)
    assert whole["ci_low"] < whole["accuracy"] < whole["ci_high"]


def test_results_are_the_same_for_every_number_of_threads(tmp_path):
    pairs = loaded(
        tmp_path, [converted(i, "x" * (i % 7 + 1), "y" * 4) for i in range(40)]
    )
    rng = random.Random(1)

    def late(ts):
        time.sleep(rng.random() / 200)
        return [float(len(t.turns[-1].action)) for t in ts]

    plain = compare_pairs(by_length(), pairs, threads=1)
    mixed = compare_pairs(FunctionRewardModel(late), pairs, threads=16)
    assert list(plain.items()) == list(mixed.items())
    assert subset_rows(pairs, plain) == subset_rows(pairs, mixed)
    backwards = compare_pairs(by_length(), pairs[::-1])
    assert backwards == plain


def test_sides_are_drawn_by_key_and_seed(tmp_path):
    pairs = loaded(tmp_path, [converted(i, f"good {i}", "bad") for i in range(200)])

    def first_shown(seed):
        shown = []

        def note(ts):
            shown.append(ts[0].turns[-1].action.startswith("good"))
            return [1.0, 0.0]

        compare_pairs(FunctionRewardModel(note), pairs, seed=seed)
        return shown

    one = first_shown(0)
    assert 70 < sum(one) < 130
    assert first_shown(0) == one
    assert first_shown(1) != one
    # A model that goes by place alone is right half the time, not always or never.
    first = FunctionRewardModel(lambda ts: [1.0, 0.0])
    row = subset_rows(pairs, compare_pairs(first, pairs))[-1]
    assert row["ci_low"] <= 0.5 <= row["ci_high"]


def test_what_fails_is_counted_and_decides_nothing(tmp_path):
    pairs = loaded(tmp_path, [converted(i, "long answer", "short") for i in range(4)])

    def some(ts):
        if ts[0].goal == "question 1":
            msg = "down"
            raise RewardModelError(msg)
        if ts[0].goal == "question 2":
            return [float("nan"), 1.0]
        return [float(len(t.turns[-1].action)) for t in ts]

    results = compare_pairs(FunctionRewardModel(some), pairs, threads=4)
    assert "down" in results[pairs[1].key].error
    whole = subset_rows(pairs, results)[-1]
    assert (whole["failed"], whole["decided"], whole["accuracy"]) == (2, 0.5, 0.75)


def test_a_wrong_set_up_ends_the_run(tmp_path):
    pairs = loaded(tmp_path, [converted(1, "a", "b")])

    def wrong(_):
        msg = "no such model"
        raise ConfigurationError(msg)

    with pytest.raises(ConfigurationError, match="no such model"):
        compare_pairs(FunctionRewardModel(wrong), pairs)


def test_the_interval_resamples_prompts(tmp_path):
    rows = [
        converted(i, "long answer", f"short {i}", id=f"prompt-{i // 10}")
        for i in range(40)
    ]
    for row in rows[:20]:
        row["text_chosen"], row["text_rejected"] = (
            row["text_rejected"],
            row["text_chosen"],
        )
    pairs = loaded(tmp_path, rows)
    row = subset_rows(pairs, compare_pairs(by_length(), pairs))[-1]
    # Two of four prompts are wholly wrong: far wider than forty pairs would give.
    assert row["ci_high"] - row["ci_low"] > 0.9


def test_the_halves_of_thu_ifbench_are_told_apart_by_id(tmp_path):
    pairs = load_pairs(data_file("thu-ifbench/data.converted.json"))
    assert split_of(pairs) is ifbench_halves
    halves = [ifbench_halves(p) for p in pairs]
    assert (halves.count("tuned-on"), halves.count("held-out")) == (245, 199)
    # The file's length decides nothing here, only the first twelve rows do.
    rows = subset_rows(pairs, compare_pairs(by_length(), pairs), split=ifbench_halves)
    assert [r["subset"] for r in rows] == [
        "level-1",
        "level-2",
        "level-3",
        "all",
        "tuned-on",
        "held-out",
    ]
    assert sum(r["n"] for r in rows[-2:]) == 444
    assert rows[3]["accuracy"] == pytest.approx(0.457, abs=5e-4)
    assert split_of(loaded(tmp_path, [converted(1, "a", "b")])) is None
