"""What an episode shows and how it is scored."""

from __future__ import annotations

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
from langchain_agentrm_pddl import PDDLFactory, factory
from langchain_agentrm_pddl._pddl import problem_text
from langchain_agentrm_pddl.domains import DOMAINS
from langchain_agentrm_pddl.environment import PDDL, STYLES
from langchain_agentrm_pddl.expert import demonstrate, expert_action
from langchain_agentrm_pddl.generate import generate

TWO_BLOCKS = """(define (problem two) (:domain blocksworld-4ops) (:objects b1 b2 b3)
(:init (arm-empty) (on-table b1) (on b2 b1) (clear b2) (on-table b3) (clear b3))
(:goal (and (on b1 b2) (on b2 b3))))"""

TWO_WHEELS = """(define (problem two) (:domain tyreworld)
(:objects wrench jack pump - tool hub1 - hub nut1 - nut boot - container r1 - wheel)
(:init (in jack boot) (in pump boot) (in wrench boot) (in r1 boot) (intact r1)
 (not-inflated r1) (closed boot) (unlocked boot))
(:goal (and (inflated r1) (closed boot))))"""


@pytest.fixture
def problems(tmp_path):
    for domain, text in (("blockworld", TWO_BLOCKS), ("tyreworld", TWO_WHEELS)):
        (tmp_path / domain).mkdir()
        (tmp_path / domain / "p01.pddl").write_text(text)
        more = problem_text(DOMAINS[domain], generate(domain, 5))
        (tmp_path / domain / "p02.pddl").write_text(more)
    return tmp_path


def play(folder, domain, *actions, style="agentrm", **options):
    made = PDDLFactory(style, problems=folder, **options)
    env = made.make()
    start = env.reset(made.task(domain, 0))
    return start, env, [env.step(action) for action in actions]


def test_a_start_in_our_words(problems) -> None:
    start, env, _ = play(problems, "blockworld")
    assert start.goal == "Goal: b1 stands on b2; b2 stands on b3."
    assert start.observation == (
        "Towers, lowest block first: b1 < b2; b3. The arm is empty."
    )
    assert start.step_limit == 30
    assert "unstack BLOCK FROM" in start.instruction
    assert env.actions() == ["pickup b3", "unstack b2 b1"]


def test_progress_is_the_best_share_of_the_goal_after_an_action(problems) -> None:
    actions = ["unstack b2 b1", "stack b2 b3", "unstack b2 b3", "dance", "stack b2 b3"]
    _, _, seen = play(problems, "blockworld", *actions)
    assert [t.progress for t in seen] == [0.0, 0.5, 0.5, 0.5, 0.5]
    assert [t.info["valid"] for t in seen] == [True, True, True, False, True]
    assert not any(t.done or t.success for t in seen)


def test_the_goal_ends_the_episode(problems) -> None:
    actions = ["unstack b2 b1", "stack b2 b3", "pickup b1", "stack b1 b2"]
    _, env, seen = play(problems, "blockworld", *actions)
    assert [t.done for t in seen] == [False, False, False, True]
    assert (seen[-1].success, seen[-1].score) == (True, 1.0)
    assert env.actions() == []
    with pytest.raises(ConfigurationError, match=r"over after 4 .* reset"):
        env.step("putdown b1")


def test_what_holds_at_first_counts_only_after_an_action(problems) -> None:
    # AgentBoard begins at 0 and looks at the goal after actions that change something.
    _, _, seen = play(problems, "tyreworld", "dance", "open boot", "close boot")
    assert [t.progress for t in seen] == [0.0, 0.0, 0.5]


@pytest.mark.parametrize(
    ("action", "why"),
    [
        ("fly", "that is no action of this task."),
        ("", "that is no action of this task."),
        ("stack b1 b1", "that action cannot be done with these things."),
        ("stack b1", "that action cannot be done with these things."),
        ("pickup table", "that action cannot be done with these things."),
        ("pickup b1", "that is not possible now. It needs: nothing stands on b1."),
        (
            "putdown b3",
            "that is not possible now. It needs: the arm holds b3.",
        ),
    ],
)
def test_refusals_say_why(problems, action, why) -> None:
    start, _, [shown] = play(problems, "blockworld", action)
    assert shown.observation == f"Nothing changes: {why} {start.observation}"
    assert shown.info == {"valid": False, "steps": 1}


