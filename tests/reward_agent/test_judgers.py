from __future__ import annotations

import asyncio
import itertools
import math
import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage

from langchain_agentrm.errors import ConfigurationError, RewardModelError
from langchain_agentrm.reward_agent import (
    Lexicographic,
    LLMJudge,
    MajorityVote,
    Signal,
    WeightedSum,
)
from langchain_agentrm.testing.scripted import ScriptedPolicy
from langchain_agentrm.trajectory import Trajectory, Turn

NORMALIZE = ["none", "zscore", "minmax", "rank", "sigmoid"]
PURE = [
    Lexicographic(),
    Lexicographic(["preference", "rules"]),
    Lexicographic(eps=0.1),
    *(WeightedSum(normalize=n) for n in NORMALIZE),
    WeightedSum({"rules": 2.0, "facts": 0.0}, 0.3, "zscore"),
    MajorityVote(),
    MajorityVote({"preference": 3.0}),
]
NAMES = ["rules", "facts", "preference"]

unit = st.one_of(st.sampled_from([0.0, 0.5, 1.0]), st.floats(0, 1))
anything = st.one_of(st.sampled_from([0.0, 1.0, -3.0]), st.floats(-1e6, 1e6))


@st.composite
def groups(draw, size=None):
    n = draw(st.integers(1, 6)) if size is None else size
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
    return [
        Signal(
            name,
            tuple(
                draw(
                    st.lists(
                        anything if name == "preference" else unit,
                        min_size=n,
                        max_size=n,
                    )
                )
            ),
            draw(st.sampled_from([0.0, 1e-4])) if name == "preference" else 0.0,
        )
        for name in names
    ]


def moved(signals, order):
    return [
        Signal(s.name, tuple(s.values[i] for i in order), s.resolution) for s in signals
    ]


def column(name, *values, resolution=0.0):
    return Signal(name, tuple(map(float, values)), resolution)


def paths(*actions):
    return [Trajectory((Turn("", a),), goal="ask", group="g") for a in actions]


@pytest.mark.parametrize("judger", PURE)
@given(pair=groups(size=2))
@settings(max_examples=60, deadline=None)
def test_swapping_two_candidates_negates_the_verdict(judger, pair):
    a, b = judger.scores(pair)
    swapped_a, swapped_b = judger.scores(moved(pair, (1, 0)))
    assert swapped_a - swapped_b == -(a - b)


