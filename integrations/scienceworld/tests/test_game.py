"""The simulator behind the environment."""

from __future__ import annotations

import random
import shutil

import pytest

pytest.importorskip("scienceworld", reason="scienceworld is not installed")
if shutil.which("java") is None:
    pytest.skip("ScienceWorld needs java", allow_module_level=True)

import json

from langchain_core.messages import AIMessage

from langchain_agentrm.environments.pool import BranchPool
from langchain_agentrm.errors import (
    ConfigurationError,
    EnvironmentFailedError,
    ReplayMismatchError,
)
from langchain_agentrm.testing.environment import MALFORMED_ACTIONS
from langchain_agentrm_scienceworld import ScienceWorldFactory, catalogue
from langchain_agentrm_scienceworld._jvm import Where
from langchain_agentrm_scienceworld.expert import demonstrate

# The same number in all test files, so that they share one Java process.
SESSIONS = 3
factory = ScienceWorldFactory(sessions=SESSIONS)
# The last one is solved only with the time that opening open doors takes.
SHORT = (
    "find-animal",
    "chemistry-mix-paint-secondary-color",
    "lifespan-longest-lived",
    "identify-life-stages-2",
)


def start(type_, variation=0, made=factory):
    env = made.make()
    env.reset(made.task(type_, variation))
    return env


def test_the_catalogue_has_the_simulators_types() -> None:
    env = start("melt")
    with env.pool.at(env._loaded(), (), lambda *_: None) as session:
        server = session.server
        assert list(server.getTaskNames()) == list(catalogue.ALL)
        for type_, sizes in catalogue.SIZES.items():
            assert server.getTaskMaxVariations(type_) == sizes.total
        assert list(server.getVariationsDev()) == list(range(14, 21))
    assert env.pool.exact


@pytest.mark.slow
def test_the_catalogue_is_the_simulators() -> None:
    pool = factory.make().pool
    for type_, sizes in catalogue.SIZES.items():
        with pool.at(Where(type_, 0, "easy"), (), lambda *_: None) as session:
            server = session.server
            assert list(server.getVariationsTrain()) == list(sizes.split("train"))
            assert list(server.getVariationsDev()) == list(sizes.split("dev"))
            assert list(server.getVariationsTest()) == list(sizes.split("test"))


@pytest.mark.parametrize("type_", SHORT)
def test_the_gold_path_solves_a_task_and_shows_the_same_twice(type_) -> None:
    task = factory.tasks("test", [type_], 1)[0]
    env = factory.make()
    one = demonstrate(task, env)
    start("boil").step("look around")
    two = demonstrate(task, env)
    assert one == two
    assert (one.score, one.success) == (1.0, True)
    assert one.start.observation.startswith("Task Description:")
    assert one.start.goal.startswith("Your task is to ")


def test_progress_is_the_best_raw_score_and_a_wrong_focus_ends_it() -> None:
    env = start("find-animal", 2)
    assert env.step("go to outside").score == env.step("look around").score == 0.25
    wrong = env.fork()
    right = env.step("focus on blue jay")
    assert right.score == right.progress == right.info["raw_score"] > 0.25
    end = wrong.step("focus on agent")
    assert end.info["raw_score"] < 0
    assert (end.done, end.success, end.score) == (True, False, 0.25)
    with pytest.raises(ConfigurationError, match="over after"):
        wrong.step("look around")


def test_the_exploit_is_an_unknown_action() -> None:
    env, other = start("find-animal", 4), start("find-animal", 4)
    for text in ("reset task", "  RESET \n task "):
        answer = env.step(text)
        assert not answer.info["valid"]
        assert answer == other.step("no such action")
    assert "reset task" not in (start("find-animal", 4, listing()).actions() or [])


def listing():
    return ScienceWorldFactory(list_actions=True, step_limit=5, sessions=SESSIONS)


def test_actions_are_listed_only_where_asked_for() -> None:
    assert start("find-animal", 4).actions() is None
    env = start("find-animal", 4, listing())
    listed = env.actions()
    assert "look around" in listed
    assert listed == env.fork().actions()
    # Listing is no move.
    assert env.step("look around") == start("find-animal", 4).step("look around")


