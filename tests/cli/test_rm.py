"""`agentrm rm`, as a user meets it."""

from __future__ import annotations

import json

import pytest

from langchain_agentrm.cli import main
from langchain_agentrm.testing.mini_checkpoint import write_mini_checkpoint


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_mini_checkpoint(tmp_path_factory.mktemp("rm"), "reward")


def agentrm(*args) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(arg) for arg in args])
    return int(stop.value.code or 0)


def test_inspect_names_the_head_and_its_file(folder, capsys) -> None:
    assert agentrm("rm", "inspect", folder) == 0
    out = capsys.readouterr().out
    for word in ("sequence classification", "score.weight", "model.safetensors"):
        assert word in out
    assert "float32" in out


def test_inspect_refuses_a_plain_language_model(tmp_path, capsys) -> None:
    plain = write_mini_checkpoint(tmp_path, "policy")
    assert agentrm("rm", "inspect", plain) == 1
    assert "no reward head" in capsys.readouterr().err


def test_score_writes_a_line_for_each(folder, tmp_path, capsys) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    messages = [{"role": "user", "content": "Leave."}]
    with source.open("w") as lines:
        for answer in ("go", "stay"):
            said = [*messages, {"role": "assistant", "content": answer}]
            lines.write(json.dumps({"id": answer, "messages": said}) + "\n")
    options = ("--input", source, "--output", target, "--device", "cpu")
    assert agentrm("rm", "score", folder, *options) == 0
    rows = [json.loads(line) for line in target.read_text().splitlines()]
    assert [row["id"] for row in rows] == ["go", "stay"]
    assert rows[0]["score"] != rows[1]["score"]
    assert "2 lines, 0 with an error" in capsys.readouterr().out
    assert agentrm("rm", "score", folder, *options, "--dtype", "float64") == 1
    assert "dtype" in capsys.readouterr().err
