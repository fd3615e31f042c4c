"""The records of comparisons, and the page that is made of them."""

from __future__ import annotations

import json

import pytest
from fidelity import COMPARISONS, write_page

from langchain_agentrm.testing._parity import Parity, options


def report():
    return Parity("maze", "its twin", "everything", 3, {"walk": 2}, ("pytest",))


def test_a_record_says_what_differed(tmp_path, capsys) -> None:
    made = report()
    made.episodes, made.steps = 2, 9
    assert made.check("step 1", 1, 1)
    assert not made.check("step 2", "a", "b")
    assert made.finish(tmp_path / "maze.json", java="17") == 1
    record = json.loads((tmp_path / "maze.json").read_text())
    assert record["differences"] == 1
    assert record["first_differences"] == ["step 2: ours 'a', theirs 'b'"]
    assert {"pytest", "python", "java"} == set(record["versions"])
    assert (record["seed"], record["settings"]) == (3, {"walk": 2})
    assert "2 episodes, 9 steps, 1 differences" in capsys.readouterr().out


def test_equal_engines_pass_and_nothing_compared_does_not() -> None:
    made = report()
    assert made.finish(None) == 1
    made.steps = 1
    assert made.finish(None) == 0


def test_options() -> None:
    given = options(["--episodes", "7", "--out", "x.json"])
    assert (given.episodes, given.seed, given.out.name) == (7, 0, "x.json")


@pytest.mark.parametrize("broken", [None, "missing", "different"])
def test_the_page_is_whole_only_with_all_records(tmp_path, broken) -> None:
    page = tmp_path / "fidelity.md"
    begin, end = (f"<!-- fidelity:{mark} -->" for mark in ("begin", "end"))
    page.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    for comparison in COMPARISONS:
        made = report()
        made.environment, made.episodes, made.steps = comparison.name, 1_234, 5
        if broken == "different" and comparison.name == "pddl":
            made.check("step", 1, 2)
        if broken != "missing" or comparison.name != "pddl":
            made.finish(tmp_path / f"fidelity_{comparison.name}.json")
    assert write_page(page, tmp_path, 120.0) is (broken is None)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith(f"{end}\nafter\n")
    assert "old" not in text
    assert "2 minutes in all" in text
    assert text.count("1,234 episodes") == len(COMPARISONS) - (broken == "missing")
