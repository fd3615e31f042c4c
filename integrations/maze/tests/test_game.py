"""The maze's rules, texts and layouts."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys

import pytest
from langchain_core.messages import AIMessage

from langchain_agentrm.environments.tasks import DEMONSTRATION_SEEDS, SPLIT_SEEDS
from langchain_agentrm.errors import ConfigurationError, UnknownTaskError
from langchain_agentrm.testing._work import counted
from langchain_agentrm.testing.environment import MALFORMED_ACTIONS, random_walk
from langchain_agentrm_maze import MazeEnvironment, MazeFactory, factory, layouts
from langchain_agentrm_maze.environment import STYLES
from langchain_agentrm_maze.expert import demonstrate, expert_action

# Starts of AgentGym's games by number, and what its server shows there.
SHOWN = {
    (0, 1, 1): "There are walls to your left, above you, below you.",
    (2, 1, 3): "There is a wall above you.",
    (9, 1, 11): "There are walls to your right, above you, below you.",
    (10, 2, 3): "There are walls to your right, to your left.",
    (13, 5, 3): "There are walls to your left, below you.",
    (16, 5, 6): "There is a wall above you.",
    (18, 7, 6): "There are walls to your right, to your left.",
    (21, 5, 9): "There are walls to your right, below you.",
    (24, 2, 9): "There are walls to your right, to your left.",
}


def play(*actions, type_="double_t", seed=14, **options):
    env = MazeFactory(**options).make()
    start = env.reset(factory.task(type_, seed))
    return start, env, [env.step(action) for action in actions]


@pytest.mark.parametrize("number", SHOWN)
def test_starts_are_agentgyms(number) -> None:
    seed, row, column = number
    start, _, _ = play(seed=seed)
    assert start.observation == (
        "The goal is at position 8, 6. Your current position is at position "
        f"{row}, {column}. {SHOWN[number]}"
    )
    assert start.goal == "Reach the goal at position 8, 6."
    assert start.step_limit == 50


def test_lmrl_gym_parts_digits_and_ends_the_line() -> None:
    start, _, [shown] = play("move left", seed=9, style="lmrl")
    assert "position 1, 1 1. There are walls" in start.observation
    assert shown.observation == (
        "The goal is at position 8, 6. Your current position is at position 1, 1 0. "
        "There are walls above you, below you.\n"
    )


def test_a_walk_to_the_goal() -> None:
    actions = ["move right", "move right", "move down", "move down", "move down"]
    _, env, seen = play(*actions)
    assert [t.done for t in seen] == [False] * 4 + [True]
    assert seen[1].observation.endswith("position 5, 6. There is a wall above you.")
    assert [t.progress for t in seen] == [0.0] * 4 + [1.0]
    assert (seen[-1].observation, seen[-1].success) == ("Success\n", True)
    assert env.actions() == []
    with pytest.raises(ConfigurationError, match=r"over after 5 .* reset"):
        env.step("move up")


@pytest.mark.parametrize(
    "action", ["move up", "Move right", "right", "move right.", "", "move  right"]
)
def test_a_wall_and_what_is_no_move_change_nothing(action) -> None:
    start, _, [shown] = play(action)
    assert shown.observation == start.observation
    assert shown.info == {"valid": False, "steps": 1}


def test_blanks_around_an_action_do_not_matter() -> None:
    _, env, [shown] = play(" move right\n")
    assert shown.info["valid"] is True
    assert env.key(" move right\n") == "move right"
    assert env.key([{"name": "move right", "args": {}}]) == ""


def test_the_step_limit_ends_in_failure() -> None:
    _, _, seen = play("move up", "move up", "move up", step_limit=3)
    assert [t.done for t in seen] == [False, False, True]
    assert (seen[-1].observation, seen[-1].success) == ("Failure\n", False)


def test_the_goal_as_the_last_action_is_a_success() -> None:
    _, _, seen = play("move down", seed=18, step_limit=1)
    assert (seen[-1].observation, seen[-1].score) == ("Success\n", 1.0)


def test_the_official_grid_has_25_tasks_for_tests_only() -> None:
    tasks = factory.tasks("test", ["double_t"])
    assert [t["seed"] for t in tasks] == list(range(25))
    assert factory.tasks("train", ["double_t"]) == []
    assert len({layouts.open_maze("double_t", i).start for i in range(25)}) == 25
    with pytest.raises(UnknownTaskError, match=r"number 25.*0 to 24"):
        factory.task("double_t", 25)
    with pytest.raises(ConfigurationError, match="Ask for 0 to 0"):
        factory.demonstrations(["double_t"], 1)


@pytest.mark.parametrize("type_", layouts.ALL)
def test_layouts_are_closed_connected_and_solvable(type_) -> None:
    for seed in range(25):
        maze = layouts.open_maze(type_, seed)
        rows = {row for row, _ in maze.open}
        columns = {column for _, column in maze.open}
        assert min(rows) == min(columns) == 1
        assert set(maze.steps) == maze.open
        assert maze.start != maze.goal
        if type_ != "double_t":
            height, width = map(int, type_.split("x"))
            assert (max(rows), max(columns)) == (height - 2, width - 2)
            assert 4 <= maze.steps[maze.start] <= 36
            # One way between each two cells: a tree has one edge less than cells.
            edges = sum(
                (row + 1, column) in maze.open for row, column in maze.open
            ) + sum((row, column + 1) in maze.open for row, column in maze.open)
            assert edges == len(maze.open) - 1


def test_layouts_are_those_of_their_seeds_for_ever() -> None:
    # A change here would silently move tasks between train and test.
    seen = hashlib.sha256()
    for type_ in layouts.ALL:
        for seed in range(10):
            maze = layouts.open_maze(type_, seed)
            shown = (sorted(maze.open), maze.start, maze.goal)
            seen.update(repr(shown).encode())
    assert seen.hexdigest()[:16] == "e8a17c766a42855d"


def test_seeds_of_demonstrations_are_in_no_split() -> None:
    assert not any(set(DEMONSTRATION_SEEDS) & set(s) for s in SPLIT_SEEDS.values())
    shown = factory.demonstrations(["7x7", "9x9"], 2)
    names = ["7x7:10000", "9x9:10000", "7x7:10001", "9x9:10001"]
    assert [t["id"] for t in shown] == names
    with pytest.raises(ConfigurationError, match="5001"):
        factory.demonstrations(["7x7"], 5_001)


@pytest.mark.parametrize("style", STYLES)
def test_the_expert_walks_the_shortest_way(style) -> None:
    made = MazeFactory(style)
    tasks = made.tasks("test", ["double_t"]) + made.tasks("dev", layouts.ALL, 60)
    for task in tasks:
        shown = made.demonstrate(task)
        maze = layouts.open_maze(task["type"], task["seed"])
        assert shown.success
        assert len(shown.steps) == maze.steps[maze.start]
        env = made.make()
        observation = env.reset(task).observation
        for before, action in shown.steps:
            assert before == observation
            observation = env.step(action).observation
        assert json.loads(json.dumps(shown.steps)) == [list(s) for s in shown.steps]


def test_the_expert_goes_on_from_any_cell_and_stops_at_the_limit() -> None:
    env = MazeFactory(step_limit=100).make()
    env.reset(factory.task("9x13", 1))
    random_walk(env, ["move up", "move left"], 20, 0)
    while (action := expert_action(env)) is not None:
        env.step(action)
    assert env.position().cell == env.position().maze.goal
    short = demonstrate(factory.task("9x13", 1), MazeFactory(step_limit=2).make())
    assert len(short.steps) == 2
    assert not short.success


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("move up", "move up"),
        ("Thought: up.\nAction: move up", "move up"),
        ("Thought:\nup\n\nAction:\nmove up", "move up"),
        ("Thought: hm\n\nmove up\n", "move up"),
        ("Action:", None),
        ("", None),
        ("é" * 2049, None),
    ],
)
def test_parse(text, action) -> None:
    assert factory.make().parse(AIMessage(text)) == action


def test_prompts_are_taken_from_a_folder(tmp_path) -> None:
    with pytest.raises(ConfigurationError, match="maze_inst"):
        play(prompts=tmp_path)
    (tmp_path / "instructions").mkdir()
    (tmp_path / "icl_examples").mkdir()
    (tmp_path / "instructions/maze_inst.txt").write_text("Walk.\n")
    assert play(prompts=str(tmp_path))[0].instruction == "Walk."
    bad = tmp_path / "b"
    for name in ("instructions", "icl_examples"):
        (bad / name).mkdir(parents=True)
    (bad / "instructions/maze_inst.txt").write_text("Walk.")
    example = bad / "icl_examples/maze_icl.json"
    example.write_text("[]")
    with pytest.raises(ConfigurationError, match="no list of examples"):
        play(prompts=bad)
    example.write_text(json.dumps([[{"role": "user", "content": "One."}]]))
    start = play(prompts=bad)[0]
    assert start.instruction == "Walk."
    assert start.examples == ({"role": "user", "content": "One."},)


@pytest.mark.parametrize(
    ("options", "why"),
    [({"style": "eto"}, r"'eto'.*'lmrl'"), ({"step_limit": 0}, "no action")],
)
def test_what_cannot_work_is_refused(options, why) -> None:
    with pytest.raises(ConfigurationError, match=why):
        MazeFactory(**options)


def test_tasks_that_do_not_exist_are_refused() -> None:
    for seed in (-1, 1.5, "7"):
        with pytest.raises(UnknownTaskError, match="no seed"):
            factory.task("7x7", seed)
    with pytest.raises(UnknownTaskError, match="'other'"):
        factory.make().reset({**factory.task("7x7", 1), "env": "other"})
    with pytest.raises(UnknownTaskError, match="no group"):
        factory.types("some")
    with pytest.raises(UnknownTaskError, match="'3x3'"):
        layouts.open_maze("3x3", 0)
    with pytest.raises(ConfigurationError, match="no task"):
        MazeEnvironment().actions()


TRACE = """
import random
from langchain_agentrm_maze import factory
from langchain_agentrm.testing.environment import random_walk
for task in factory.tasks("test", factory.types("all"), 24):
    env = factory.make()
    start = env.reset(task)
    print(start, random_walk(env, ["dance"], 50, task["seed"]))
    print(factory.demonstrate(task).steps)
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
        assert done.stdout.count(b"Start(") == 24
        seen.add(done.stdout)
    assert len(seen) == 1