def test_a_pending_question_belongs_to_its_branch() -> None:
    env = start("chemistry-mix-paint-secondary-color", 0)
    env.step("teleport to art studio")
    asked = env.step("pick up wood cup")
    assert asked.observation.startswith("Ambiguous request")
    one, two = env.fork(), env.fork()
    cancelled = two.step("look around")
    answered = one.step("1")
    assert not cancelled.info["valid"]
    assert "wood cup" in answered.observation
    assert env.step("1") == answered


def test_forks_share_few_sessions_of_one_process() -> None:
    env = start("find-animal", 4)
    env.step("look around")
    forks = [env.fork() for _ in range(5)]
    before = env.pool.replayed
    forks[0].step("wait1")
    # The first child goes on in its parent's world.
    assert env.pool.replayed == before
    answers = [fork.step("wait1") for fork in forks[1:]]
    assert len(set(map(str, answers))) == 1
    assert len(env.pool._sessions) == SESSIONS
    assert env.pool.processes == 1


def test_a_replay_that_differs_is_noticed() -> None:
    env = start("find-animal", 4)
    env.step("look around")
    fork = env.fork()
    env.step("wait1")
    fork.digests[1] = "something else"
    with pytest.raises(ReplayMismatchError, match="action 1"):
        fork.step("wait1")


def test_a_killed_process_is_replaced_and_shows_the_same() -> None:
    env = start("chemistry-mix-paint-tertiary-color", 1)
    env.step("teleport to art studio")
    # Its cups of paint are what Java lists in any order if it is not told otherwise.
    env.step("look around")
    env.step("wait1")
    same = env.fork().step("look around")
    jvm = env.pool._jvms[0]
    jvm._process.kill()
    jvm._process.wait()
    with pytest.raises(EnvironmentFailedError) as caught:
        env.step("look around")
    assert caught.value.retryable
    assert len(env.actions_taken) == 3
    # The replay in another process is checked against what the first one showed.
    assert env.step("look around") == same
    assert env.pool.processes == 1


def test_malformed_actions_are_answered_as_the_simulator_answers() -> None:
    env = start("boil", 1)
    rng = random.Random(0)
    alone = start("boil", 1)
    for i in range(60):
        text = rng.choice(MALFORMED_ACTIONS)
        if rng.random() < 0.5:
            text = "".join(chr(rng.randrange(32, 0x2FFF)) for _ in range(40))
        transition = env.step(text)
        assert not transition.info["valid"], (i, text)
        assert transition.info["moves"] == 0
    assert env.step("look around").observation == alone.step("look around").observation


def test_a_message_without_action_costs_one_recorded_step() -> None:
    env = start("find-animal", 4)
    answer = env.reject(AIMessage(""))
    assert not answer.info["valid"]
    assert len(env.actions_taken) == len(env.digests) - 1 == 1
    twin = factory.make()
    twin.replay(env.task, env.actions_taken, env.digests)
    assert twin.digests == env.digests


def test_branches_of_a_search_are_rebuilt() -> None:
    task = factory.task("find-animal", 4)
    pool = BranchPool(factory, max_branches=1)
    pool.start("s", "root", task)
    digests = list(pool._live["s", "root"].digests)
    one = pool.step("s", "root", "a", task, [], digests, "look around")
    again = pool.step("s", "root", "b", task, [], digests, "look around")
    assert one == again
    assert pool.replays == 1
    pool.close()


@pytest.mark.slow
def test_agentboards_form_counts_subgoals(tmp_path) -> None:
    labels = tmp_path / "test.jsonl"
    row = {
        "goal": "Find it.",
        "subgoals": ["You move to the (kitchen|hallway)", "no such text"],
        "additional_info": {"env_name": "task-4-find-animal", "var": 4},
    }
    labels.write_text(json.dumps(row) + "\n", encoding="utf-8")
    made = ScienceWorldFactory(form="agentboard", labels=labels)
    [task] = made.tasks("test")
    assert (task["type"], task["seed"]) == ("find-animal", 4)
    assert made.tasks("train") == []
    env = made.make()
    shown = env.reset(task)
    assert (shown.goal, shown.step_limit) == ("Find it.", 30)
    assert shown.observation.startswith("This room is called")
    assert "In your inventory" in shown.observation
    seen = [env.step(f"go to {room}") for room in ("hallway", "kitchen", "nowhere")]
    assert max(x.progress for x in seen) == 0.5
    assert not any(x.success for x in seen)
    env.pool.close()