@pytest.mark.parametrize("judger", PURE)
@given(signals=groups(), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_a_score_is_finite_and_belongs_to_its_candidate(judger, signals, seed):
    order = list(range(len(signals[0].values)))
    random.Random(seed).shuffle(order)
    scores = judger.scores(signals)
    assert all(math.isfinite(s) for s in scores)
    assert judger.scores(moved(signals, order)) == [scores[i] for i in order]
    assert judger.scores(signals[::-1]) == scores or isinstance(judger, Lexicographic)


@pytest.mark.parametrize("judger", PURE)
@given(signals=groups(size=3))
@settings(max_examples=60, deadline=None)
def test_equal_candidates_tie_and_the_better_never_loses(judger, signals):
    twins = [Signal(s.name, (s.values[0], *s.values), s.resolution) for s in signals]
    scores = judger.scores(twins)
    assert scores[0] == scores[1]
    if all(s.values[0] >= s.values[1] for s in signals):
        scores = judger.scores(signals)
        assert scores[0] - scores[1] >= -judger.resolution(0.0)


@given(signals=groups(size=5))
@settings(max_examples=100, deadline=None)
def test_lexicographic_is_the_order_of_tuples(signals):
    exact = [Signal(s.name, tuple(round(v, 3) for v in s.values)) for s in signals]
    scores = Lexicographic(eps=0.0).scores(exact)
    ordered = sorted(exact, key=lambda s: s.name == "preference")
    keys = list(zip(*(s.values for s in ordered), strict=True))
    for i, j in itertools.combinations(range(5), 2):
        assert (scores[i] > scores[j]) == (keys[i] > keys[j])
        assert (scores[i] == scores[j]) == (keys[i] == keys[j])
    assert set(scores) <= {k / 4 for k in range(5)} | {k / 3 for k in range(4)} | {0.5}


def test_a_verdict_beats_any_preference_which_breaks_its_ties():
    signals = [column("rules", 1, 0, 1), column("preference", -50, 90, 3)]
    assert Lexicographic().scores(signals) == [0.5, 0.0, 1.0]
    assert Lexicographic(["preference"]).scores(signals) == [0.0, 1.0, 0.5]


def test_verifiers_count_in_their_order():
    signals = [column("rules", 1, 0), column("facts", 0, 1)]
    assert Lexicographic().scores(signals) == [1, 0]
    assert Lexicographic(["facts"]).scores(signals) == [0, 1]


def test_noise_below_the_resolution_is_a_tie():
    signals = [column("preference", 0.50001, 0.5, 0.9, resolution=1e-4)]
    assert Lexicographic().scores(signals) == [0, 0, 1]
    for how in ("zscore", "minmax", "rank"):
        low, also, high = WeightedSum(normalize=how).scores(signals)
        assert low == also < high
    assert MajorityVote().scores(signals) == [0.25, 0.25, 1]


def test_all_tied_is_one_half():
    assert Lexicographic().scores([column("rules", 1, 1, 1)]) == [0.5] * 3
    assert MajorityVote().scores([column("rules", 1)]) == [0.5]


def test_the_sum_is_the_papers():
    signals = [
        column("rules", 1, 0.5),
        column("facts", 0.2, 0.9),
        column("preference", 3, -1),
    ]
    scores = WeightedSum({"rules": 2.0, "facts": 0.5}, 0.1).scores(signals)
    assert scores == pytest.approx([0.3 + 2.0 + 0.1, -0.1 + 1.0 + 0.45])


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("none", [1.0, 3.0, 11.0]),
        ("minmax", [0.0, 0.2, 1.0]),
        ("rank", [0.0, 0.5, 1.0]),
        ("zscore", [-0.925820, -0.462910, 1.388730]),
        ("sigmoid", [0.731059, 0.952574, 0.999983]),
    ],
)
def test_normalising(how, expected):
    scores = WeightedSum(normalize=how).scores([column("preference", 1, 3, 11)])
    assert scores == pytest.approx(expected, abs=1e-6)


def test_only_the_preference_is_normalised():
    rules = [column("rules", 0.9, 1.0)]
    for how in NORMALIZE:
        assert WeightedSum(normalize=how).scores(rules) == [0.9, 1.0]


def test_sigmoid_of_what_is_far_out_does_not_overflow():
    scores = WeightedSum(normalize="sigmoid").scores([column("preference", -1e5, 1e5)])
    assert scores == [0, 1]


def test_the_sums_resolution_is_the_preferences():
    assert WeightedSum(lambda_=2).resolution(1e-4) == 2e-4
    assert WeightedSum(lambda_=2, normalize="rank").resolution(1e-4) == 1e-9
    assert Lexicographic().resolution(1e-4) == MajorityVote().resolution(1.0) == 1e-9


def test_the_majority_wins_and_weights_can_turn_it():
    signals = [
        column("rules", 1, 0),
        column("facts", 0.6, 0.5),
        column("preference", 0, 99),
    ]
    assert MajorityVote().scores(signals) == [1, 0]
    assert MajorityVote({"preference": 2.0}).scores(signals) == [0.5, 0.5]
    assert MajorityVote({"preference": 2.1}).scores(signals) == [0, 1]


def test_a_cycle_of_majorities_is_a_tie():
    signals = [column("a", 3, 2, 1), column("b", 2, 1, 3), column("c", 1, 3, 2)]
    assert MajorityVote().scores(signals) == [0.5] * 3


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: WeightedSum(normalize="softmax"), "softmax"),
        (lambda: WeightedSum({"rules": -1.0}), "rules"),
        (lambda: WeightedSum(lambda_=math.nan), "lambda_"),
        (lambda: WeightedSum({"preference": 1.0}), "lambda_"),
        (lambda: MajorityVote({"rules": math.inf}), "rules"),
        (lambda: Lexicographic(["rules", "rules"]), "twice"),
        (lambda: Lexicographic(eps=-1), "eps=-1"),
        (lambda: LLMJudge("gpt"), "str"),
        (lambda: LLMJudge(ScriptedPolicy(answers=["x"]), opponents=0), "opponents=0"),
    ],
)
def test_bad_options_are_named(make, named):
    with pytest.raises(ConfigurationError, match=named) as caught:
        make()
    assert caught.value.remedy


