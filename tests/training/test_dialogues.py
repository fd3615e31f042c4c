from __future__ import annotations

import json

import pytest

from langchain_agentrm import _files
from langchain_agentrm.errors import CheckpointError, ConfigurationError
from langchain_agentrm.training._row_files import read_rows
from langchain_agentrm.training.demos import DemosConfig, collect_demos
from langchain_agentrm.training.dialogues import (
    DialoguesConfig,
    convert_dialogues,
    read_trajectories,
)
from tests.training.game import CountFactory


def _eto(i, reply="OK", **fields):
    turns = [
        ("human", "You are a shopper."),
        ("gpt", reply),
        ("human", f"Find item {i}."),
        ("gpt", "Thought: look.\nAction: search[item]"),
        ("human", "Observation: none"),
        ("gpt", "Action: click[Buy Now]"),
    ]
    said = [{"from": who, "value": text} for who, text in turns]
    return {"id": i, "conversations": said, **fields}


def _write(path, rows, *, lines=False):
    if lines:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        path.write_text(json.dumps(rows, indent=1))
    return path


def _rows(tmp_path, sources, **settings):
    manifest = convert_dialogues(DialoguesConfig(**settings), sources, tmp_path / "out")
    return read_trajectories(tmp_path / "out"), manifest["counts"]


def _chat(*texts, **flags):
    said = [
        {"role": ("user", "assistant")[i % 2], "content": text}
        for i, text in enumerate(texts)
    ]
    for place, flag in flags.items():
        said[int(place[1:])].update(flag)
    return {"messages": said}


def test_the_three_files_of_eto_become_one_form(tmp_path):
    shop = [_eto(i, reward=1.0, source="human") for i in range(3)]
    game = "/data/json_2.1.1/train/pick_two-Pen-Desk-3/trial_T1/game.tw-pddl"
    home = [_eto(7, game_file=game)]
    lab = [_eto("0_12")]
    sources = [
        _write(tmp_path / "webshop_sft.json", shop),
        _write(tmp_path / "alfworld_sft.json", home),
        _write(tmp_path / "sciworld_sft.json", lab),
    ]
    rows, counts = _rows(tmp_path, sources)
    assert [(r["task"], r["task_id"]) for r in rows] == [
        ("webshop", "0"),
        ("webshop", "1"),
        ("webshop", "2"),
        ("alfworld", "pick_two-Pen-Desk-3/trial_T1"),
        ("scienceworld", "0_12"),
    ]
    assert {tuple(row) for row in rows} == {
        (
            *("id", "task", "task_id", "split"),
            *("messages", "reward", "progress", "source"),
        )
    }
    assert rows[0]["reward"] == 1.0
    assert rows[3]["reward"] is None
    assert rows[0]["source"] == "webshop_sft.json"
    assert [(m["role"], m["train"]) for m in rows[0]["messages"]] == [
        ("user", False),
        ("assistant", False),
        ("user", False),
        ("assistant", True),
        ("user", False),
        ("assistant", True),
    ]
    assert counts["no_reward"] == 2
    assert counts["trained_messages"] == 10


def test_datasets_loads_the_rows(tmp_path):
    datasets = pytest.importorskip("datasets", reason="the train extra is absent")
    source = _write(tmp_path / "webshop_sft.json", [_eto(1, reward=0.5), _eto(2)])
    rows, _ = _rows(tmp_path, [source])
    loaded = datasets.load_dataset(
        "json",
        data_files=str(tmp_path / "out" / "trajectories.jsonl"),
        cache_dir=str(tmp_path / "cache"),
        split="train",
    )
    assert loaded.to_list() == rows


def test_flags_of_the_source_win(tmp_path):
    openai = _chat(
        "task", "ok then", "more", "done", m1={"weight": 1}, m3={"weight": 0}
    )
    gym = {
        "item_id": "maze_18",
        "conversations": [
            {"from": "human", "loss": None, "value": "rules"},
            {"from": "gpt", "loss": True, "value": "OK. I will."},
            {"from": "human", "loss": None, "value": "go"},
            {"from": "gpt", "loss": False, "value": "move up"},
        ],
    }
    source = _write(tmp_path / "chat.jsonl", [openai, gym], lines=True)
    rows, _ = _rows(tmp_path, [source])
    assert [[m["train"] for m in row["messages"]] for row in rows] == [
        [False, True, False, False]
    ] * 2
    assert rows[1]["task_id"] == "maze_18"


@pytest.mark.parametrize(
    "settings", [{"examples": 2}, {"task_marker": "here is the task"}]
)
def test_worked_examples_are_not_trained_on(tmp_path, settings):
    said = ("rules", "OK", "ex?", "ex!", "here is the task: t", "act", "saw", "act")
    source = _write(tmp_path / "a.json", [_chat(*said)])
    rows, _ = _rows(tmp_path, [source], **settings)
    assert [i for i, m in enumerate(rows[0]["messages"]) if m["train"]] == [5, 7]


