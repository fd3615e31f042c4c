from __future__ import annotations

import json

import pytest

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.evaluation.preference_data import candidates, load_pairs
from langchain_agentrm.evaluation.responses import load_responses
from tests.evaluation.preference_files import converted, data_file, judged, written


@pytest.mark.parametrize("lines", [True, False])
def test_the_converted_form_is_read_from_lines_and_from_a_list(tmp_path, lines):
    rows = [converted(i, f"good {i}", f"bad {i}") for i in range(5)]
    pairs = load_pairs(written(tmp_path / "d.json", rows, lines=lines))
    assert [p.id for p in pairs] == [f"pair-{i}" for i in range(5)]
    assert [p.row for p in pairs] == list(range(5))
    assert {p.subset for p in pairs} == {"level-1", "level-2"}
    assert (pairs[3].chosen, pairs[3].rejected) == ("good 3", "bad 3")
    first, second = candidates(pairs[3], "x", "y")
    assert (first.goal, first.turns[-1].action) == ("question 3", "x")
    assert first.group == second.group == pairs[3].key


def test_judgebench_is_read_in_both_label_directions(tmp_path):
    rows = [judged(1, "A>B"), judged(2, "B>A", source="livecodebench")]
    one, two = load_pairs(written(tmp_path / "d.jsonl", rows))
    assert (one.chosen, one.rejected, one.subset) == ("A 1", "B 1", "knowledge")
    assert (two.chosen, two.rejected, two.subset) == ("B 2", "A 2", "coding")


@pytest.mark.parametrize("lines", [True, False])
def test_repeated_pairs_are_refused_by_file_and_row(tmp_path, lines):
    rows = [judged(1, "A>B"), judged(2, "B>A"), judged(1, "A>B", pair_id="other")]
    path = written(tmp_path / "d.jsonl", rows, lines=lines)
    line = 3 if lines else 18
    with pytest.raises(
        ConfigurationError, match=rf"rows 0 \(line \d\), 2 \(line {line}"
    ):
        load_pairs(path)
    # The same answers with the other one preferred are no second pair either.
    rows[2]["label"] = "B>A"
    with pytest.raises(ConfigurationError, match=r"d\.jsonl holds 1 rows that repeat"):
        load_pairs(written(path, rows))


def test_one_prompt_may_have_several_pairs(tmp_path):
    asked = {"role": "user", "content": "one question"}
    rows = [
        converted(1, f"good {i}", f"bad {i}", text_chosen=[asked, answer(f"good {i}")])
        | {"text_rejected": [asked, answer(f"bad {i}")]}
        for i in range(3)
    ]
    pairs = load_pairs(written(tmp_path / "d.jsonl", rows))
    assert len({p.id for p in pairs}) == 1
    assert len({p.key for p in pairs}) == 3


def answer(text):
    return {"role": "assistant", "content": text}


def test_what_upstream_broke_is_refused(tmp_path):
    """Its converter appends the last `A>B` row again for every `B>A` one."""
    path = data_file("judgebench/gpt-4o-2024-05-13.jsonl")
    source = [json.loads(line) for line in path.read_text().splitlines()]
    broken, last = [], source[0]
    for row in source[:20]:
        last = row if row["label"] == "A>B" else last
        broken.append(last)
    assert len({r["pair_id"] for r in broken}) < 20
    with pytest.raises(ConfigurationError, match="repeat another pair"):
        load_pairs(written(tmp_path / "broken.jsonl", broken))


MALFORMED = {
    "no known form": {"id": 1, "chosen": "x"},
    "a row is a list": [1],
    "different prompts": converted(
        1, "a", "b", text_chosen=[{"role": "user", "content": "?"}, answer("a")]
    ),
    "is no list of messages": converted(1, "a", "b", text_chosen="a"),
    "text_chosen holds": converted(1, "a", "b", text_chosen=[answer("a"), {"role": 1}]),
    "not the assistant's": converted(
        1,
        "a",
        "b",
        text_chosen=[{"role": "user", "content": "a"}] * 2,
        text_rejected=[{"role": "user", "content": "a"}] * 2,
    ),
    "no user's message": converted(
        1, "a", "b", text_chosen=[answer("a")], text_rejected=[answer("b")]
    ),
    "an answer is blank": converted(1, "a", " "),
    "id None is no name": converted(1, "a", "b", id=None),
    "subset 'all' cannot": converted(1, "a", "b", domain="all"),
    "label='A<B' is unknown": judged(1, "A<B"),
    "response_B=None is no text": judged(1, "A>B", response_B=None),
}