def rows_of(messages):
    """What a judge is shown: each candidate's text and signals."""
    text = messages[-1].text
    found = re.findall(
        r"<action-(\w+)>\n(.*?)\n</action-\1>.*?<signals-\1>\n(.*?)\n</signals-\1>",
        text,
        re.DOTALL,
    )
    return [
        (action, dict(line.split(": ") for line in lines.splitlines()))
        for _, action, lines in found
    ]


def by_rules(messages, _rng):
    first, second = (float(told["rules"]) for _, told in rows_of(messages))
    if first == second:
        return "Better: tie"
    return "Better: 1" if first > second else "Better: 2"


def test_the_model_sees_texts_and_signals_and_decides():
    judge = LLMJudge(ScriptedPolicy(answers=by_rules))
    signals = [column("rules", 0, 1, 0.5), column("preference", 9, 1, 5)]
    batch = judge.judge(paths("a", "b", "c"), signals)
    assert [s.value for s in batch.items] == [0, 1, 0.5]
    assert batch.usage.requests == 6
    shown = rows_of(judge.llm.requests[0]["messages"])
    assert dict(shown)[shown[0][0]].keys() == {"rules", "preference"}


@pytest.mark.parametrize("place", ["1", "2"])
@pytest.mark.parametrize("n", [2, 3, 12])
def test_a_judge_that_goes_by_place_makes_ties(place, n):
    judge = LLMJudge(ScriptedPolicy(answers=[f"Better: {place}"]), opponents=4)
    batch = judge.judge(paths(*(f"a{i}" for i in range(n))), [column("r", *range(n))])
    assert [s.value for s in batch.items] == [0.5] * n


def half_biased(messages, _rng):
    """Goes by the signals where they are far apart, else by place."""
    first, second = (float(told["rules"]) for _, told in rows_of(messages))
    if abs(first - second) > 0.5:
        return "Better: 1" if first > second else "Better: 2"
    return "Better: 1"


@given(st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=25, deadline=None)
def test_swapping_negates_what_a_biased_judge_says(one, other):
    def lead(texts, *values):
        judge = LLMJudge(ScriptedPolicy(answers=half_biased))
        first, second = judge.judge(paths(*texts), [column("rules", *values)]).items
        return first.value - second.value

    assert lead(["x", "y"], one, other) == -lead(["y", "x"], other, one)


def test_each_of_many_meets_equally_many_others():
    judge = LLMJudge(ScriptedPolicy(answers=["Better: tie"]), opponents=4)
    judge.judge(paths(*(f"a{i}" for i in range(12))), [column("rules", *range(12))])
    met = [name for r in judge.llm.requests for name, _ in rows_of(r["messages"])]
    assert {met.count(name) for name in met} == {8}


def test_an_unreadable_answer_is_asked_for_again_then_lost():
    def answer(messages, rng):
        if {name for name, _ in rows_of(messages)} == {"a", "b"}:
            return "hm"
        return by_rules(messages, rng)

    judge = LLMJudge(ScriptedPolicy(answers=answer))
    batch = judge.judge(paths("a", "b", "c"), [column("rules", 0, 1, 0.5)])
    assert [s.value for s in batch.items] == [0, 1, 0.5]
    assert batch.items[0].signals["lost_votes"] == 1
    assert batch.usage.requests == 8
    items = judge.judge(paths("a", "b"), [column("rules", 0, 1)]).items
    assert not any(s.ok for s in items)
    assert "cannot be read" in items[0].error


def test_a_judge_that_is_down_raises():
    judge = LLMJudge(ScriptedPolicy(answers=[""], error=ConnectionError("gone")))
    with pytest.raises(RewardModelError, match=r"all 2 requests.*gone") as caught:
        judge.judge(paths("a", "b"), [column("rules", 0, 1)])
    assert caught.value.retryable


def test_one_alone_is_not_asked_about():
    judge = LLMJudge(ScriptedPolicy(answers=[AIMessage("x")]))
    batch = judge.judge(paths("a"), [column("rules", 0)])
    assert batch.items[0].value == 0.5
    assert judge.llm.calls == 0


def test_async_judges_alike():
    judge = LLMJudge(ScriptedPolicy(answers=by_rules))
    group, signals = paths("a", "b", "c"), [column("rules", 0, 1, 0.5)]
    assert asyncio.run(judge.ajudge(group, signals)) == judge.judge(group, signals)
