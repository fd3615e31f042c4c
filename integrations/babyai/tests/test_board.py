"""AgentBoard's game: held to its own engine, its labels and its endings."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from langchain_core.messages import AIMessage

from langchain_agentrm.errors import ConfigurationError, UnknownTaskError
from langchain_agentrm.testing._work import counted
from langchain_agentrm.testing.environment import random_walk
from langchain_agentrm_babyai import BabyAIFactory, levels
from langchain_agentrm_babyai._board import BoardWorld, _hit, _Hits

TRACES = Path(__file__).parent / "data/board.jsonl"
factory = BabyAIFactory(style="agentboard")


def traces():
    return [json.loads(line) for line in TRACES.read_text().splitlines()]


@pytest.mark.parametrize("trace", traces(), ids=lambda t: t["level"])
def test_agentboards_own_engine_shows_the_same(trace) -> None:
    # Recorded from AgentBoard's BabyAI class over the same MiniGrid: the observation,
    # the progress, whether it is done, and the list of actions after each action.
    world = BoardWorld(trace["level"], trace["seed"], (tuple(trace["subgoals"]),))
    node = world.root
    assert world.goal == trace["goal"]
    assert node.observation == trace["first"]
    for action, digest in zip(trace["actions"], trace["digests"], strict=True):
        node = world.advance(node, action)
        listed = list(world.macros(node).moves)
        shown = [node.observation, round(node.progress, 4), node.success, listed]
        text = json.dumps(shown).encode()
        assert hashlib.blake2s(text, digest_size=8).hexdigest() == digest, action
    assert node.success == trace["success"]


def test_the_traces_cover_every_level_and_both_ends() -> None:
    found = traces()
    assert [t["level"] for t in found] == list(levels.BOARD)
    assert {t["success"] for t in found} == {True, False}


def test_tasks_are_agentboards() -> None:
    tasks = factory.tasks("test")
    assert len(tasks) == 112
    assert {t["seed"] for t in tasks} == {1234, 1235, 1236, 1237}
    assert factory.types("held_out") == list(levels.BOARD)
    assert factory.types("held_in") == factory.types("dev") == []
    shown = {t["id"] for t in factory.demonstrations(levels.BOARD, 5_000)}
    assert not shown & {t["id"] for t in (*tasks, *factory.tasks("train", limit=999))}
    with pytest.raises(UnknownTaskError, match="PutNextLocal"):
        factory.task("PutNextLocal", 1)


def test_the_expert_solves_nearly_all() -> None:
    shown = [factory.demonstrate(t) for t in factory.tasks("test", limit=56)]
    solved = [s for s in shown if s is not None]
    assert len(solved) >= 51
    assert all(s.score == 1.0 for s in solved)


def test_progress_grows_by_subgoals_and_the_level_ends_by_itself() -> None:
    task = factory.task("UnlockPickupDist", 1234)
    shown = factory.demonstrate(task)
    env = factory.make()
    env.reset(task)
    answers = [env.step(action) for _, action in shown.steps]
    progress = [a.progress for a in answers]
    assert progress == sorted(progress)
    assert {0 < p < 1 for p in progress} == {True, False}
    assert [a.done for a in answers] == [False] * (len(answers) - 1) + [True]
    assert answers[-1].success
    assert answers[-1].observation.endswith("\n The task is completed.")


@pytest.mark.parametrize(
    ("action", "answer", "valid"),
    [
        ("dance", "The action is not recognized. Please check valid actions.", False),
        ("", "No change in state.", False),
        ("drop", "You cannot drop the object, as you are not carrying any", False),
        ("Please CHECK it", "You can take the following actions: turn left, ", True),
        ("TURN LEFT", "In front of you in this room, you can see", True),
    ],
)
def test_answers(action, answer, valid) -> None:
    env = factory.make()
    env.reset(factory.task("GoToLocalS8N7", 1234))
    transition = env.step(action)
    assert transition.observation.startswith(answer)
    assert transition.info["valid"] is valid


def test_pick_up_may_be_two_words() -> None:
    env = factory.make()
    env.reset(factory.task("PickupLoc", 1234))
    name = next(a for a in env.actions() if a.startswith("pickup "))[7:]
    assert env.key(f"Pick up {name}") == f"pickup {name}"
    assert "You are carrying" in env.step(f"pick up {name}").observation


@pytest.mark.parametrize(
    ("pattern", "text", "stands"),
    [
        ("red ball 1 ** 1 steps away", "There is a red ball 1 far 1 steps away.", True),
        ("red ball 1 ** 1 steps away", "A red ball 1. It is 1 steps away.", False),
        ("carrying a * key.", "You are carrying a red key.", True),
        ("carrying a * box", "You are carrying a red key.", False),
    ],
)
def test_a_subgoal_stands_in_one_sentence(pattern, text, stands) -> None:
    assert (_hit(_Hits(((pattern,),), 0, 0.0), text).points == 1) is stands


def test_one_subgoal_a_step_and_ways_of_equal_length() -> None:
    hits = _hit(_Hits((("a", "b"), ("c", "d")), 0, 0.0), "a and b")
    assert hits == _Hits((("b",), ("d",)), 1, 0.5)
    assert _hit(hits, "d") == _Hits(((), ()), 2, 1.0)
    assert _hit(hits, "a c") == hits


def label_file(folder, change=None):
    rows = [
        {"goal": "g", "subgoals": ["You can see", "completed"], "difficulty": "easy"}
        for _ in range(112)
    ]
    rows[5] = {"subgoals_1": ["steps", "x"], "subgoals_2": ["y", "z"]}
    if change:
        change(rows)
    path = folder / "test.jsonl"
    path.write_text("\n".join(json.dumps(r) for r in rows))
    return path


def test_labels_give_the_subgoals_of_their_tasks(tmp_path) -> None:
    own = BabyAIFactory(style="agentboard", labels=label_file(tmp_path))
    env = own.make()
    env.reset(own.task("GoToRedBall", 1235))
    world, _ = env.board()
    assert world.subgoals == (("steps", "x"), ("y", "z"))
    assert env.step("turn left").progress in {0.0, 0.5}
    env.reset(own.task("GoToRedBall", 100_000))
    assert env.board()[0].subgoals != world.subgoals


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows.pop(),
        lambda rows: rows[3].clear(),
        lambda rows: rows[5].update(subgoals_2=["one"]),
    ],
)
def test_broken_labels_are_refused(tmp_path, change) -> None:
    own = BabyAIFactory(style="agentboard", labels=label_file(tmp_path, change))
    with pytest.raises(ConfigurationError, match=r"test\.jsonl"):
        own.make().reset(own.task("GoToRedBall", 1235))


def test_options_belong_to_the_style() -> None:
    with pytest.raises(ConfigurationError, match="agentboard"):
        BabyAIFactory(labels="x")
    with pytest.raises(ConfigurationError, match="'other'"):
        BabyAIFactory(style="other")


def test_prompts_come_from_a_folder(tmp_path) -> None:
    own = BabyAIFactory(style="agentboard", prompts=tmp_path)
    with pytest.raises(ConfigurationError, match="babyai_inst"):
        own.make().reset(own.task("GoToRedBall", 1234))
    (tmp_path / "instructions").mkdir()
    (tmp_path / "instructions/babyai_inst.txt").write_text("Play.\n")
    start = own.make().reset(own.task("GoToRedBall", 1234))
    assert start.instruction == "Play."


@pytest.mark.parametrize("style", ["agentrm", "agentboard"])
def test_a_rejected_message_is_one_step_and_replays(style) -> None:
    own = BabyAIFactory(style=style)
    task = own.task("GoToRedBall", 100_000)
    env = own.make()
    env.reset(task)
    answer = env.reject(AIMessage(""))
    assert answer.info["steps"] == len(env.actions_taken) == 1
    twin = own.make()
    twin.replay(task, env.actions_taken, env.digests)
    assert twin.position()[1].depth == 1


CHILD = """
from langchain_agentrm.testing.environment import random_walk
from langchain_agentrm_babyai import BabyAIFactory
factory = BabyAIFactory(style="agentboard")
for task in factory.tasks("test", limit=28):
    env = factory.make()
    start = env.reset(task)
    print(start, random_walk(env, ["turn left"], 12, 1), env.actions_taken)
"""


def test_another_process_with_another_hash_seed_shows_the_same() -> None:
    seen = set()
    for hash_seed in ("1", "2"):
        path = os.pathsep.join(p for p in sys.path if p)
        env = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": path}
        done = subprocess.run(
            [sys.executable, "-c", CHILD], env=env, capture_output=True, check=True
        )
        assert done.stdout.count(b"Start(") == 28
        seen.add(done.stdout)
    assert len(seen) == 1


def test_forks_and_steps_are_cheap() -> None:
    # Twice the calls that were counted, so that only a change of kind fails.
    env = factory.make()
    env.reset(factory.task("GoToLocalS8N7", 1234))
    assert counted(env.fork)[1] < 20
    spent = steps = 0
    for task in factory.tasks("train", limit=56):
        env.reset(task)
        walk, calls = counted(random_walk, env, ["turn left"], 30, task["seed"])
        spent, steps = spent + calls, steps + len(walk)
    assert spent / steps < 4_300