def test_an_action_without_effect_is_no_valid_one() -> None:
    env = factory.make()
    env.reset(factory.task("barman", 400_000))
    env.step("grasp left shaker1")
    shown = env.step("clean-shaker left right shaker1")
    assert shown.observation.startswith("Nothing changes: it is so already.")
    assert shown.info["valid"] is False
    assert "clean-shaker left right shaker1" not in env.actions()


@pytest.mark.parametrize(
    "text",
    [
        "unstack b2 b1",
        "Unstack b2 from b1.",
        "UNSTACK  b2,b1",
        "please unstack block b2 from block b1 now",
        "unstack(b2, b1)",
        "unstack b2 b1 b3",
    ],
)
@pytest.mark.parametrize("style", STYLES)
def test_actions_are_read_word_by_word(problems, text, style) -> None:
    _, env, [shown] = play(problems, "blockworld", text, style=style)
    assert shown.info["valid"] is True
    assert ("holding", "b2") in env.position().state


def test_agentboards_texts(problems) -> None:
    start, env, seen = play(
        problems,
        "tyreworld",
        "open boot",
        "fetch pump boot",
        "jack-up the hub hub1.",
        "please check",
        "now look around",
        "close",
        "fetch pump boot",
        "close wrench boot",
        "close boot",
        style="agentboard",
    )
    assert start.goal == (
        "The goal is to satisfy the following conditions: Wheel r1 is inflated., "
        "boot is closed."
    )
    assert start.observation.startswith("Boot is closed. Boot is unlocked. Jack is in")
    assert "look around" in start.instruction
    texts = [t.observation for t in seen]
    assert texts[0] == "Boot is open."
    assert texts[1] == "You have pump."
    invalid = "The action is not valid and therefore takes no effect. Please "
    assert texts[2].startswith(f"{invalid}check valid actions.")
    assert texts[3].startswith("Valid actions are: Close boot., Fetch jack from boot.")
    assert texts[3].endswith(", check valid actions, look around")
    assert texts[4].startswith("Boot is open. Boot is unlocked. Jack is in boot.")
    assert texts[5].startswith(f"{invalid}check")
    assert texts[6].startswith(f"{invalid}remember to satisfy the restriction")
    assert texts[7].startswith(f"{invalid}remember")
    assert texts[8] == "Boot is closed."
    assert [t.info["valid"] for t in seen] == [
        *(True, True, False, True, True, False, False, False, True)
    ]
    assert env.actions()[-2:] == ["check valid actions", "look around"]


def test_agentboard_says_that_the_goal_is_reached(problems) -> None:
    actions = ["unstack b2 b1", "stack b2 b3", "pickup b1", "stack b1 b2"]
    _, _, seen = play(problems, "blockworld", *actions, style="agentboard")
    assert seen[-1].observation.endswith("Your arm is empty. The goal is satisfied.")


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("domain", DOMAINS)
def test_every_listed_action_is_read_back(style, domain) -> None:
    made = PDDLFactory(style)
    rng = random.Random(domain)
    for task in made.tasks("dev", [domain], 5):
        env = made.make()
        env.reset(task)
        over = False
        while not over:
            for action in env.actions():
                shown = env.fork().step(action)
                # AgentBoard lists cleaning what is clean, and then refuses it.
                assert shown.info["valid"] or "clean-shaker" in action, action
            over = env.step(rng.choice(env.actions())).done


def test_equal_states_have_equal_texts_and_others_do_not() -> None:
    for domain in DOMAINS:
        seen = {}
        env = factory.make()
        for i in range(6):
            env.reset(factory.task(domain, 400_000))
            random_walk(env, ["dance"], 25, i)
            env.reset(factory.task(domain, 400_000))
            over, rng = False, random.Random(i)
            while not over:
                shown = env.step(rng.choice(env.actions()))
                state = env.position().state
                assert seen.setdefault(shown.observation, state) == state
                over = shown.done
        assert len(set(seen.values())) == len(seen) > 20


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("pickup b1", "pickup b1"),
        ("Thought: hm.\nAction: pickup b1", "pickup b1"),
        (" Action:\n pickup b1\n", "pickup b1"),
        ("action: a\nmore\nAction: b", "b"),
        ("hm\n\npickup b1\n", "pickup b1"),
        ("Action:", None),
        ("", None),
        ("é" * 2049, None),
    ],
)
def test_parse(text, action) -> None:
    assert factory.make().parse(AIMessage(text)) == action


