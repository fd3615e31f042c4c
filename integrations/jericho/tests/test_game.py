"""The interpreter, on whatever story files `JERICHO_GAMES` holds."""

from __future__ import annotations

import json
import os
import random

import pytest

pytest.importorskip("jericho", reason="jericho is not installed (needs gcc and make)")

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm_jericho import JerichoFactory
from langchain_agentrm_jericho.expert import demonstrate, play
from langchain_agentrm_jericho.games import AGENTBOARD, VARIABLE, stories

pytestmark = pytest.mark.skipif(
    VARIABLE not in os.environ, reason=f"{VARIABLE} names no folder"
)
TRIED = ["look", "inventory", "north", "south", "east", "west", "take all", "open door"]


@pytest.fixture
def factory():
    return JerichoFactory()


@pytest.fixture(params=sorted(stories(os.environ.get(VARIABLE))))
def game(request):
    return request.param


def walk(env, task, seed, steps=25):
    rng = random.Random(seed)
    seen = [env.reset(task).observation]
    for _ in range(steps):
        transition = env.step(rng.choice(TRIED))
        seen.append((transition.observation, transition.score, transition.info))
        if transition.done:
            break
    return seen


def test_two_plays_are_the_same_also_with_others_between(factory, game) -> None:
    task = factory.task(game, 3)
    first = walk(factory.make(), task, 0)
    walk(factory.make(), factory.task(game, 4), 1)
    assert walk(factory.make(), task, 0) == first


def test_fifty_steps_of_a_fork_leave_its_parent_alone(game) -> None:
    factory = JerichoFactory(step_limit=100)
    env, alone = factory.make(), factory.make()
    task = factory.task(game, 0)
    for each in (env, alone):
        each.reset(task)
        each.step("look")
    fork = env.fork()
    rng = random.Random(1)
    for _ in range(50):
        if fork.step(rng.choice(TRIED)).done:
            break
    for action in TRIED:
        assert env.step(action) == alone.step(action)


def test_no_command_leaves_a_file(factory, game, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    env = factory.make()
    env.reset(factory.task(game, 0))
    for action in ("save", "restore", "script", "oops save", "#record", "undo"):
        transition = env.step(action)
        assert not transition.info["valid"]
        assert not transition.done
    assert list(tmp_path.iterdir()) == []


def test_the_score_is_in_the_range_of_the_games_points(factory, game) -> None:
    env = factory.make()
    start = env.reset(factory.task(game, 0))
    assert start.goal.startswith("Score as many of the story's ")
    transition = env.step("look")
    maximum = int(start.goal.split()[6])
    assert transition.score == max(0, transition.info["raw_score"]) / maximum


def test_walkthroughs_win_or_are_said_to_be_missing(factory, game) -> None:
    task = factory.task(game, 0)
    if stories(os.environ[VARIABLE])[game].walkthrough:
        assert demonstrate(task).success
    else:
        with pytest.raises(ConfigurationError, match="no walkthrough"):
            demonstrate(task)
        assert factory.demonstrate(task) is None


def test_agentboards_form_counts_subgoals(game, tmp_path) -> None:
    if game not in AGENTBOARD:
        pytest.skip(f"AgentBoard does not use {game}")
    path = tmp_path / "test.jsonl"
    seen = JerichoFactory().make()
    seen.reset(JerichoFactory().task(game, 0))
    piece = " ".join(seen.step("look").observation.split()[-4:])
    rows = [{"goal": "G", "subgoals": [piece, "no such text"]}] * len(AGENTBOARD)
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    factory = JerichoFactory(form="agentboard", labels=path)
    env = factory.make()
    assert env.reset(factory.task(game, 0)).goal == "G"
    transition = env.step("look")
    assert (transition.progress, transition.success) == (0.5, False)
    assert "\n" not in transition.observation


def test_zork_one_is_played_for_its_points() -> None:
    found = stories(os.environ[VARIABLE])
    if "zork1" not in found:
        pytest.skip("zork1 is not among the story files")
    factory = JerichoFactory()
    commands = ["n", "e", "open window", "enter", "w", "take lamp"]
    shown = play(factory.task("zork1", 0), commands)
    assert shown.score == pytest.approx(10 / 350)
    assert not shown.success
