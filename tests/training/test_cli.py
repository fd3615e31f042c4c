from __future__ import annotations

import importlib.util
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from langchain_agentrm.cli.train import app
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.training.trees import TreesConfig, build_trees
from tests.training.game import CountFactory, RandomPolicy

babyai = pytest.mark.skipif(
    importlib.util.find_spec("langchain_agentrm_babyai") is None,
    reason="the BabyAI environment is not installed",
)


@babyai
def test_mini_runs_every_stage_and_skips_finished_ones(tmp_path):
    def run():
        done = CliRunner().invoke(
            app, ["mini", "--out", str(tmp_path), "--smoke", "--workers", "1"]
        )
        assert done.exit_code == 0, done.output
        return done.output

    first = run()
    stages = ("demos", "bc", "pool", "trees", "samples", "rm")
    for stage in stages:
        assert stage in first
        manifest = json.loads((tmp_path / stage / "manifest.json").read_text())
        assert manifest["stage"] == stage
        assert manifest["seed"] == 0
    for name in ("policy", "rm"):
        folder = tmp_path / "export" / name
        assert (folder / "tokenizer.json").exists()
        assert (folder / "agentrm.json").exists()
        assert (folder / "model.safetensors").stat().st_size < 1_000_000
    times = {s: (tmp_path / s / "manifest.json").stat().st_mtime_ns for s in stages}
    run()
    assert times == {
        s: (tmp_path / s / "manifest.json").stat().st_mtime_ns for s in stages
    }


def test_unknown_settings_are_named_with_the_known_ones(tmp_path):
    command = ["demos", "--out", str(tmp_path)]
    with pytest.raises(ConfigurationError, match=r"n_per_typ=3.*n_per_type"):
        app([*command, "--set", "n_per_typ=3"], standalone_mode=False)
    with pytest.raises(ConfigurationError, match="NAME=JSON"):
        app([*command, "--set", "seed"], standalone_mode=False)
    with pytest.raises(ConfigurationError, match="labeller='magic'"):
        app(
            ["trees", "--policy", ".", "--out", ".", "--labeller", "magic"],
            standalone_mode=False,
        )


_BUILD = """
import sys, time
from pathlib import Path
from langchain_agentrm.training.trees import TreesConfig, build_trees
from tests.training.game import CountFactory, RandomPolicy
class Slow(RandomPolicy):
    def propose(self, requests):
        time.sleep(0.02)
        return super().propose(requests)
config = TreesConfig(env="count", labeller="mcts", tasks=40, chunk=4, simulations=6)
out = Path(sys.argv[1])
build_trees(config, out, out, factory=CountFactory(), make_proposer=Slow)
"""


def test_a_build_killed_outright_goes_on_to_the_same_trees(tmp_path):
    config = TreesConfig(env="count", labeller="mcts", tasks=40, chunk=4, simulations=6)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    options = {"factory": CountFactory(), "make_proposer": RandomPolicy}
    build_trees(config, whole, whole, **options)
    path = os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")])  # noqa: PTH109
    process = subprocess.Popen(
        [sys.executable, "-c", _BUILD, str(killed)],
        env={**os.environ, "PYTHONPATH": path},
    )
    try:
        deadline = time.monotonic() + 60
        while _count(killed) < 2:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert 2 <= _count(killed) < 10
    build_trees(config, killed, killed, **options)
    assert _nodes(killed) == _nodes(whole)


def _query(folder, text):
    db = sqlite3.connect(f"file:{folder / 'trees.sqlite'}?mode=ro", uri=True)
    try:
        return db.execute(text).fetchall()
    finally:
        db.close()


def _count(folder):
    try:
        return _query(folder, "select count(*) from chunks")[0][0]
    except sqlite3.OperationalError:
        return 0


def _nodes(folder):
    return _query(folder, "select * from nodes order by tree_id, node_id")
