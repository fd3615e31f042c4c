"""What makes a resumed stage end in the same bytes, each rule alone."""

from __future__ import annotations

import json

import pytest

from langchain_agentrm._files import MANIFEST, PART, write_manifest
from langchain_agentrm.evaluation import suite
from langchain_agentrm.evaluation.suite_config import EnvironmentChoice
from tests.evaluation.suites import Game, config


def test_a_finished_stage_leaves_no_parts_of_a_killed_process(tmp_path):
    (tmp_path / "rows.jsonl").write_text("{}\n")
    ours = [".rows.jsonl.abc_1234", f".{MANIFEST}.zyx98765"]
    theirs = [".env.template", ".rows.jsonl", ".rows.jsonl.bak", ".gitignore"]
    for name in [*ours, *theirs]:
        (tmp_path / name).write_text("part")
    (tmp_path / f"{PART}abc_1234").mkdir()
    (tmp_path / f"{PART}abc_1234" / "model.safetensors").write_text("part")
    (tmp_path / ".part-of-mine").mkdir()
    write_manifest(
        tmp_path,
        stage="rows",
        config={},
        inputs={},
        counts={},
        seconds=0.0,
        outputs=["rows.jsonl"],
    )
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"rows.jsonl", MANIFEST, ".part-of-mine", *theirs}


def test_an_adapters_layers_are_named_in_order(tmp_path):
    pytest.importorskip("torch", reason="checkpoints are torch's")
    from langchain_agentrm.training._checkpoints import sort_adapter

    path = tmp_path / "adapter_config.json"
    for names in (["v_proj", "q_proj"], ["q_proj", "v_proj"]):
        path.write_text(json.dumps({"target_modules": names, "r": 4}))
        sort_adapter(tmp_path)
        kept = {"target_modules": ["q_proj", "v_proj"], "r": 4}
        assert json.loads(path.read_text()) == kept
    path.write_text(json.dumps({"target_modules": "all-linear"}))
    sort_adapter(tmp_path)
    assert json.loads(path.read_text()) == {"target_modules": "all-linear"}


class Stop(Exception):
    pass


@pytest.mark.parametrize("played", [1, 2])
def test_a_resumed_suite_plays_tasks_in_the_same_company(tmp_path, monkeypatch, played):
    blocks = []
    play = suite.play

    def noted(block):
        blocks.append([task["id"] for _, task in block.tasks])
        return play(block)

    monkeypatch.setattr(suite, "play", noted)
    run = {"workers": 0, "parts": Game(), "block": 3}
    # Groups of unlike size, whose mixture depends on how many tasks each has.
    env = EnvironmentChoice(env="scripted", aside=("count_far",), episodes=10)
    settings = config(environments=(env,), methods=("greedy",))
    suite.run_suite(settings, tmp_path / "whole", **run)
    whole = blocks.copy()
    assert len(whole) > 2
    blocks.clear()

    def stop(rows):
        if len(blocks) == played and rows:
            raise Stop

    with pytest.raises(Stop):
        suite.run_suite(settings, tmp_path / "cut", **run, on_rows=stop)
    suite.run_suite(settings, tmp_path / "cut", **run)
    assert blocks == whole
