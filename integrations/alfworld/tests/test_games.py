"""Generated games, official folders, the splits and the expert."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys

import pytest

from langchain_agentrm.errors import ConfigurationError, UnknownTaskError
from langchain_agentrm.training.demos import DemonstratingFactory
from langchain_agentrm_alfworld import ALFWorldFactory
from langchain_agentrm_alfworld._expert import aim, plan
from langchain_agentrm_alfworld._play import root
from langchain_agentrm_alfworld._tables import scenes, tables
from langchain_agentrm_alfworld._world import World
from langchain_agentrm_alfworld.generate import generate, scene_numbers
from langchain_agentrm_alfworld.speed import measure, measure_expert, measure_native


@pytest.fixture(autouse=True)
def _generated(monkeypatch):
    monkeypatch.delenv("ALFWORLD_DATA", raising=False)


TYPES = tables().types


def test_there_are_120_scenes_and_24_are_unseen() -> None:
    rooms = ("Kitchen", "LivingRoom", "Bedroom", "Bathroom")
    seen = [n for room in rooms for n in scene_numbers(room, unseen=False)]
    unseen = [n for room in rooms for n in scene_numbers(room, unseen=True)]
    assert (len(seen), len(unseen)) == (96, 24)
    assert set(seen) | set(unseen) == set(scenes())
    with pytest.raises(ConfigurationError, match="Cellar"):
        scene_numbers("Cellar", unseen=True)


@pytest.mark.parametrize("type_", TYPES)
def test_the_expert_solves_every_game_of_a_type(type_) -> None:
    lengths = []
    for seed in range(20):
        made = generate(
            type_, seed, unseen=seed % 2 == 1, generation=("move", "put")[seed // 2 % 2]
        )
        world = World(made.content)
        node = root(world)
        assert not node.won
        goal = aim(world)
        assert goal.thing == f"{made.object.lower()}type"
        assert goal.count == (2 if type_ == "pick_two_obj_and_place" else 1)
        commands = plan(world)
        for command in commands:
            node = node.step(command)
            assert node.valid, (seed, command)
        assert node.won, seed
        lengths.append(len(commands))
    assert sorted(lengths)[10] < 30


def test_a_game_is_the_same_whenever_it_is_made_and_differs_from_others() -> None:
    one = generate(TYPES[0], 7)
    assert generate(TYPES[0], 7) == one
    assert generate(TYPES[0], 8).content != one.content
    assert generate(TYPES[0], 7, unseen=True).scene in tables().unseen
    put = generate(TYPES[0], 7, generation="put").content
    assert put["pddl_problem"] == one.content["pddl_problem"]
    assert 'template :: "put {o} in/on {r}"' in put["grammar"]
    assert "(:action help" not in put["pddl_domain"]


def test_unknown_games_are_refused() -> None:
    factory = ALFWorldFactory()
    with pytest.raises(UnknownTaskError, match="'pick_up'"):
        generate("pick_up", 0)
    with pytest.raises(ConfigurationError, match="'lift'"):
        generate(TYPES[0], 0, generation="lift")
    for seed in (-1, 1.5, "7", True):
        with pytest.raises(UnknownTaskError, match="no seed"):
            factory.task(TYPES[0], seed)
    task = factory.task(TYPES[0], 0)
    with pytest.raises(UnknownTaskError, match="no generated game"):
        factory.make().reset({**task, "id": "pick-Apple/trial_1"})
    with pytest.raises(UnknownTaskError, match="'other'"):
        factory.make().reset({**task, "env": "other"})


def test_scenes_of_the_test_split_are_in_no_other() -> None:
    factory = ALFWorldFactory()
    for split, unseen in (("train", False), ("dev", False), ("test", True)):
        for task in factory.tasks(split, limit=24):
            content = factory.options.games().content(task)
            number = int(content["pddl_problem"].split("\n")[0].split("_")[-2])
            assert (number in tables().unseen) is unseen


def test_demonstrations_are_in_no_split_and_can_be_repeated() -> None:
    factory = ALFWorldFactory()
    assert isinstance(factory, DemonstratingFactory)
    tasks = factory.demonstrations(TYPES, 5_000)
    assert len({t["id"] for t in tasks}) == 30_000
    for split in ("train", "dev", "test"):
        ids = {t["id"] for t in factory.tasks(split)}
        assert not ids & {t["id"] for t in tasks}
    with pytest.raises(ConfigurationError, match="5001"):
        factory.demonstrations(TYPES, 5_001)
    shown = factory.demonstrate(tasks[4])
    assert shown is not None
    assert shown.success
    env = factory.make()
    start = env.reset(tasks[4])
    observation = start.observation
    assert start == shown.start
    for before, action in shown.steps:
        assert before == observation
        transition = env.step(action)
        observation = transition.observation
    assert transition.done
    assert transition.score == shown.score == 1.0


@pytest.fixture
def official(tmp_path):
    """A folder laid out as ALFWorld's download, filled with generated games."""
    root_ = tmp_path / "json_2.1.1"
    names = {}
    for split, unseen in (("train", 0), ("valid_seen", 0), ("valid_unseen", 1)):
        for i, type_ in enumerate(TYPES):
            for seed in range(2):
                content = dict(
                    generate(type_, seed, unseen=bool(unseen), generation="put").content
                )
                # As in the download: one of them is not solvable.
                content["solvable"] = not (split == "valid_seen" and i == seed == 0)
                name = f"{type_}-Mug-None-Desk-{i}/trial_{split}_{seed}"
                folder = root_ / split / name
                folder.mkdir(parents=True)
                (folder / "game.tw-pddl").write_text(json.dumps(content))
                names[split, i, seed] = name
    for name in (
        "pick_and_place_with_movable_recep-A-B-C-1/trial_1",
        "pick_and_place_simple-AppleSliced-None-Fridge-1/trial_1",
    ):
        folder = root_ / "train" / name
        folder.mkdir(parents=True)
        (folder / "game.tw-pddl").write_text(json.dumps(content))
    return tmp_path, names


