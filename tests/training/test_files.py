from __future__ import annotations

import pytest

from langchain_agentrm import _files
from langchain_agentrm.errors import CheckpointError, ConfigurationError


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    _files.write_json(path, {"a": 1})

    def fail(_):
        raise OSError(28, "disk full")

    monkeypatch.setattr(_files.os, "fsync", fail)
    with pytest.raises(CheckpointError, match=r"a\.json .*disk full.*Make room"):
        _files.write_json(path, {"a": 2})
    assert _files.read_json(path) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_jsonl_keeps_rows_and_names_a_broken_line(tmp_path):
    path = tmp_path / "a.jsonl"
    rows = [{"x": "ä\n"}, [1, None]]
    assert _files.write_jsonl(path, rows) == 2
    assert list(_files.read_jsonl(path)) == rows
    path.write_text('{"a": 1}\n{"a": \n')
    with pytest.raises(CheckpointError, match=r"Line 2 of .*a\.jsonl"):
        list(_files.read_jsonl(path))


def test_an_absent_file_names_itself(tmp_path):
    with pytest.raises(CheckpointError, match=r"b\.json"):
        _files.read_json(tmp_path / "b.json")
    with pytest.raises(CheckpointError, match=r"c\.jsonl"):
        list(_files.read_jsonl(tmp_path / "c.jsonl"))


def test_manifest_says_finished_and_refuses_other_settings(tmp_path):
    config = {"seed": 3, "n": 5}
    assert _files.finished(tmp_path, config) is None
    _files.write_text(tmp_path / "data", "x")
    made = _files.write_manifest(
        tmp_path,
        stage="s",
        config=config,
        inputs={"a": "b"},
        counts={"rows": 1},
        seconds=1.26,
        outputs=["data"],
    )
    assert _files.finished(tmp_path, config) == made
    assert made["seed"] == 3
    assert made["packages"]["langchain-core"]
    assert made["outputs"]["data"] == _files.file_digest(tmp_path / "data")
    with pytest.raises(ConfigurationError, match=r"n=5.*n=6"):
        _files.finished(tmp_path, {"seed": 3, "n": 6})


def test_folder_digest_sees_contents_but_no_manifest(tmp_path):
    _files.write_text(tmp_path / "w", "1")
    first = _files.folder_digest(tmp_path)
    _files.write_text(tmp_path / "manifest.json", "{}")
    assert _files.folder_digest(tmp_path) == first
    _files.write_text(tmp_path / "w", "2")
    assert _files.folder_digest(tmp_path) != first
