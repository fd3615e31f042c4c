from __future__ import annotations

import json

import pytest

from langchain_agentrm import FunctionRewardModel
from langchain_agentrm._files import read_jsonl
from langchain_agentrm.errors import ConfigurationError, RewardModelError
from langchain_agentrm.evaluation.annotate import PairRule, annotate_file, pairs_of
from langchain_agentrm.evaluation.best_responses import (
    ScoredResponses,
    best_index,
    best_rows,
    score_responses,
)
from langchain_agentrm.evaluation.responses import load_responses, one_set
from langchain_agentrm.reward_agent import RewardAgent
from langchain_agentrm.types import Score
from tests.evaluation.preference_files import by_length, written


def drawn(number, n=8):
    """Answers whose worth falls and rises with their length."""
    lengths = [(number * 7 + i * 5) % 11 + 1 for i in range(n)]
    return {
        "id": number,
        "prompt": f"question {number}",
        "responses": ["x" * k for k in lengths],
        "correct": [k / 11 for k in lengths],
    }


def test_n_are_nested_and_scored_once(tmp_path):
    sets = load_responses(written(tmp_path / "r.jsonl", [drawn(i) for i in range(30)]))
    calls = []

    def longest(ts):
        calls.append(len(ts))
        return [float(len(t.turns[-1].action)) for t in ts]

    scored = list(score_responses(FunctionRewardModel(longest), sets, largest=8))
    assert calls == [8] * 30
    rows = best_rows(scored, [1, 2, 4, 8])
    assert [r["n"] for r in rows] == [1, 2, 4, 8]
    # The reward model knows the truth: it finds the best, and more answers help.
    assert [r["accuracy"] for r in rows] == [r["best"] for r in rows]
    assert rows[0]["accuracy"] < rows[1]["accuracy"] < rows[-1]["accuracy"]
    assert rows[-1]["average"] < rows[-1]["accuracy"]
    assert all(r["ci_low"] <= r["accuracy"] <= r["ci_high"] for r in rows)
    threaded = list(score_responses(by_length(), sets, largest=8, threads=8))
    assert threaded == list(score_responses(by_length(), sets, largest=8))


def test_too_few_answers_are_refused(tmp_path):
    sets = load_responses(written(tmp_path / "r.jsonl", [drawn(1, 4)]))
    with pytest.raises(ConfigurationError, match="has 4 responses; 8 are asked for"):
        list(score_responses(by_length(), sets, largest=8))


def test_the_earliest_of_equals_is_best_and_errors_never_are():
    scores = [Score(error="x"), Score(1.0), Score(1.0 + 1e-6), Score(0.5)]
    assert best_index(scores, 1e-4) == 1
    assert best_index(scores) == 2
    assert best_index(scores[:1]) is None


def test_a_prompt_without_scores_is_counted(tmp_path):
    sets = load_responses(written(tmp_path / "r.jsonl", [drawn(1)]))

    def down(_):
        msg = "down"
        raise RewardModelError(msg)

    (scored,) = score_responses(FunctionRewardModel(down), sets, largest=4)
    assert scored.error == "down"
    assert best_rows([scored], [4])[0]["unscored"] == 1


def scored(*values, texts=None, signals=()):
    texts = texts or [f"answer {i}" for i in range(len(values))]
    made = [
        Score(v, dict(signals[i]) if signals else {}, None if v is not None else "no")
        for i, v in enumerate(values)
    ]
    return ScoredResponses(one_set("ask", texts), tuple(made))


def test_a_pair_is_the_best_and_the_worst_answer():
    rows, dropped = pairs_of(scored(0.2, 0.9, 0.1, 0.5), PairRule())
    assert not dropped
    assert rows == [
        {
            "prompt": "ask",
            "chosen": "answer 1",
            "rejected": "answer 2",
            "score_chosen": 0.9,
            "score_rejected": 0.1,
            "signals": {"chosen": {}, "rejected": {}},
        }
    ]
    rows, _ = pairs_of(scored(0.2, 0.9, 0.1, 0.5), PairRule(pairs_per_prompt=5))
    assert [(r["chosen"], r["rejected"]) for r in rows] == [
        ("answer 1", "answer 2"),
        ("answer 3", "answer 0"),
    ]


def test_equal_answers_count_once_and_ties_make_no_pair():
    rows, dropped = pairs_of(scored(1.0, 1.0, texts=["a", " a\n"]), PairRule())
    assert (rows, dict(dropped)) == ([], {"single": 1})
    rows, dropped = pairs_of(scored(1.0, 1.0), PairRule())
    assert (rows, dict(dropped)) == ([], {"margin": 1})
    rows, dropped = pairs_of(scored(1.0, None), PairRule())
    assert (rows, dict(dropped)) == ([], {"unscored": 1, "single": 1})
    assert pairs_of(scored(1.0, 0.9), PairRule(margin=0.2))[1] == {"margin": 1}
    assert pairs_of(scored(1.0, 0.9), PairRule(margin=0.1 - 1e-9))[0]


def test_a_verified_signal_may_not_contradict_the_pair():
    signals = [{"rules": 0.5, "preference": 3.0}, {"rules": 1.0, "preference": 1.0}]
    names = ("rules", "preference")
    one = scored(1.0, 0.0, signals=signals)
    kept, _ = pairs_of(one, PairRule(signals=names))
    assert kept[0]["signals"]["chosen"] == {"rules": 0.5, "preference": 3.0}
    rule = PairRule(signals=names, verified=("rules", "factuality"))
    assert pairs_of(one, rule) == ([], {"contradicted": 1})
    # What only one of them has says nothing of their order.
    one = scored(1.0, 0.0, signals=[{}, {"rules": 1.0}])
    assert pairs_of(one, rule)[0][0]["signals"]["chosen"]["rules"] is None


