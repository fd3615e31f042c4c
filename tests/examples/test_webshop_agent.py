from __future__ import annotations

import re

import pytest

from tests.examples.processes import run

pytest.importorskip("langchain_agentrm_webshop")

TASK = "garden:0"


def test_a_named_task_is_solved_step_by_step(tmp_path):
    out = run("webshop_agent/main.py", "--task", TASK, cwd=tmp_path)
    assert out.splitlines()[0] == f"task {TASK}"
    steps = [int(n) for n in re.findall(r"^step (\d+)$", out, re.MULTILINE)]
    assert steps == list(range(1, len(steps) + 1))
    for step in re.split(r"^step .*$", out, flags=re.MULTILINE)[1:]:
        assert 1 <= step.count("\n  * ") <= 6
    way = out.partition("; the best way:\n")[2].splitlines()
    assert {"  click[teal]", "  click[full]", "  click[buy now]"} <= set(way)
    assert out.splitlines()[-1] == "1 of 1 solved, mean score 1.00"


def test_most_of_the_first_tasks_are_worth_their_price(tmp_path):
    out = run("webshop_agent/main.py", "--first", "4", cwd=tmp_path)
    found = re.fullmatch(r"(\d) of 4 solved, mean score ([\d.]+)", out.splitlines()[-1])
    assert int(found[1]) >= 3
    assert float(found[2]) > 0.8


def test_without_choice_it_gets_nowhere(tmp_path):
    narrow = ["--task", TASK, "--w1", "1", "--w2", "1"]
    out = run("webshop_agent/main.py", *narrow, cwd=tmp_path)
    assert out.splitlines()[-1].startswith("0 of 1 solved")
