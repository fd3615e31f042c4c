from __future__ import annotations

import asyncio

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool

from langchain_agentrm.environments.base import Environment, EnvironmentFactory
from langchain_agentrm.errors import ForkError, UnknownTaskError
from langchain_agentrm.testing.scripted import (
    ScriptedFactory,
    ScriptedPolicy,
    ScriptedRewardModel,
)
from langchain_agentrm.trajectory import Trajectory, Turn


@tool
def look(where: str) -> str:
    """Look somewhere."""
    return where


def path(*actions: str) -> Trajectory:
    return Trajectory(tuple(Turn("seen", a) for a in actions), goal="g")


def test_policy_reads_its_list_in_turn_and_counts():
    policy = ScriptedPolicy(answers=["a", "b"])
    assert [policy.invoke("x").text for _ in range(3)] == ["a", "b", "a"]
    assert policy.calls == 3
    result = policy.generate([[HumanMessage("two words")]], n=3)
    assert [g.text for g in result.generations[0]] == ["b", "a", "b"]
    assert policy.requests[-1]["n"] == 3


def test_policy_with_a_seed_repeats_itself():
    policy = ScriptedPolicy(answers=lambda messages, rng: str(rng.random()))
    first = policy.invoke("x", seed=5).text
    assert policy.invoke("x", seed=5).text == first
    assert policy.invoke("x", seed=6).text != first
    assert policy.invoke("x", seed=6, temperature=0).text != first
    greedy = policy.invoke("x", seed=1, temperature=0).text
    assert policy.invoke("x", seed=2, temperature=0).text == greedy


def test_policy_keeps_the_scripts_messages_apart():
    scripted = AIMessage("", tool_calls=[{"name": "look", "args": {}, "id": "1"}])
    policy = ScriptedPolicy(answers=[scripted])
    answer = policy.invoke("x")
    answer.tool_calls[0]["args"]["where"] = "changed"
    assert scripted.tool_calls[0]["args"] == {}
    assert scripted.usage_metadata is None


def test_policy_records_bound_tools_and_raises_on_demand():
    policy = ScriptedPolicy(answers=["a"])
    policy.bind_tools([look], tool_choice="any").invoke("x", stop=["S"])
    (sent,) = policy.requests
    assert sent["tools"][0]["function"]["name"] == "look"
    assert (sent["tool_choice"], sent["stop"]) == ("any", ["S"])
    policy.error = ConnectionError("down")
    with pytest.raises(ConnectionError, match="down"):
        policy.invoke("x")
    assert policy.calls == 2


def test_reward_model_scores_the_last_action_and_invents_nothing():
    model = ScriptedRewardModel({"a": 0.2, "b": 0.9})
    batch = model.score([path("b", "a"), path("a", "b"), path("c")])
    assert [s.value for s in batch.items] == [0.2, 0.9, None]
    assert "'c'" in (batch.items[2].error or "")
    again = asyncio.run(model.ascore([path("a")]))
    assert again.items[0].value == 0.2
    assert [len(b) for b in model.batches] == [3, 1]
    assert model.calls == 2
    bad = ScriptedRewardModel(lambda trajectory: float("nan")).score([path("a")])
    assert not bad.items[0].ok
    with pytest.raises(TimeoutError):
        ScriptedRewardModel({}, error=TimeoutError()).score([path("a")])


def start(factory: ScriptedFactory) -> Environment:
    env = factory.make()
    env.reset(factory.task("count", 2))  # goal 5
    return env


def test_the_game_is_won_at_its_goal():
    env = start(ScriptedFactory())
    assert env.step("add 3").progress == pytest.approx(0.6)
    refused = env.step("jump")
    assert not refused.info["valid"]
    assert not refused.done
    won = env.step("add 2")
    assert (won.done, won.success, won.score, won.progress) == (True, True, 1.0, 1.0)
    assert won.observation == "The number is 5."


def test_the_game_ends_at_its_step_limit():
    env = start(ScriptedFactory())
    answers = [env.step("take 1") for _ in range(12)]
    assert [a.done for a in answers] == [False] * 11 + [True]
    assert answers[-1].score == 0.0


@pytest.mark.parametrize("fork", ["copy", "replay"])
def test_forks_are_apart_and_logged(fork):
    factory = ScriptedFactory(fork)
    env = start(factory)
    env.step("add 1")
    twin = env.fork()
    assert twin.step("add 2").observation == "The number is 3."
    assert env.step("add 1").observation == "The number is 2."
    asked = [(s.before, s.action) for s in factory.log if not s.replayed]
    assert asked == [((), "add 1"), (("add 1",), "add 2"), (("add 1",), "add 1")]
    replayed = [s.action for s in factory.log if s.replayed]
    assert replayed == (["add 1"] if fork == "replay" else [])
    assert len({s.engine for s in factory.log}) == 2


def test_a_game_that_cannot_fork_says_so():
    env = start(ScriptedFactory("none"))
    with pytest.raises(ForkError, match="beam_width=1"):
        env.fork()
    with pytest.raises(ForkError, match="forbids replay"):
        env.replay(env.task, ["add 1"])


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("add 2", "add 2"),
        (" ADD 2\n", "add 2"),
        ("Thought: far.\nAction: take 1", "take 1"),
        ("dance", "dance"),
        ("", None),
    ],
)
def test_the_games_grammar(text, action):
    assert ScriptedFactory().make().parse(AIMessage(text)) == action


def test_factory_lists_tasks():
    factory = ScriptedFactory()
    assert isinstance(factory, EnvironmentFactory)
    tasks = factory.tasks("test", limit=3)
    assert [t["id"] for t in tasks] == ["count-200", "count_far-200", "count-201"]
    ids = {s: {t["id"] for t in factory.tasks(s)} for s in ("train", "dev", "test")}
    assert not ids["train"] & ids["test"]
    assert not ids["dev"] & ids["test"]
    assert factory.tasks("dev", ["count_far"])[0] == {
        "env": "scripted",
        "type": "count_far",
        "id": "count_far-100",
        "seed": 100,
    }
    with pytest.raises(UnknownTaskError, match="'maze'"):
        factory.task("maze", 1)
    with pytest.raises(UnknownTaskError, match="'nope'"):
        factory.tasks("nope")
    with pytest.raises(UnknownTaskError, match="'maze'"):
        factory.make().reset({"env": "scripted", "type": "maze", "id": "", "seed": 0})