def test_equal_keys() -> None:
    env = factory.make()
    assert env.key("Pick up ball1, at rooma. ") == env.key("pick up ball1 at rooma")
    assert env.key([{"name": "pick", "args": {}}]) == ""


def test_official_problems_are_the_test_split(problems) -> None:
    made = PDDLFactory(problems=problems)
    tasks = made.tasks("test", ["blockworld", "tyreworld"])
    assert [t["id"] for t in tasks] == [
        "blockworld:p01",
        "tyreworld:p01",
        "blockworld:p02",
        "tyreworld:p02",
    ]
    assert made.task("blockworld", 100_000)["id"] == "blockworld:100000"
    env = made.make()
    env.reset(tasks[2])
    assert env.position().world.problem.init == generate("blockworld", 5).init
    with pytest.raises(UnknownTaskError, match="Use 0 to 1"):
        made.task("blockworld", 2)
    with pytest.raises(UnknownTaskError, match="no blockworld problem number 7"):
        made.make().reset({**tasks[0], "seed": 7})
    with pytest.raises(ConfigurationError, match=r"no problem files barman/\*\.pddl"):
        made.tasks("test", ["barman"])


def test_seeds_of_demonstrations_are_in_no_split() -> None:
    assert not any(set(DEMONSTRATION_SEEDS) & set(s) for s in SPLIT_SEEDS.values())
    shown = factory.demonstrations(["gripper", "barman"], 3)
    assert [t["id"] for t in shown[:3]] == [
        "gripper:10000",
        "barman:10000",
        "gripper:10001",
    ]
    with pytest.raises(ConfigurationError, match="5001"):
        factory.demonstrations(["gripper"], 5_001)


@pytest.mark.parametrize("style", STYLES)
def test_the_expert_solves_generated_problems(style) -> None:
    made = PDDLFactory(style)
    for task in made.demonstrations(list(DOMAINS), 5):
        shown = made.demonstrate(task)
        assert shown.success, task["id"]
        env = made.make()
        observation = env.reset(task).observation
        for before, action in shown.steps:
            assert before == observation
            observation = env.step(action).observation
        assert env.position().best == shown.score
        assert json.loads(json.dumps(shown.steps)) == [list(s) for s in shown.steps]


def test_the_expert_goes_on_from_any_state() -> None:
    env = factory.make()
    env.reset(factory.task("gripper", 400_001))
    env.step("move rooma roomb")
    while (action := expert_action(env)) is not None:
        assert env.step(action).info["valid"]
    assert env.position().best == 1.0
    short = PDDLFactory(step_limit=2)
    shown = demonstrate(short.task("gripper", 400_001), short.make())
    assert len(shown.steps) == 2
    assert not shown.success


def test_prompts_are_taken_from_a_folder(problems, tmp_path) -> None:
    prompts = tmp_path / "prompt"
    (prompts / "instructions").mkdir(parents=True)
    (prompts / "icl_examples").mkdir()
    with pytest.raises(ConfigurationError, match="pddl_blockworld_inst"):
        play(problems, "blockworld", prompts=prompts)
    (prompts / "instructions/pddl_blockworld_inst.txt").write_text("Stack blocks.\n")
    start, _, _ = play(problems, "blockworld", prompts=prompts)
    assert start.instruction == "Stack blocks."
    example = prompts / "icl_examples/pddl_tyreworld_icl.json"
    (prompts / "instructions/pddl_tyreworld_inst.txt").write_text("Change wheels.")
    example.write_text(json.dumps([[{"role": "user", "content": "One."}]]))
    start = play(problems, "tyreworld", prompts=prompts)[0]
    assert start.instruction == "Change wheels."
    assert start.examples == ({"role": "user", "content": "One."},)
    (prompts / "instructions/pddl_gripper_inst.txt").write_text("Carry.")
    (prompts / "icl_examples/pddl_gripper_icl.json").write_text("{}")
    env = PDDLFactory(prompts=prompts).make()
    with pytest.raises(ConfigurationError, match="no list of examples"):
        env.reset(factory.task("gripper", 400_000))