def test_ten_thousand_random_actions() -> None:
    rng = random.Random(0)
    env = factory.make()
    tasks = factory.tasks("train", factory.types("held_in"), 40)
    answered = 0
    while answered < 10_000:
        env.reset(rng.choice(tasks))
        over = False
        while not over:
            text = rng.choice(
                [
                    rng.choice(MALFORMED_ACTIONS),
                    "".join(chr(rng.randrange(0x11_0000)) for _ in range(20)),
                    rng.choice(env.actions()),
                ]
            )
            cell = env.position().cell
            shown = env.step(text)
            assert (env.position().cell != cell) is shown.info["valid"]
            over = shown.done
            answered += 1


def test_forks_and_steps_are_cheap() -> None:
    # Twice the calls that were counted, so that only a change of kind fails.
    env = factory.make()
    env.reset(factory.task("9x13", 400_000))
    random_walk(env, ["dance"], 29, 0)
    assert counted(env.fork)[1] < 10
    spent = steps = 0
    for seed in range(20):
        env.reset(factory.task("9x13", seed))
        walk, calls = counted(random_walk, env, ["dance"], 50, seed)
        spent, steps = spent + calls, steps + len(walk)
    assert spent / steps < 80


def test_importing_the_package_loads_no_numpy_and_no_model() -> None:
    code = (
        "import sys, langchain_agentrm_maze as m; m.factory.tasks('test', None, 3); "
        "sys.exit('numpy' in sys.modules or 'torch' in sys.modules)"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run([sys.executable, "-c", code], env=env, check=False)
    assert done.returncode == 0
