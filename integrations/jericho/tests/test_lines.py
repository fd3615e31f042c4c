"""What may be typed, and how texts are scored; needs no interpreter."""

from __future__ import annotations

import json

import pytest
from langchain_core.messages import AIMessage

pytest.importorskip(
    "langchain_agentrm_jericho", reason="langchain-agentrm-jericho is not installed"
)

from langchain_agentrm.environments import registry
from langchain_agentrm.errors import ConfigurationError, UnknownTaskError
from langchain_agentrm.testing.environment import MALFORMED_ACTIONS
from langchain_agentrm_jericho import JerichoFactory, JerichoGame
from langchain_agentrm_jericho._lines import allowed, clean
from langchain_agentrm_jericho.forms import hit, load_labels, tidy, tidy_agentboard
from langchain_agentrm_jericho.games import AGENTBOARD, DEV, VARIABLE


@pytest.mark.parametrize(
    ("action", "typed"),
    [
        ("  open   the mailbox ", "open the mailbox"),
        ("look\nnorth", "look"),
        ("\n\nlook", "look"),
        ("look. look", "look"),
        ("robot, go north", "robot, go north"),
        ("a\x00b", "a b"),
        ("\\x quit", "x quit"),
        ("\ud800look\udfff", "look"),
        ("café", "cafe"),
        ("go " * 30, " ".join(["go"] * 20)),
        ("x" * 10_240, "x" * 198),
        ([{"name": "look", "args": {}}], ""),
        ("", ""),
    ],
)
def test_one_clean_line_is_typed(action, typed) -> None:
    assert clean(action, commas=True) == typed


def test_agentboard_cuts_at_the_first_comma() -> None:
    assert clean("robot, go north", commas=False) == "robot"


@pytest.mark.parametrize("text", MALFORMED_ACTIONS, ids=ascii)
def test_whatever_comes_is_short_printable_ascii(text) -> None:
    line = clean(text, commas=True)
    assert line.isascii()
    assert line.isprintable() or not line
    assert len(line) <= 198
    assert not set("\\.\n\0") & set(line)
    assert clean(line, commas=True) == line


@pytest.mark.parametrize(
    "line",
    [
        "save",
        "SAVE",
        "restore",
        "restart",
        "quit",
        "q",
        "script",
        "unscript",
        "transcript on",
        "undo",
        "look then save",
        "oops save",
        "please, restore",
        "#record",
        "say #command",
        "$ve",
        "replay",
        "recording on",
    ],
)
def test_what_works_on_files_or_time_is_refused(line) -> None:
    assert not allowed(line)


@pytest.mark.parametrize(
    "line", ["look", "record music", "restorative", "describe", "eat quiche", "ask q"]
)
def test_ordinary_commands_are_allowed(line) -> None:
    assert allowed(line)


def test_texts_lose_padding_and_keep_lines() -> None:
    text = "> West of House       Score: 0     Moves: 1  \nTaken.\n\n\n\nA lamp.  \n\n>"
    assert tidy(text) == "West of House Score: 0 Moves: 1\nTaken.\n\nA lamp."
    told = "Taken.\n\n[Your score has just gone up by one point.]  Well done."
    assert tidy_agentboard(told) == "Taken.  Well done."


def test_one_subgoal_counts_in_a_step_and_each_once() -> None:
    goals = ("You have the key!", "Taken", "the end")
    first = hit("You have the key. Taken.", goals, frozenset())
    assert first == {0}
    assert hit("You have the key. Taken.", goals, first) == {0, 1}
    assert hit("nothing", goals, first) == {0}
    assert hit("TAKEN", goals, frozenset()) == frozenset()


def write_labels(path, count=20, subgoals=("Taken",)):
    rows = [{"goal": f"goal {i}", "subgoals": list(subgoals)} for i in range(count)]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


def test_labels_are_in_the_order_of_the_games(tmp_path) -> None:
    labels = load_labels(str(write_labels(tmp_path / "test.jsonl")))
    assert list(labels) == list(AGENTBOARD)
    assert labels["zork1"].goal == f"goal {AGENTBOARD.index('zork1')}"


def test_a_label_file_that_is_none_is_refused(tmp_path) -> None:
    short = write_labels(tmp_path / "short.jsonl", count=3)
    empty = write_labels(tmp_path / "empty.jsonl", subgoals=())
    other = tmp_path / "other.jsonl"
    other.write_text("[1, 2]\n", encoding="utf-8")
    for path in (short, empty, other, tmp_path / "missing.jsonl"):
        with pytest.raises(ConfigurationError, match="jsonl"):
            load_labels(str(path))


def test_groups_of_games_are_apart() -> None:
    assert len(set(AGENTBOARD)) == 20
    assert not set(AGENTBOARD) & set(DEV)


def test_without_story_files_it_says_what_to_set(monkeypatch, tmp_path) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    factory = JerichoFactory()
    assert factory.types("all") == []
    with pytest.raises(ConfigurationError, match="story files") as caught:
        factory.tasks("test")
    assert VARIABLE in caught.value.remedy
    with pytest.raises(UnknownTaskError, match="no story file"):
        factory.task("zork1", 0)
    with pytest.raises(ConfigurationError, match="no folder"):
        JerichoFactory(games=tmp_path / "none").types("all")
    assert JerichoFactory(games=tmp_path).types("all") == []


@pytest.mark.parametrize(
    "wrong", [{"form": "verse"}, {"form": "agentboard"}, {"step_limit": 0}]
)
def test_wrong_options_are_refused(wrong) -> None:
    with pytest.raises(ConfigurationError):
        JerichoFactory(**wrong)


def test_the_action_is_the_last_action_line() -> None:
    env = JerichoGame()
    assert env.parse(AIMessage("Thought: hm\nAction: open door")) == "open door"
    assert env.parse(AIMessage("Action:\nopen door")) == "open door"
    assert env.parse(AIMessage("open door")) == "open door"
    assert env.parse(AIMessage(" \n ")) is None
    assert env.parse(AIMessage("x" * 5000)) is None
    assert env.key("Open  DOOR") == "open door"


def test_the_distribution_registers_it() -> None:
    assert "jericho" in registry.available()
    assert registry.get("jericho").name == "jericho"
