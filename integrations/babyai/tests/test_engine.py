"""The fast text against MiniGrid's own view, and engines shared by many branches."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import threading

import numpy as np
import pytest
from minigrid.envs.babyai.core import roomgrid_level

from langchain_agentrm.testing._work import counted
from langchain_agentrm.testing.environment import random_walk
from langchain_agentrm_babyai import factory, levels
from langchain_agentrm_babyai._engine import new_engine
from langchain_agentrm_babyai._world import World, get_world

WORDS = ("turn left", "turn right", "move forward", "drop", "fly", "open red door 1")


def naive_text(engine) -> str:
    """The observation from MiniGrid's own visibility, cell by cell."""
    _, visible = engine.gen_obs_grid()
    found = []
    for x in range(engine.width):
        for y in range(engine.height):
            thing = engine.grid.get(x, y)
            if thing is None or thing.type == "wall" or not engine.in_view(x, y):
                continue
            if not visible[engine.relative_coords(x, y)]:
                continue
            offset = np.array([x, y]) - engine.agent_pos
            ahead = int(np.dot(offset, engine.dir_vec))
            right = int(np.dot(offset, engine.right_vec))
            found.append((abs(ahead) + abs(right), right, ahead, thing))
    found.sort(key=lambda item: item[:2])
    numbers: dict[str, int] = {}
    parts = []
    for _, right, ahead, thing in found:
        kind = f"{thing.color} {thing.type}"
        numbers[kind] = numbers.get(kind, 0) + 1
        text = f"{kind} {numbers[kind]}"
        if thing.type == "door":
            closed = " locked" if thing.is_locked else " closed"
            text += " open" if thing.is_open else closed
        text += f" ahead {ahead}"
        if right > 0:
            text += f" right {right}"
        elif right < 0:
            text += f" left {-right}"
        parts.append(text)
    held = engine.carrying
    carrying = f"{held.color} {held.type}" if held else "nothing"
    return f"see: {'; '.join(parts) or 'nothing'}. carrying: {carrying}"


@pytest.mark.parametrize("level", levels.ALL)
def test_text_equals_what_minigrid_shows(level) -> None:
    rng = random.Random(level)
    for seed in range(500_000, 500_004):
        world = World(level, seed)
        node = world.root
        assert node.observation == naive_text(world._engine)
        while not node.over:
            listed = [a for a in world.actions(node) if a != "done"]
            action = rng.choice(listed)
            node = world.advance(node, action)
            assert node.valid, (level, seed, action, node.observation)
            world.load(node)
            assert node.observation == naive_text(world._engine)


@pytest.mark.parametrize(
    "level", ["PutNextLocal", "OpenTwoDoors", "PutNextS5N2Carrying"]
)
def test_a_way_is_as_short_as_minigrid_allows(level) -> None:
    # The search is checked against the engine itself: every way is walked there, and
    # ends in front of its target.
    for seed in range(500_000, 500_010):
        world = World(level, seed)
        node = world.root
        for sight in node.sights:
            path = world.reach(node).path(sight.cell)
            if path is None:
                continue
            world.load(node)
            world._loaded = -1
            for move in path:
                world._engine.step(move)
            x, y = world._engine.front_pos
            assert y * world._engine.width + x == sight.cell
            steps = sum(move == 2 for move in path)
            distance = abs(sight.ahead) + abs(sight.right)
            assert steps >= distance - 1


def test_a_world_without_memory_answers_the_same() -> None:
    # Each state is computed anew in an engine of its own that never loads a snapshot of
    # another branch, and compared with a world that jumps between branches.
    for task in factory.tasks("train", [*levels.HELD_IN, *levels.HELD_OUT], 24):
        rng = random.Random(task["id"])
        shared = World(task["type"], task["seed"])
        paths: list[list[str]] = [[]]
        nodes = [shared.root]
        for _ in range(30):
            i = rng.randrange(len(nodes))
            if nodes[i].over:
                continue
            action = rng.choice([*shared.actions(nodes[i]), *WORDS])
            nodes.append(shared.advance(nodes[i], action))
            paths.append([*paths[i], action])
        for path, node in zip(paths[-6:], nodes[-6:], strict=True):
            alone = World(task["type"], task["seed"])
            here = alone.root
            for action in path:
                here = alone.advance(here, action)
            assert here.observation == node.observation
            assert (here.over, here.success) == (node.over, node.success)
            assert alone.actions(here) == shared.actions(node)


