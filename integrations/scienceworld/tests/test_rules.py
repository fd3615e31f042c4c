"""Tasks, texts and options; starts no Java."""

from __future__ import annotations

import json

import pytest
from langchain_core.messages import AIMessage

pytest.importorskip("py4j", reason="py4j is not installed")

from langchain_agentrm.errors import ConfigurationError, UnknownTaskError
from langchain_agentrm.testing.environment import MALFORMED_ACTIONS
from langchain_agentrm_scienceworld import (
    ScienceWorld,
    ScienceWorldFactory,
    catalogue,
    factory,
)
from langchain_agentrm_scienceworld.environment import clean, electrical
from langchain_agentrm_scienceworld.prompts import instruction


def test_the_official_splits_have_their_official_sizes() -> None:
    sizes = catalogue.SIZES.values()
    assert len(catalogue.ALL) == 30
    assert sum(x.total for x in sizes) == 7207
    totals = [sum(getattr(x, s) for x in sizes) for s in ("train", "dev", "test")]
    assert totals == [3592, 1796, 1819]
    for split, count in zip(("train", "dev", "test"), totals, strict=True):
        assert len(factory.tasks(split, catalogue.ALL)) == count


def test_groups_of_types() -> None:
    assert len(catalogue.ETO) == 24
    assert set(catalogue.HELD_IN) | set(catalogue.DEV) == set(catalogue.ETO)
    assert not set(catalogue.HELD_OUT) & set(catalogue.ETO)
    assert {x["type"] for x in factory.tasks("train")} == set(catalogue.HELD_IN)
    assert {x["type"] for x in factory.tasks("dev")} == set(catalogue.DEV)


@pytest.mark.parametrize(
    ("type_", "limit"),
    [
        ("boil", 100),
        ("melt", 80),
        ("measure-melting-point-known-substance", 120),
        ("grow-fruit", 60),
        ("find-animal", 15),
        ("power-component", 20),
        ("lifespan-shortest-lived", 10),
        ("lifespan-longest-lived-then-shortest-lived", 12),
        ("grow-plant", 30),
        ("mendelian-genetics-known-plant", 30),
    ],
)
def test_step_limits_are_etos(type_, limit) -> None:
    assert catalogue.STEP_LIMITS[type_] == limit


def test_names_of_older_data_are_understood() -> None:
    assert catalogue.type_name("task-1-boil") == "boil"
    assert catalogue.type_name("task-10-measure-melting-point-(known-substance)") == (
        "measure-melting-point-known-substance"
    )
    assert catalogue.type_name("task-2a-test-conductivity") == "test-conductivity"
    assert catalogue.type_name("mendellian-genetics-known-plant") == (
        "mendelian-genetics-known-plant"
    )
    with pytest.raises(UnknownTaskError, match="'task-1-fry'"):
        catalogue.type_name("task-1-fry")


def test_a_task_is_named_by_type_variation_and_simplifications() -> None:
    task = factory.task("boil", 29)
    assert task["id"] == "boil:29:easy"
    for wrong in (30, -1, "1"):
        with pytest.raises(UnknownTaskError, match="variation"):
            factory.task("boil", wrong)
    with pytest.raises(UnknownTaskError, match="boil:29:openDoors"):
        ScienceWorldFactory(simplifications="openDoors").make().reset(task)


def test_tasks_with_circuits_are_left_out_where_they_cannot_be_solved() -> None:
    some = ScienceWorldFactory(simplifications="openDoors,noElectricalAction")
    assert "power-component" not in some.types("all")
    assert "boil" in some.types("all")
    with pytest.raises(UnknownTaskError, match="power-component"):
        some.task("power-component", 0)


@pytest.mark.parametrize(
    ("type_", "simplifications", "expected"),
    [
        ("boil", "easy", False),
        ("boil", "", True),
        ("boil", "openDoors,noElectricalAction", False),
        ("test-conductivity", "easy", True),
    ],
)
def test_which_tasks_have_circuits(type_, simplifications, expected) -> None:
    assert electrical(type_, simplifications) is expected


@pytest.mark.parametrize("text", MALFORMED_ACTIONS, ids=ascii)
def test_texts_are_cleaned_once(text) -> None:
    line = clean(text)
    assert clean(line) == line
    assert len(line) <= 4096
    line.encode("utf-8")
    assert not set("\n\r\t\0\x1b") & set(line)


def test_the_instruction_names_what_can_be_done() -> None:
    plain = instruction(30, teleport=False, circuit=False)
    assert "teleport" not in plain
    assert "connect" not in plain
    assert "reset task" not in plain
    every = instruction(12, teleport=True, circuit=True)
    assert "teleport to PLACE" in every
    assert "connect OBJ to OBJ" in every
    assert "12 actions" in every


def test_published_prompts_are_taken_by_path(tmp_path) -> None:
    for folder in ("instructions", "icl_examples", "prm_instruction"):
        (tmp_path / folder).mkdir()
    (tmp_path / "instructions/sciworld_inst.txt").write_text(" Act. \n")
    turns = [[{"role": "user", "content": "[START OF THE EXAMPLE]"}]]
    (tmp_path / "icl_examples/sciworld_icl.json").write_text(json.dumps(turns))
    (tmp_path / "prm_instruction/sciworld_wo_turninfo.txt").write_text("Do {task_goal}")
    task = factory.task("find-plant", 0)
    start = ScienceWorldFactory(prompts=tmp_path).make().reset(task)
    assert (start.instruction, list(start.examples)) == ("Act.", turns[0])


@pytest.mark.parametrize(
    "wrong",
    [
        {"form": "other"},
        {"form": "agentboard"},
        {"step_limit": 0},
        {"jvms": 0},
        {"sessions": 0},
    ],
)
def test_wrong_options_are_refused(wrong) -> None:
    with pytest.raises(ConfigurationError):
        ScienceWorldFactory(**wrong)


def test_without_java_it_says_what_to_install() -> None:
    pytest.importorskip("scienceworld")
    none = ScienceWorldFactory(java="no-such-java")
    with pytest.raises(ConfigurationError, match="no-such-java") as caught:
        none.make().reset(none.task("boil", 0))
    assert "jre" in caught.value.remedy


def test_the_action_is_the_last_action_line() -> None:
    env = ScienceWorld()
    assert env.parse(AIMessage("Thought: hm\nAction: look around")) == "look around"
    assert env.parse(AIMessage("Action:\nlook around")) == "look around"
    assert env.parse(AIMessage("look around")) == "look around"
    assert env.parse(AIMessage(" \n ")) is None
    assert env.parse(AIMessage("x" * 5000)) is None
    assert env.key(" Look  AROUND ") == "look around"
