from __future__ import annotations

import re

import pytest

from tests.examples.processes import run

pytest.importorskip("langchain_agentrm_alfworld")

TASK = "pick_heat_then_place_in_recep:400000"


def test_the_first_tasks_are_solved(tmp_path):
    lines = run("alfworld_agent/main.py", "--first", "3", cwd=tmp_path).splitlines()
    assert sum(line.startswith("task ") for line in lines) == 3
    assert lines[-1] == "3 of 3 solved, mean score 1.00"


def test_a_named_task_is_shown_step_by_step(tmp_path):
    out = run("alfworld_agent/main.py", "--task", TASK, cwd=tmp_path)
    assert out.splitlines()[0] == f"task {TASK}"
    steps = [int(n) for n in re.findall(r"^step (\d+)$", out, re.MULTILINE)]
    assert steps == list(range(1, len(steps) + 1))
    for step in re.split(r"^step .*$", out, flags=re.MULTILINE)[1:]:
        assert 1 <= step.count("\n  * ") <= 4
    assert "solved, score 1.00" in out
    assert re.search(r"^  heat bread \d+ with microwave 1$", out, re.MULTILINE)


def test_without_choice_it_gets_nowhere(tmp_path):
    narrow = ["--task", TASK, "--w1", "1", "--w2", "1"]
    out = run("alfworld_agent/main.py", *narrow, cwd=tmp_path)
    assert out.splitlines()[-1] == "0 of 1 solved, mean score 0.00"


def test_a_seed_gives_one_search(tmp_path):
    outs = {
        seed: run(
            "alfworld_agent/main.py", "--task", TASK, "--seed", seed, cwd=tmp_path
        )
        for seed in ("0", "1")
    }
    again = run("alfworld_agent/main.py", "--task", TASK, "--seed", "1", cwd=tmp_path)
    assert again == outs["1"] != outs["0"]
