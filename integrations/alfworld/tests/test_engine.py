"""The native engine: TextWorld's recorded answers, its texts, its state, its speed."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path

import pytest

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.testing._work import counted
from langchain_agentrm.testing.environment import MALFORMED_ACTIONS
from langchain_agentrm_alfworld._goal import compile_goal
from langchain_agentrm_alfworld._pddl import parse_problem
from langchain_agentrm_alfworld._play import NOTHING, root
from langchain_agentrm_alfworld._state import CHANGING
from langchain_agentrm_alfworld._tables import grammar, tables
from langchain_agentrm_alfworld._world import World
from langchain_agentrm_alfworld.generate import generate

# Written by TextWorld: python integrations/alfworld/tests/parity.py --record 24
TRACES = [
    json.loads(line)
    for line in (Path(__file__).parent / "data" / "traces.jsonl")
    .read_text(encoding="utf-8")
    .splitlines()
]


def play(content, commands):
    node = root(World(content))
    for command in commands:
        node = node.step(command)
    return node


@pytest.mark.parametrize(
    "trace", TRACES, ids=lambda t: f"{t['variant']}-{t['how']['seed']}"
)
def test_the_engine_answers_as_textworld_did(trace) -> None:
    content = dict(generate(**trace["how"]).content)
    lines = content["pddl_problem"].split("\n")
    for number, line in trace["edits"].items():
        lines[int(number)] = line
    content["pddl_problem"] = "\n".join(lines)
    node = root(World(content))
    for command, text, commands, won in trace["trace"]:
        if command is not None:
            node = node.step(command)
        listed = "\n".join(node.commands()).encode()
        assert node.text == text
        assert hashlib.blake2s(listed, digest_size=8).hexdigest() == commands
        assert node.won is won


def test_the_traces_cover_all_types_grammars_and_verbs() -> None:
    assert len(TRACES) >= 20
    assert {t["how"]["type_"] for t in TRACES} == set(tables().types)
    assert {t["variant"] for t in TRACES} == {"plain", "put", "nested", "displaced"}
    said = {(step[0] or "").split(" ")[0] for t in TRACES for step in t["trace"]}
    assert said >= {"go", "open", "close", "take", "move", "put", "use", "examine"}
    assert said >= {"clean", "heat", "cool", "look", "inventory", "help"}
    assert sum(t["trace"][-1][-1] for t in TRACES) >= 10


PROBLEM = """(define (problem p) (:domain alfred)
(:objects agent1 - agent AppleType KnifeType PlateType MugType - otype
  CounterTopType FridgeType SinkBasinType MicrowaveType - rtype
  Apple_bar_1 Knife_bar_1 Plate_bar_1 Mug_bar_1 - object
  CounterTop_bar_1 CounterTop_bar_2 Fridge_bar_1 Sink_bar_1_bar_SinkBasin
  Microwave_bar_1 - receptacle
  loc_bar_0 loc_bar_1 loc_bar_2 loc_bar_3 - location)
(:init (= (distance loc_bar_0 loc_bar_1) 3)
  (receptacleType CounterTop_bar_1 CounterTopType)
  (receptacleType CounterTop_bar_2 CounterTopType)
  (receptacleType Fridge_bar_1 FridgeType) (openable Fridge_bar_1)
  (receptacleType Microwave_bar_1 MicrowaveType) (openable Microwave_bar_1)
  (receptacleType Sink_bar_1_bar_SinkBasin SinkBasinType)
  (receptacleAtLocation CounterTop_bar_1 loc_bar_1)
  (receptacleAtLocation CounterTop_bar_2 loc_bar_1)
  (receptacleAtLocation Fridge_bar_1 loc_bar_2)
  (receptacleAtLocation Microwave_bar_1 loc_bar_3)
  (receptacleAtLocation Sink_bar_1_bar_SinkBasin loc_bar_3)
  (canContain CounterTopType AppleType) (canContain CounterTopType KnifeType)
  (canContain FridgeType AppleType) (canContain CounterTopType PlateType)
  (objectType Apple_bar_1 AppleType) (objectType Knife_bar_1 KnifeType)
  (objectType Plate_bar_1 PlateType) (objectType Mug_bar_1 MugType)
  (pickupable Apple_bar_1) (pickupable Knife_bar_1) (pickupable Plate_bar_1)
  (sliceable Apple_bar_1) (coolable Apple_bar_1) (heatable Apple_bar_1)
  (cleanable Apple_bar_1) (isReceptacleObject Plate_bar_1)
  (inReceptacleObject Mug_bar_1 Plate_bar_1)
  (inReceptacle Apple_bar_1 CounterTop_bar_1)
  (inReceptacle Knife_bar_1 CounterTop_bar_1)
  (inReceptacle Plate_bar_1 CounterTop_bar_1)
  (inReceptacle Mug_bar_1 CounterTop_bar_1)
  (objectAtLocation Apple_bar_1 loc_bar_1) (objectAtLocation Knife_bar_1 loc_bar_1)
  (objectAtLocation Plate_bar_1 loc_bar_1) (objectAtLocation Mug_bar_1 loc_bar_1)
  (atLocation agent1 loc_bar_0))
(:goal (and (exists (?r - receptacle) (exists (?o - object) (and
  (objectType ?o AppleType) (receptacleType ?r FridgeType) (inReceptacle ?o ?r)))))))
