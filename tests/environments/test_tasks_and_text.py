"""What factories share: seeds and round robin, texts and actions, published prompts."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_agentrm.environments.prompts import PromptFolder
from langchain_agentrm.environments.tasks import (
    DEMONSTRATION_SEEDS,
    SPLIT_SEEDS,
    check_known,
    check_seed,
    check_task,
    demonstration_seeds,
    round_robin,
)
from langchain_agentrm.environments.text import LONGEST, clean, read_action
from langchain_agentrm.errors import ConfigurationError, UnknownTaskError
from langchain_agentrm.types import TaskRef


def test_no_seed_is_in_two_splits() -> None:
    every = [*SPLIT_SEEDS.values(), DEMONSTRATION_SEEDS]
    assert len(set().union(*every)) == sum(map(len, every))


def test_round_robin_takes_turns() -> None:
    seeds = {"a": [1, 2, 3], "b": [], "c": [7]}
    assert round_robin(seeds) == [("a", 1), ("c", 7), ("a", 2), ("a", 3)]
    assert round_robin(seeds, 2) == [("a", 1), ("c", 7)]
    assert round_robin(seeds, 0) == round_robin(seeds, -1) == round_robin({}) == []


@given(st.dictionaries(st.text(max_size=2), st.lists(st.integers(0), unique=True)))
def test_round_robin_loses_nothing(seeds) -> None:
    found = round_robin(seeds)
    assert len(found) == sum(map(len, seeds.values()))
    for type_, row in seeds.items():
        assert [seed for name, seed in found if name == type_] == row
    counts = dict.fromkeys(seeds, 0)
    for type_, _ in found:
        counts[type_] += 1
        # Nobody is ahead of one who still has more.
        rest = [counts[t] for t, row in seeds.items() if counts[t] < len(row)]
        assert counts[type_] <= min([n + 1 for n in rest], default=counts[type_])


def test_what_does_not_exist_is_refused() -> None:
    check_known(["a"], ("a", "b"), "letter")
    with pytest.raises(UnknownTaskError, match=r"no letter 'c'.*\['a', 'b'\]"):
        check_known(["a", "c"], ("a", "b"), "letter")
    assert check_seed(7, "maze") == 7
    for seed in (-1, 1.5, "7", True, None):
        with pytest.raises(UnknownTaskError, match="A maze has no seed"):
            check_seed(seed, "maze")
    task = TaskRef(env="maze", type="t", id="t:1", seed=1)
    check_task(task, "maze")
    with pytest.raises(UnknownTaskError, match="'t:1' belongs to environment 'maze'"):
        check_task(task, "pddl")
    assert demonstration_seeds(2) == DEMONSTRATION_SEEDS[:2]
    for wrong in (-1, 4):
        with pytest.raises(ConfigurationError, match="Ask for 0 to 3"):
            demonstration_seeds(wrong, range(3))


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("look", "look"),
        ("I should look.\nAction: look\n", "look"),
        ("Action: a\nAction: b", "b"),
        ("ACTION :\n  go north ", "go north"),
        ("Action:", None),
        ("", None),
        (" \n\t\n", None),
        ("hm\n" * 5_000 + "Action: look", "look"),
        ("x" * (LONGEST + 1), None),
        ("Action: a\0b\ud800", "a\ufffdb\ufffd"),
    ],
)
def test_actions_are_read(text, action) -> None:
    assert read_action(text) == action


@given(st.text(st.characters(exclude_categories=())))
def test_whatever_is_read_can_be_sent(text) -> None:
    for found in (clean(text), read_action(text) or ""):
        assert "\0" not in found
        assert len(found) <= LONGEST
        found.encode()


@pytest.fixture
def folder(tmp_path):
    for name in ("instructions", "icl_examples", "prm_instruction"):
        (tmp_path / name).mkdir()
    (tmp_path / "instructions/x_inst.txt").write_text("One.\\nTwo. ")
    (tmp_path / "prm_instruction/x_wo_turninfo.txt").write_text("Do {task_goal} {z}")
    return tmp_path


def test_published_prompts(folder) -> None:
    prompts = PromptFolder(folder)
    assert prompts.policy("x") == ("One.\nTwo.", ())
    assert prompts.reward_instruction("x_wo_turninfo", "it") == "Do it {z}"
    turns = [{"role": "human", "content": "Q"}, {"role": "gpt", "content": "A"}]
    (folder / "icl_examples/x_icl.json").write_text(json.dumps([turns, []]))
    said = ({"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"})
    assert prompts.policy("x")[1] == said
    assert len(prompts.examples("x_icl")) == 2
    with pytest.raises(ConfigurationError, match=r"y_inst\.txt.*eval_agent/prompt"):
        prompts.policy("y")


@pytest.mark.parametrize("text", ["{", "[]", "[[1]]", '[[{"role": "x"}]]', "3"])
def test_broken_examples_are_named(folder, text) -> None:
    (folder / "icl_examples/x_icl.json").write_text(text)
    with pytest.raises(ConfigurationError, match=r"x_icl\.json holds no list"):
        PromptFolder(folder).policy("x")