def test_the_margin_may_be_that_of_the_signal_that_decides():
    signals = [{"rules": 1.0, "preference": 3.1}, {"rules": 1.0, "preference": 3.0}]
    one = scored(1.0, 0.0, signals=signals)
    names = {"signals": ("rules", "preference"), "by_signal": True}
    assert pairs_of(one, PairRule(margin=0.2, **names))[1] == {"margin": 1}
    assert pairs_of(one, PairRule(margin=0.05, **names))[0]
    signals[1]["rules"] = 0.5
    one = scored(1.0, 0.0, signals=signals)
    assert pairs_of(one, PairRule(margin=0.5, **names))[0]


def test_messages_stay_messages(tmp_path):
    asked = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    row = {"prompt": asked, "responses": ["aa", "b"]}
    target = tmp_path / "out.jsonl"
    annotate_file(by_length(), written(tmp_path / "r.jsonl", [row]), target, PairRule())
    (pair,) = read_jsonl(target)
    assert pair["prompt"] == asked
    assert pair["chosen"] == [{"role": "assistant", "content": "aa"}]
    row["prompt"] = "u"
    target = tmp_path / "out2.jsonl"
    rule = PairRule(conversational=True)
    annotate_file(by_length(), written(tmp_path / "r.jsonl", [row]), target, rule)
    (pair,) = read_jsonl(target)
    assert pair["prompt"] == [{"role": "user", "content": "u"}]


class Dying:
    """Scores some prompts, then the process is gone, or the server is."""

    resolution = 0.0
    comparable = "group"

    def __init__(self, lives, error=KeyboardInterrupt):
        self.lives = lives
        self.error = error
        self.asked = []

    def score(self, trajectories):
        if self.lives == 0:
            raise self.error
        self.lives -= 1
        self.asked.append(trajectories[0].goal)
        return by_length().score(trajectories)

    async def ascore(self, trajectories):
        return self.score(trajectories)


def test_a_run_that_was_killed_goes_on(tmp_path):
    source = written(tmp_path / "r.jsonl", [drawn(i) for i in range(30)])
    whole, target = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    annotate_file(by_length(), source, whole, PairRule())
    with pytest.raises(KeyboardInterrupt):
        annotate_file(Dying(20), source, target, PairRule())
    assert not target.exists()
    # A line that the kill cut short is asked again.
    part = tmp_path / "out.jsonl.part"
    part.write_bytes(part.read_bytes()[:-9])
    second = Dying(100)
    done = annotate_file(second, source, target, PairRule(), threads=3)
    assert 0 < done.resumed < 20
    assert len(second.asked) == 30 - done.resumed
    assert target.read_bytes() == whole.read_bytes()
    assert not part.exists()
    third = Dying(0)
    again = annotate_file(third, source, target, PairRule())
    assert (again.resumed, again.pairs) == (30, done.pairs)
    with pytest.raises(ConfigurationError, match=r"margin=0\.0, now margin=0\.5"):
        annotate_file(third, source, target, PairRule(margin=0.5))


def test_prompts_that_failed_are_asked_again(tmp_path):
    source = written(tmp_path / "r.jsonl", [drawn(i) for i in range(12)])
    target = tmp_path / "out.jsonl"
    done = annotate_file(Dying(5, RewardModelError("down")), source, target, PairRule())
    assert (done.failed, done.first_error) == (7, "down")
    assert not target.exists()
    other = tmp_path / "some.jsonl"
    some = Dying(5, RewardModelError("down"))
    done = annotate_file(some, source, other, PairRule(), skip_failed=True)
    assert done.dropped["failed"] == 7
    assert len(list(read_jsonl(other))) == done.pairs <= 5
    second = Dying(100)
    done = annotate_file(second, source, target, PairRule())
    assert (done.failed, done.resumed, len(second.asked)) == (0, 5, 7)
    assert len(list(read_jsonl(target))) == done.pairs


def test_a_preference_that_is_down_leaves_no_pair_behind(tmp_path):
    source = written(tmp_path / "r.jsonl", [drawn(1)])

    def long(trajectory):
        return len(trajectory.turns[-1].action) / 11

    agent = RewardAgent(Dying(0, RewardModelError("down")), [long])
    target = tmp_path / "out.jsonl"
    # The verifier alone could rank them, but that is not what was asked for.
    done = annotate_file(agent, source, target, PairRule())
    assert (done.failed, target.exists()) == (1, False)


def test_what_abstains_has_not_failed(tmp_path):
    source = written(tmp_path / "r.jsonl", [drawn(1)])
    target = tmp_path / "out.jsonl"
    agent = RewardAgent(None, [silent])
    done = annotate_file(agent, source, target, PairRule())
    assert (done.failed, done.pairs, done.dropped["unscored"]) == (0, 0, 8)
    assert target.read_text() == ""


def silent(trajectory):
    """A verifier that has nothing to say."""


def test_a_foreign_file_is_not_written_over(tmp_path):
    source = written(tmp_path / "r.jsonl", [drawn(1)])
    target = tmp_path / "out.jsonl"
    target.write_text(json.dumps({"mine": 1}))
    with pytest.raises(ConfigurationError, match="nothing says what made it"):
        annotate_file(by_length(), source, target, PairRule())


@pytest.mark.parametrize("wrong", [{"margin": -1.0}, {"pairs_per_prompt": 0}])
def test_a_rule_that_cannot_work_is_refused(wrong):
    with pytest.raises(ConfigurationError, match="cannot work"):
        PairRule(**wrong)