@pytest.mark.parametrize("fault", MALFORMED)
def test_a_malformed_row_is_named_by_file_and_line(tmp_path, fault):
    rows = [converted(8, "a", "b"), converted(9, "a", "b"), MALFORMED[fault]]
    path = written(tmp_path / "d.jsonl", rows)
    with pytest.raises(ConfigurationError, match=r"d\.jsonl, line 3 \(row 2\)") as told:
        load_pairs(path)
    assert fault in str(told.value)


def test_what_is_no_json_is_named_by_line(tmp_path):
    path = tmp_path / "d.json"
    path.write_text('{"a": 1\n')
    with pytest.raises(ConfigurationError, match=r"line 1 \(row 0\): this is no JSON"):
        load_pairs(path)
    path.write_text("[\n\n  {,\n")
    with pytest.raises(ConfigurationError, match=r"line 3 \(row 0\): this is no JSON"):
        load_pairs(path)
    for empty in ("", "[]", " \n"):
        path.write_text(empty)
        with pytest.raises(ConfigurationError, match="holds no rows"):
            load_pairs(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_pairs(path)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_pairs(tmp_path / "missing.json")


@pytest.mark.parametrize(
    ("name", "pairs", "subsets"),
    [
        ("thu-ifbench/data.converted.json", 444, {"level-1", "level-2", "level-3"}),
        ("rm-bench/total_dataset.chat_normal_converted.json", 387, {"chat"}),
        ("rm-bench/total_dataset.chat_hard_converted.json", 387, {"chat"}),
        (
            "judgebench/gpt-4o-2024-05-13.jsonl",
            350,
            {"knowledge", "reasoning", "math", "coding"},
        ),
        (
            "judgebench/claude-3-5-sonnet-20240620.jsonl",
            270,
            {"knowledge", "reasoning", "math", "coding"},
        ),
    ],
)
def test_the_benchmarks_are_read_whole(name, pairs, subsets):
    found = load_pairs(data_file(name))
    assert len(found) == len({p.key for p in found}) == pairs
    assert {p.subset for p in found} == subsets


def test_responses_are_read(tmp_path):
    messages = [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "hello"},
    ]
    rows = [
        {"prompt": "hello", "responses": ["a", "b"], "correct": [True, 0.5]},
        {"id": 7, "prompt": messages, "responses": ["a"]},
    ]
    one, two = load_responses(written(tmp_path / "d.jsonl", rows))
    assert one.plain
    assert one.correct == (1.0, 0.5)
    assert (two.id, two.plain, len(two.messages)) == ("7", False, 2)


RESPONSES = {
    "prompt=None is no list": {"responses": ["a"]},
    "prompt=' ' is no text": {"prompt": " ", "responses": ["a"]},
    "responses=[] is no list": {"prompt": "x", "responses": []},
    "responses=[1] is no list": {"prompt": "x", "responses": [1]},
    "does not go with 1 responses": {"prompt": "x", "responses": ["a"], "correct": [2]},
    "that of line 1 too": {"id": "a", "prompt": "x", "responses": ["a"]},
    "does not end with the user's": {"prompt": [answer("x")], "responses": ["a"]},
    "the id [] is no name": {"id": [], "prompt": "x", "responses": ["a"]},
}


@pytest.mark.parametrize("fault", RESPONSES)
def test_malformed_responses_are_named_by_line(tmp_path, fault):
    rows = [{"id": "a", "prompt": "y", "responses": ["a"]}, RESPONSES[fault]]
    path = written(tmp_path / "d.jsonl", rows)
    with pytest.raises(ConfigurationError, match=r"line 2 \(row 1\)") as told:
        load_responses(path)
    assert fault in str(told.value)