def test_what_was_forgotten_is_computed_again(monkeypatch) -> None:
    monkeypatch.setattr("langchain_agentrm_babyai._world._MEMO_SIZE", 2)
    world = World("GoToLocal", 400_000)
    first = world.advance(world.root, "turn left")
    assert world.advance(world.root, "turn left") is first
    for action in ("turn right", "move forward", "fly"):
        world.advance(world.root, action)
    assert len(world._memo) == 2
    again = world.advance(world.root, "turn left")
    assert again is not first
    assert again.observation == first.observation


def test_worlds_are_shared_and_bounded() -> None:
    assert get_world("GoToLocal", 400_000) is get_world("GoToLocal", 400_000)
    first = get_world("GoToLocal", 1)
    for seed in range(2, 60):
        get_world("GoToLocal", seed)
    assert get_world("GoToLocal", 1) is not first


def test_branches_of_one_world_in_many_threads() -> None:
    task = factory.task("PutNextLocal", 400_000)
    alone = []
    for i in range(24):
        env = factory.make()
        env.reset(task)
        alone.append(random_walk(env, WORDS, 12, i))
    root = factory.make()
    # A world of its own, so that nothing is remembered from the walks above.
    root.reset(task)
    root._world = World("PutNextLocal", 400_000)
    root._node = root._world.root
    seen: dict[int, object] = {}

    def walk(i: int) -> None:
        seen[i] = random_walk(root.fork(), WORDS, 12, i)

    threads = [threading.Thread(target=walk, args=(i,)) for i in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [seen[i] for i in range(24)] == alone


TRACE = """
import random
from langchain_agentrm_babyai import factory, levels
from langchain_agentrm.testing.environment import random_walk
for task in factory.tasks("test", levels.ALL, len(levels.ALL)):
    env = factory.make()
    start = env.reset(task)
    walk = random_walk(env, ["turn left", "drop"], 12, task["seed"])
    print(start.goal, start.observation, env.actions_taken, walk)
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
        assert done.stdout.count(b"goal: ") == len(levels.ALL)
        seen.add(hashlib.sha256(done.stdout).hexdigest())
    assert len(seen) == 1


def test_generating_a_task_prints_nothing_and_leaves_others_their_print(capsys) -> None:
    for seed in range(10):
        new_engine("GoToSeqS5R2", seed)
    assert capsys.readouterr().out == ""
    vars(roomgrid_level)["print"]("a user's own line")
    assert capsys.readouterr().out == "a user's own line\n"


def test_importing_the_package_loads_no_minigrid() -> None:
    code = (
        "import sys, langchain_agentrm_babyai as b; b.factory.make(); "
        "b.factory.tasks('test', None, 3); "
        "sys.exit('minigrid' in sys.modules or 'torch' in sys.modules)"
    )
    path = os.pathsep.join(p for p in sys.path if p)
    env = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-c", code], env=env, check=False)
    assert done.returncode == 0


def test_forks_and_steps_are_cheap() -> None:
    # Twice the calls that were counted, so that only a change of kind (a copied engine,
    # a search for each object) fails.
    env = factory.make()
    env.reset(factory.task("PutNextLocal", 400_000))
    env.step("turn left")
    assert counted(env.fork)[1] < 10
    spent = steps = 0
    for task in factory.tasks("train", levels.HELD_IN, 60):
        env = factory.make()
        env.reset(task)
        walk, calls = counted(random_walk, env, WORDS, 12, task["seed"])
        spent, steps = spent + calls, steps + len(walk)
    assert spent / steps < 1_250