def test_official_games_are_found_where_the_variable_says(official, monkeypatch):
    folder, names = official
    monkeypatch.setenv("ALFWORLD_DATA", str(folder))
    factory = ALFWorldFactory()
    ids = {split: [t["id"] for t in factory.tasks(split)] for split in ("train", "dev")}
    assert len(ids["train"]) == 12
    assert ids["train"][:6] == [names["train", i, 0] for i in range(6)]
    assert len(ids["dev"]) == 11
    assert names["valid_seen", 0, 0] not in ids["dev"]
    task = factory.tasks("test", limit=1)[0]
    assert task["id"] == names["valid_unseen", 0, 0]
    assert factory.task(task["type"], task["seed"]) == task
    start = factory.make().reset(task)
    assert start.goal.startswith("Your task is to: ")
    assert "put OBJECT in/on RECEPTACLE" in start.instruction
    shown = factory.demonstrate(factory.demonstrations(TYPES, 2)[7])
    assert shown.success
    # Generated games stay within reach.
    assert len(ALFWorldFactory(data="generated").tasks("train")) == 30_000


def test_official_games_are_refused_by_name(official, monkeypatch, tmp_path) -> None:
    folder, _ = official
    factory = ALFWorldFactory(data=folder)
    task = factory.tasks("test", limit=1)[0]
    outside = tmp_path / "secret" / "trial"
    outside.mkdir(parents=True)
    (outside / "game.tw-pddl").write_text("{}")
    leak = folder / "json_2.1.1" / "leak"
    leak.mkdir()
    (leak / "game.tw-pddl").write_text("{}")
    for id_ in ("../../secret/trial", "../leak", str(outside), "a/b", "..", ""):
        with pytest.raises(UnknownTaskError, match="no official game"):
            factory.make().reset({**task, "id": id_})
    with pytest.raises(UnknownTaskError, match="seed 1"):
        factory.task(task["type"], 1)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigurationError, match="alfworld-download"):
        ALFWorldFactory(data=tmp_path / "empty").tasks("test")
    with pytest.raises(ConfigurationError, match="13"):
        factory.demonstrations(TYPES, 13)


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_broken_official_game_is_named(official, text) -> None:
    folder, _ = official
    factory = ALFWorldFactory(data=folder)
    task = factory.tasks("test", limit=1)[0]
    path = folder / "json_2.1.1/valid_unseen" / task["id"] / "game.tw-pddl"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=r"game\.tw-pddl is no game file"):
        factory.make().reset(task)


TRACE = """
import random
from langchain_agentrm_alfworld import ALFWorldFactory
from langchain_agentrm.testing.environment import random_walk
for style in ("eto", "agentboard"):
    factory = ALFWorldFactory(style, perturbation=4, data="generated")
    for task in factory.tasks("test", limit=12):
        env = factory.make()
        start = env.reset(task)
        walk = random_walk(env, ["look", "dance"], 20, task["seed"])
        print(start, env.actions_taken, walk)
"""


def test_another_process_with_another_hash_seed_shows_the_same() -> None:
    seen = set()
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", TRACE],
            env={
                **os.environ,
                "PYTHONHASHSEED": hash_seed,
                "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
            },
            capture_output=True,
            check=True,
        )
        assert done.stdout.count(b"Your task is to: ") >= 24
        seen.add(hashlib.sha256(done.stdout).hexdigest())
    assert len(seen) == 1


def test_importing_the_package_loads_no_engine_and_reads_no_game() -> None:
    code = (
        "import sys, langchain_agentrm_alfworld as a; a.factory.make(); "
        "sys.exit(any(m in sys.modules for m in ('textworld', 'alfworld', 'torch')) "
        "or a.factory.tasks.__module__ != 'langchain_agentrm_alfworld.factory')"
    )
    path = os.pathsep.join(p for p in sys.path if p)
    env = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-c", code], env=env, check=False)
    assert done.returncode == 0


def test_what_the_readme_says_is_measured() -> None:
    shown = measure_expert("test", games=12)
    assert (shown["games"], shown["won"]) == (12, 12)
    assert 3 <= shown["median"] <= shown["p90"] <= shown["most"] <= 200
    assert shown["over_40"] <= shown["over_30"]
    assert set(measure(2, 10)) == {
        "reset_ms",
        "steps_per_second_with_list",
        "fork_us",
    }
    assert min(measure_native(2).values()) > 0