"""


@pytest.fixture
def kitchen():
    return {**generate("pick_and_place_simple", 0).content, "pddl_problem": PROBLEM}


HEATED_OTHERWISE = grammar("move").replace("You heat the", "You warm the")
GO = "go to countertop 1"
TAKE = "take apple 1 from countertop 2"


@pytest.mark.parametrize(
    ("commands", "answer"),
    [
        (["look"], "Looking quickly around you, you see nothing."),
        # Two receptacles in one place, numbered downwards along the sorted ids.
        (
            ["go to countertop 2"],
            "On the countertop 2, you see a apple 1, a knife 1, a ",
        ),
        ([GO], "You arrive at countertop 1. On the countertop 1, you see nothing."),
        ([GO, "go to countertop 2"], NOTHING),
        ([GO, "look"], "You are facing the countertop 2, and countertop 1. Next to"),
        ([GO, TAKE], "You pick up the apple 1 from the countertop 2."),
        ([GO, TAKE, "inventory"], "You are carrying: a apple 1."),
        ([GO, "inventory"], "You are not carrying anything."),
        ([GO, TAKE, "take knife 1 from countertop 2"], NOTHING),
        ([GO, TAKE, "go to fridge 1", "move apple 1 to fridge 1"], NOTHING),
        ([GO, TAKE, "go to fridge 1", "open fridge 1"], "The fridge 1 is open. In it,"),
        # Put back elsewhere, it is beside the receptacle it was taken from.
        ([GO, TAKE, "move apple 1 to countertop 1", "look"], "you see a apple 1."),
        ([GO, TAKE, "move apple 1 to countertop 2", "look"], "you see nothing."),
        ([GO, "take plate 1 from countertop 2", "examine plate 1"], "you see a mug 1."),
        ([GO, TAKE, "examine apple 1"], "There's nothing special about apple 1."),
        (
            [GO, TAKE, "go to fridge 1", "cool apple 1 with fridge 1"],
            "using the fridge",
        ),
        (
            [GO, "take knife 1 from countertop 2", "slice apple 1 with knife 1"],
            "You sliced the apple 1 with the knife 1.",
        ),
    ],
)
def test_what_is_said(kitchen, commands, answer) -> None:
    assert answer in play(kitchen, commands).text


def test_heat_and_cold_end_each_other_and_words_add_up(kitchen) -> None:
    world = World(kitchen)
    node = root(world)
    for command in (GO, TAKE, "go to microwave 1"):
        node = node.step(command)
    seen = []
    for command in (
        "heat apple 1 with microwave 1",
        "clean apple 1 with sinkbasin 1",
        "go to fridge 1",
        "cool apple 1 with fridge 1",
    ):
        node = node.step(command)
        assert node.valid, command
        seen.append(node.step("examine apple 1").text)
    assert seen[0] == "This is a hot apple 1."
    assert seen[1] == seen[2] == "This is a hot and clean apple 1."
    assert seen[3] == "This is a cool and clean apple 1."


@pytest.mark.parametrize(
    ("treated", "words"),
    [
        (["cool apple 1 with fridge 1"], "cold"),
        (["clean apple 1 with sinkbasin 1"], "clean"),
        (["slice"], "sliced"),
        (["slice", "cool apple 1 with fridge 1"], "cool sliced"),
        (["slice", "clean apple 1 with sinkbasin 1"], "clean sliced"),
        (
            ["slice", "clean apple 1 with sinkbasin 1", "cool apple 1 with fridge 1"],
            "cool and clean sliced",
        ),
        (["slice", "heat apple 1 with microwave 1"], "hot sliced"),
    ],
)
def test_what_was_done_is_seen(kitchen, treated, words) -> None:
    node = play(kitchen, [GO])
    if "slice" in treated:
        for command in (
            "take knife 1 from countertop 2",
            "slice apple 1 with knife 1",
            "move knife 1 to countertop 2",
        ):
            node = node.step(command)
    node = node.step(TAKE)
    for command in treated:
        if command != "slice":
            node = node.step(f"go to {command.split(' with ')[1]}").step(command)
            assert node.valid
    assert node.step("examine apple 1").text == f"This is a {words} apple 1."


def test_the_goal_is_noticed_and_can_be_undone(kitchen) -> None:
    node = play(
        kitchen,
        [GO, TAKE, "go to fridge 1", "open fridge 1", "move apple 1 to fridge 1"],
    )
    assert node.won
    assert not node.step("take apple 1 from fridge 1").won


def test_a_goal_of_two_needs_two(kitchen) -> None:
    problem = parse_problem(PROBLEM)
    atoms = "(objectType ?a KnifeType) (objectType ?b KnifeType)"
    text = PROBLEM[: PROBLEM.index("(:goal")] + (
        f"(:goal (exists (?a - object ?b - object) (and {atoms} (not (= ?a ?b))))))"
    )
    goal = compile_goal(
        parse_problem(text).goal, problem.types, problem.facts, CHANGING
    )
    assert not goal.satisfied(lambda *_: False)
    one = [*problem.facts, ("objecttype", "plate_bar_1", "knifetype")]
    goal = compile_goal(parse_problem(text).goal, problem.types, one, CHANGING)
    assert goal.satisfied(lambda *_: False)


@pytest.mark.parametrize(
    ("part", "value", "error"),
    [
        ("grammar", None, "no 'grammar'"),
        ("grammar", "grammar", "does not know this game's grammar"),
        ("grammar", HEATED_OTHERWISE, "'You heat the "),
        ("pddl_domain", "(define (domain d))", "does not know this game's grammar"),
        ("pddl_problem", "(define (problem", "cannot be read"),
        ("pddl_problem", PROBLEM.replace("(exists (?r", "(forall (?r"), "goal: "),
        ("pddl_problem", PROBLEM.replace("(?o - obj", "(?r - obj"), "goal: "),
    ],
)
def test_a_game_that_is_not_understood_is_refused(kitchen, part, value, error) -> None:
    with pytest.raises(ConfigurationError, match=error):
        World({**kitchen, part: value})


def test_a_step_changes_nothing_in_the_state_it_starts_from() -> None:
    rng = random.Random(1)
    for seed in range(12):
        world = World(generate(tables().types[seed % 6], seed).content)
        nodes = [root(world)]
        frozen = [json.dumps(_plain(nodes[0].state))]
        for _ in range(60):
            node = rng.choice(nodes)
            nodes.append(node.step(rng.choice(node.commands())))
            frozen.append(json.dumps(_plain(nodes[-1].state)))
        assert [json.dumps(_plain(node.state)) for node in nodes] == frozen


def _plain(state):
    fields = state._asdict()
    return {
        name: sorted(map(str, value.items()))
        if isinstance(value, dict)
        else sorted(map(str, value))
        if isinstance(value, frozenset)
        else value
        for name, value in fields.items()
    }


def test_ten_thousand_random_texts() -> None:
    rng = random.Random(0)
    node = root(World(generate("pick_two_obj_and_place", 3).content))
    for i in range(10_000):
        text = rng.choice(
            [
                rng.choice(MALFORMED_ACTIONS),
                "".join(chr(rng.randrange(0x11_0000)) for _ in range(20)),
                rng.choice(node.commands()),
                rng.choice(node.commands())[::-1],
            ]
        )
        after = node.step(text)
        assert after.valid == (text.strip() in node.commands())
        assert after.text != "" if after.valid else after.text == NOTHING
        node = after if i % 50 else root(node.world)


def test_steps_are_cheap() -> None:
    # Twice the calls that were counted, so that only a change of kind fails.
    rng = random.Random(0)
    worlds = [World(generate(t, s).content) for s in range(4) for t in tables().types]

    def walk() -> None:
        for world in worlds:
            node = root(world)
            for _ in range(40):
                node = node.step(rng.choice(node.commands()))

    assert counted(walk)[1] / (40 * len(worlds)) < 160
