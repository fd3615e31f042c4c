"""Scoring a file: every line answered, stopped and resumed without a loss."""

from __future__ import annotations

import json

import pytest

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.reward_models import FunctionRewardModel
from langchain_agentrm.reward_models.bulk import score_file, trajectory_of


def ask(answer: str, **more) -> dict:
    said = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Leave the room."},
        {"role": "assistant", "content": answer},
    ]
    return {"messages": said, **more}


class Counting:
    resolution = 0.0
    comparable = "global"

    def __init__(self, stop_after=None) -> None:
        self.asked = []
        self.stop_after = stop_after
        self.inner = FunctionRewardModel(
            lambda ts: [float(len(t.turns[-1].action)) for t in ts]
        )

    def score(self, trajectories):
        if self.stop_after is not None and len(self.asked) >= self.stop_after:
            raise KeyboardInterrupt
        self.asked += [t.turns[-1].action for t in trajectories]
        return self.inner.score(trajectories)

    async def ascore(self, trajectories):
        return self.score(trajectories)


def rows_of(file) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def write(file, rows) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_every_line_has_its_score_in_order(tmp_path) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "deep" / "out.jsonl"
    write(source, [ask("go", id="a"), ask("stay"), ask("open it", id=3)])
    seen = []
    done = score_file(
        Counting(), source, target, batch=2, on_progress=lambda *p: seen.append(p)
    )
    assert rows_of(target) == [
        {"line": 1, "id": "a", "score": 2.0},
        {"line": 2, "score": 4.0},
        {"line": 3, "id": 3, "score": 7.0},
    ]
    assert (done.rows, done.failed, done.resumed) == (3, 0, 0)
    assert seen == [(2, 3), (3, 3)]
    assert not (tmp_path / "deep" / "out.jsonl.part").exists()


def test_a_bad_line_is_answered_and_costs_no_other(tmp_path) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    lines = [
        json.dumps(ask("go")),
        "{broken",
        json.dumps({"text": "no messages"}),
        json.dumps([{"role": "user", "content": "hi"}]),
        json.dumps({"messages": [{"role": "nobody", "content": "hi"}]}),
        json.dumps([{"role": "assistant", "content": "nobody asked"}]),
        json.dumps(ask("stay")["messages"]),
    ]
    source.write_text("\n".join(lines) + "\n")
    done = score_file(Counting(), source, target)
    rows = rows_of(target)
    assert [row.get("score") for row in rows] == [2.0, *[None] * 5, 4.0]
    assert done.failed == 5
    for row, word in zip(
        rows[1:6],
        ["Expecting", "messages", "human", "nobody", "human message"],
        strict=True,
    ):
        assert word in row["error"]


def test_goes_on_where_it_was_stopped(tmp_path) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    write(source, [ask("x" * n) for n in range(1, 10)])
    with pytest.raises(KeyboardInterrupt):
        score_file(Counting(stop_after=4), source, target, batch=2)
    assert not target.exists()
    part = tmp_path / "out.jsonl.part"
    assert len(rows_of(part)) == 4
    with part.open("a") as out:  # a kill in the middle of a line
        out.write('{"line": 5, "sco')
    second = Counting()
    done = score_file(second, source, target, batch=2)
    assert second.asked == ["x" * n for n in range(5, 10)]
    assert [row["score"] for row in rows_of(target)] == [float(n) for n in range(1, 10)]
    assert (done.rows, done.resumed) == (9, 4)


def test_what_is_whole_is_not_scored_again(tmp_path) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    write(source, [ask("go"), ask("stay")])
    score_file(Counting(), source, target, settings={"model": "a"})
    again = Counting()
    done = score_file(again, source, target, settings={"model": "a"})
    assert (again.asked, done.rows, done.resumed) == ([], 2, 2)


def test_other_settings_or_input_are_refused(tmp_path) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    write(source, [ask("go")])
    score_file(Counting(), source, target, settings={"model": "a"})
    with pytest.raises(ConfigurationError, match="model='a'"):
        score_file(Counting(), source, target, settings={"model": "b"})
    write(source, [ask("stay")])
    with pytest.raises(ConfigurationError, match="input="):
        score_file(Counting(), source, target, settings={"model": "a"})
    (tmp_path / "mine.jsonl").write_text("precious\n")
    with pytest.raises(ConfigurationError, match="nothing says what made it"):
        score_file(Counting(), source, tmp_path / "mine.jsonl")
    with pytest.raises(ConfigurationError, match="no file"):
        score_file(Counting(), tmp_path / "absent.jsonl", target)


def test_tool_calls_and_tools_are_read() -> None:
    call = {
        "id": "1",
        "type": "function",
        "function": {"name": "look", "arguments": '{"at": "door"}'},
    }
    row = {
        "messages": [
            {"role": "user", "content": "Look."},
            {"role": "assistant", "content": "", "tool_calls": [call]},
        ],
        "tools": [{"name": "look"}],
    }
    trajectory = trajectory_of(row)
    assert trajectory.turns[-1].action == 'look({"at": "door"})'
    assert trajectory.tools == ({"name": "look"},)