def test_an_only_reply_that_begins_with_ok_is_an_action(tmp_path):
    source = _write(tmp_path / "a.json", [_chat("say ok", "OK")])
    rows, _ = _rows(tmp_path, [source])
    assert rows[0]["messages"][1]["train"]


BAD = {
    "both": ({"messages": [], "conversations": []}, "both `messages`"),
    "none": ({"text": "x"}, "neither `messages`"),
    "empty": ({"messages": []}, "no list of messages"),
    "role": (
        {"messages": [{"role": "tool", "content": "x"}]},
        "message 0 has the role 'tool'",
    ),
    "twice": (
        {"messages": [{"role": "user", "content": "x"}] * 2 + [_chat("a", "b")]},
        "message 2 has the role None",
    ),
    "turns": (
        _chat("a", "b", "c", "d", m1={"role": "user"}),
        "message 1 is by the user, not the assistant",
    ),
    "system": (
        _chat("a", "b", "c", "d", m2={"role": "system"}),
        "message 2 is by the system, not the user",
    ),
    "image": (
        _chat("a", "b", m0={"content": [{"type": "image_url"}]}),
        "message 0 has content that is no text",
    ),
    "null": (_chat("a", "b", m1={"content": None}), "message 1 has content"),
    "calls": (_chat("a", "b", m1={"tool_calls": [{}]}), "calls tools"),
    "flag": (_chat("a", "b", m1={"weight": 0.5}), "weight=0.5"),
    "masked": (_chat("a", "b", m1={"train": False}), "left to train on"),
    "reward": (_chat("a", "b") | {"reward": "high"}, "reward='high'"),
    "nan": (_chat("a", "b") | {"reward": float("nan")}, "reward=nan"),
    "id": (_chat("a", "b") | {"id": 1.5}, "id=1.5"),
    "surrogate": (_chat("a\ud800", "b"), "surrogate"),
    "string": ("just text", "no list of messages"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_row_is_named_by_file_and_line(tmp_path, name):
    row, reason = BAD[name]
    source = _write(tmp_path / "a.jsonl", [_eto(1), row, _eto(2)], lines=True)
    with pytest.raises(ConfigurationError, match=r"a\.jsonl, line 2: ") as caught:
        _rows(tmp_path, [source])
    assert reason in str(caught.value)
    assert not (tmp_path / "out").exists()
    rows, counts = _rows(tmp_path, [source], on_bad_row="skip")
    assert [row["task_id"] for row in rows] == ["1", "2"]
    assert counts["unusable"] == 1
    assert counts["bad"][0].startswith("a.jsonl:2: ")


def test_a_broken_line_can_be_skipped_but_not_a_broken_array(tmp_path):
    lines = tmp_path / "a.jsonl"
    lines.write_text(json.dumps(_eto(1)) + '\n{"id": 2, "conver')
    with pytest.raises(ConfigurationError, match="line 2: no JSON"):
        _rows(tmp_path, [lines])
    rows, _ = _rows(tmp_path, [lines], on_bad_row="skip")
    assert len(rows) == 1
    array = _write(tmp_path / "b.json", [_eto(1), _eto(2)])
    text = array.read_text()
    array.write_text(text[: text.rindex("Buy Now")])
    with pytest.raises(ConfigurationError, match=r"array of .*b\.json breaks at line"):
        _rows(tmp_path / "other", [array], on_bad_row="skip")


def test_lines_are_counted_inside_an_array(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('\ufeff\n[ {"a": 1},\n\n {"b":\n 2}\n , 3]\n')
    assert [(r.line, r.value) for r in read_rows(path)] == [
        (2, {"a": 1}),
        (4, {"b": 2}),
        (6, 3),
    ]
    path.write_text("[]")
    assert list(read_rows(path)) == []
    path.write_text('["a"]\n["b"]\n')
    assert [r.value for r in read_rows(path)] == [["a"], ["b"]]
    for broken in ("[1 2]", "[1] 2", "[1, 2"):
        path.write_text(broken)
        with pytest.raises(ConfigurationError, match="breaks at line 1"):
            list(read_rows(path))
    path.write_bytes(b"\xff[]")
    with pytest.raises(ConfigurationError, match="no UTF-8"):
        list(read_rows(path))


def test_equal_rows_count_once_and_low_ones_are_left_out(tmp_path):
    rows = [_eto(1, reward=1.0), _eto(1, reward=1.0), _eto(1, "ok.", reward=0.9)]
    rows += [_eto(2, reward=0.1), _eto(3)]
    source = _write(tmp_path / "webshop_sft.json", rows)
    kept, counts = _rows(tmp_path, [source], min_reward=0.5)
    assert [row["id"] for row in kept] == ["webshop/1/0", "webshop/1/1", "webshop/3/0"]
    figures = {
        k: counts[k] for k in ("read", "duplicates", "below_reward", "no_reward")
    }
    assert figures == {"read": 5, "duplicates": 1, "below_reward": 1, "no_reward": 1}


def test_tasks_are_split_whole_and_alike_in_every_run(tmp_path):
    rows = [_eto(i, reply) for reply in ("OK", "Ok!") for i in range(200)]
    source = _write(tmp_path / "webshop_sft.json", rows)
    kept, counts = _rows(tmp_path, [source], val_share=0.2)
    sides = {row["task_id"]: row["split"] for row in kept}
    assert all(sides[row["task_id"]] == row["split"] for row in kept)
    assert 50 < counts["by_split"]["val"] < 110
    few = _write(tmp_path / "webshop_few.json", rows[:10])
    manifest = convert_dialogues(DialoguesConfig(val_share=0.2), [few], tmp_path / "b")
    assert manifest["counts"]["kept"] == 10
    for row in read_trajectories(tmp_path / "b"):
        assert row["split"] == sides[row["task_id"]]


def test_a_row_without_an_id_is_its_opening(tmp_path):
    rows = [_eto(1), _eto(1, "ok"), _eto(2)]
    rows[1]["conversations"][3]["value"] = "Action: click[other]"
    for row in rows:
        del row["id"]
    rows[1]["conversations"][1]["value"] = "OK"
    source = _write(tmp_path / "a.json", rows)
    kept, counts = _rows(tmp_path, [source])
    assert counts["without_task_id"] == 3
    assert kept[0]["task_id"] == kept[1]["task_id"] != kept[2]["task_id"]


def test_leaking_splits_are_refused(tmp_path):
    source = _write(tmp_path / "webshop_sft.json", [_eto(1), _eto(1, "ok")])
    _rows(tmp_path, [source])
    path = tmp_path / "out" / "trajectories.jsonl"
    first, second = path.read_text().splitlines()
    path.write_text(first + "\n" + second.replace('"train"', '"val"', 1) + "\n")
    with pytest.raises(ConfigurationError, match=r"Line 2 of .* task '1' of 'webshop'"):
        read_trajectories(path)


def test_an_observation_after_the_last_action_is_dropped(tmp_path):
    source = _write(tmp_path / "a.json", [_chat("task", "act", "the end")])
    rows, counts = _rows(tmp_path, [source])
    assert [m["content"] for m in rows[0]["messages"]] == ["task", "act"]
    assert counts["trailing_observations"] == 1


def test_our_demonstrations_and_our_rows_are_read(tmp_path):
    collect_demos(
        DemosConfig(env="count", n_per_type=5),
        tmp_path / "demos",
        factory=CountFactory(),
    )
    bare, _ = _rows(tmp_path / "bare", [tmp_path / "demos"])
    assert bare[0]["messages"][0]["content"] == "goal: 4.\nsee: 0"
    path = tmp_path / "demos" / "demos.jsonl"
    text = path.read_text()
    path.write_text(text.replace('"instruction":""', '"instruction":"Add."'))
    told, _ = _rows(tmp_path / "told", [tmp_path / "demos"])
    assert told[0]["messages"][0]["content"] == "Add."
    rows, _ = _rows(tmp_path, [tmp_path / "demos"], instruction="Count.")
    assert [row["task_id"] for row in rows] == [f"plain:{-1 - i}" for i in range(5)]
    assert {row["task"] for row in rows} == {"count"}
    first = rows[0]["messages"]
    assert first[0] == {"role": "system", "content": "Count.", "train": False}
    assert first[1]["content"] == "goal: 4.\nsee: 0"
    assert first[-1] == {"role": "assistant", "content": "done", "train": True}
    again = tmp_path / "again"
    convert_dialogues(
        DialoguesConfig(), [tmp_path / "out" / "trajectories.jsonl"], again
    )
    for old, new in zip(rows, read_trajectories(again), strict=True):
        assert old | {"source": ""} == new | {"source": ""}


def test_a_full_disk_leaves_no_manifest_and_the_stage_can_be_run_again(
    tmp_path, monkeypatch
):
    source = _write(tmp_path / "webshop_sft.json", [_eto(1)])

    def full(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(_files.os, "fsync", full)
        with pytest.raises(CheckpointError, match=r"jsonl .*No space left.*Make room"):
            _rows(tmp_path, [source])
    assert not list((tmp_path / "out").iterdir())
    rows, _ = _rows(tmp_path, [source])
    assert len(rows) == 1


def test_a_finished_stage_is_not_run_again_and_refuses_other_settings(tmp_path):
    source = _write(tmp_path / "webshop_sft.json", [_eto(1)])
    _, first = _rows(tmp_path, [source])
    _, second = _rows(tmp_path, [source])
    assert first == second
    with pytest.raises(ConfigurationError, match="val_share"):
        _rows(tmp_path, [source], val_share=0.5)
    with pytest.raises(ConfigurationError, match="no file"):
        convert_dialogues(DialoguesConfig(), [tmp_path / "x.json"], tmp_path / "b")
    with pytest.raises(ConfigurationError, match="None of 1 rows is left"):
        convert_dialogues(
            DialoguesConfig(min_reward=2.0),
            [_write(tmp_path / "c.json", [_eto(1, reward=1.0)])],
            tmp_path / "c",
        )