@pytest.mark.parametrize(
    ("options", "why"),
    [({"style": "eto"}, r"'eto'.*'agentboard'"), ({"step_limit": 0}, "no action")],
)
def test_what_cannot_work_is_refused(options, why) -> None:
    with pytest.raises(ConfigurationError, match=why):
        PDDLFactory(**options)


def test_tasks_that_do_not_exist_are_refused() -> None:
    for seed in (-1, 1.5, "7"):
        with pytest.raises(UnknownTaskError, match="no seed"):
            factory.task("gripper", seed)
    with pytest.raises(UnknownTaskError, match="'other'"):
        factory.make().reset({**factory.task("gripper", 1), "env": "other"})
    with pytest.raises(UnknownTaskError, match="no group"):
        factory.types("some")
    with pytest.raises(ConfigurationError, match="no task"):
        PDDL().actions()


TRACE = """
import random
from langchain_agentrm_pddl import PDDLFactory
from langchain_agentrm_pddl.expert import demonstrate
from langchain_agentrm.testing.environment import random_walk
for style in ("agentrm", "agentboard"):
    made = PDDLFactory(style)
    for task in made.tasks("test", limit=8):
        env = made.make()
        start = env.reset(task)
        print(start, random_walk(env, ["check", "look around"], 30, task["seed"]))
        print(demonstrate(task, made.make()).steps)
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
        assert done.stdout.count(b"Start(") == 16
        seen.add(done.stdout)
    assert len(seen) == 1


@pytest.mark.parametrize("style", STYLES)
def test_ten_thousand_random_actions(style) -> None:
    made = PDDLFactory(style)
    rng = random.Random(0)
    env = made.make()
    tasks = made.tasks("train", list(DOMAINS), 40)
    words = ["pick", "ball1", "rooma", "open", "boot", "b1", "stack", "\x00", "left"]
    answered = 0
    while answered < 10_000:
        env.reset(rng.choice(tasks))
        over = False
        while not over:
            text = rng.choice(
                [
                    " ".join(rng.choices(words, k=4)),
                    rng.choice(MALFORMED_ACTIONS),
                    "".join(chr(rng.randrange(0x11_0000)) for _ in range(20)),
                    rng.choice(env.actions()),
                ]
            )
            before = env.position()
            shown = env.step(text)
            changed = env.position().state != before.state
            assert changed <= shown.info["valid"]
            over = shown.done
            answered += 1


def test_a_fork_is_untouched_by_fifty_other_steps() -> None:
    env, other = factory.make(), factory.make()
    env.reset(factory.task("barman", 400_001))
    env.step("grasp left shot1")
    kept = env.fork()
    for i in range(2):
        other.reset(factory.task("gripper", 400_000 + i))
        random_walk(other, ["dance"], 25, i)
    walked = env.fork()
    first = random_walk(walked, ["dance"], 20, 5)
    assert random_walk(kept, ["dance"], 20, 5) == first


def test_forks_and_steps_are_cheap() -> None:
    # Twice the calls that were counted, so that only a change of kind fails.
    env = factory.make()
    env.reset(factory.task("barman", 400_000))
    random_walk(env, ["dance"], 29, 0)
    assert counted(env.fork)[1] < 10
    spent = steps = 0
    for task in factory.tasks("train", list(DOMAINS), 20):
        env.reset(task)
        env.actions()
        walk, calls = counted(random_walk, env, ["dance"], 30, task["seed"])
        spent, steps = spent + calls, steps + len(walk)
    assert spent / steps < 350


def test_importing_the_package_loads_no_planner_and_no_model() -> None:
    code = (
        "import sys, langchain_agentrm_pddl as p; p.factory.tasks('test', None, 3); "
        "sys.exit('langchain_agentrm_pddl.expert' in sys.modules or "
        "'torch' in sys.modules)"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run([sys.executable, "-c", code], env=env, check=False)
    assert done.returncode == 0
