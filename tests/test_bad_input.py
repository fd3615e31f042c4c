"""Reward models, policies and environments that fail, or answer nonsense."""

from __future__ import annotations

import asyncio
import math

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.graph import END, START, MessagesState, StateGraph

from langchain_agentrm import AgentRMSelector, create_beam_search, create_best_of_n
from langchain_agentrm.errors import (
    EnvironmentFailedError,
    NoCandidateError,
    PolicyError,
    RewardModelError,
    UnknownTaskError,
)
from langchain_agentrm.testing.scripted import (
    ScriptedEnvironment,
    ScriptedFactory,
    ScriptedPolicy,
    ScriptedRewardModel,
)
from langchain_agentrm.types import Batch, Score, Transition
from tests.search.doubles import a_task, closeness, game, pool_of


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    async def soon(seconds):
        del seconds

    monkeypatch.setattr("tenacity.nap.time.sleep", lambda seconds: None)
    monkeypatch.setattr("tenacity.asyncio._portable_async_sleep", soon)


class Flaky(ScriptedRewardModel):
    """Fails a number of times, then works."""

    def __init__(self, scores, error, times):
        super().__init__(scores)
        self.failure, self.times = error, times

    def score(self, trajectories):
        self.error = self.failure if self.calls < self.times else None
        return super().score(trajectories)


class WrongCount(ScriptedRewardModel):
    def score(self, trajectories):
        batch = super().score(trajectories)
        return Batch(list(batch.items)[1:], batch.usage)


def plain(policy, reward_model, **options):
    builder = StateGraph(MessagesState)
    AgentRMSelector(policy, reward_model, expansions=4, **options).add_to(builder, "m")
    builder.add_edge(START, "m")
    builder.add_edge("m", END)
    return builder.compile()


def choose(graph, mode="sync"):
    state = {"messages": [HumanMessage("Go")]}
    out = graph.invoke(state) if mode == "sync" else asyncio.run(graph.ainvoke(state))
    last = out["messages"][-1]
    return last.text, last.response_metadata["agentrm"]


def search(reward_model=None, policy=None, factory=None, task=None, **options):
    parts = game()
    factory = factory or parts[2]
    options = {"beam_width": 2, "expansions": 3, **options}
    builder = create_beam_search(
        policy or parts[0], reward_model or parts[1], factory, **options
    )
    events = []
    for mode, part in builder.compile().stream(
        {"task": task or a_task(factory)}, stream_mode=["custom", "values"]
    ):
        if mode == "custom":
            events.append(part)
        else:
            last = part
    assert len(pool_of(builder)) == 0
    return last["result"], events


VOTED = ["b", "a", "a", "c"]
"""The policy's own order: `a` has two votes."""
SCORES = {"a": 0.1, "b": 0.2, "c": 0.9}


# The reward model.


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize(
    "error", [ConnectionError("gone"), RewardModelError("busy", retryable=True)]
)
def test_one_that_raises_once_is_asked_again(mode, error):
    reward_model = Flaky(SCORES, error, times=1)
    text, meta = choose(plain(ScriptedPolicy(answers=VOTED), reward_model), mode)
    assert (text, meta["fallback"]) == ("c", "")
    assert reward_model.calls == 2


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_one_that_raises_for_good_is_not_asked_again(mode):
    reward_model = Flaky(SCORES, ValueError("no such field"), times=99)
    text, meta = choose(plain(ScriptedPolicy(answers=VOTED), reward_model), mode)
    assert text == "a"
    assert "no such field" in meta["fallback"]
    assert meta["score"] is None
    assert reward_model.calls == 1


def test_one_that_stays_away_is_given_up_after_three_attempts():
    reward_model = Flaky(SCORES, ConnectionError("gone"), times=99)
    text, meta = choose(plain(ScriptedPolicy(answers=VOTED), reward_model))
    assert (text, reward_model.calls) == ("a", 3)
    assert "gone" in meta["fallback"]


def test_nan_for_one_drops_that_one_only():
    scores = {**SCORES, "c": math.nan}
    text, meta = choose(
        plain(ScriptedPolicy(answers=VOTED), ScriptedRewardModel(scores))
    )
    assert (text, meta["fallback"], meta["score"]) == ("b", "", 0.2)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_finite_score_at_all_means_the_policys_order(value):
    reward_model = ScriptedRewardModel(lambda t: value)
    text, meta = choose(plain(ScriptedPolicy(answers=VOTED), reward_model))
    assert text == "a"
    assert repr(value) in meta["fallback"]


def test_another_number_of_scores_than_asked_is_not_used():
    text, meta = choose(plain(ScriptedPolicy(answers=VOTED), WrongCount(SCORES)))
    assert text == "a"
    assert "2 scores for 3 trajectories" in meta["fallback"]


@pytest.mark.parametrize(
    "reward_model",
    [
        ScriptedRewardModel(lambda t: math.nan),
        WrongCount(SCORES),
        Flaky(SCORES, ValueError("x"), 99),
    ],
    ids=["nan", "count", "raises"],
)
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_all_of_these_are_errors_if_the_user_prefers(reward_model, mode):
    graph = plain(ScriptedPolicy(answers=VOTED), reward_model, on_reward_error="raise")
    with pytest.raises(RewardModelError):
        choose(graph, mode)


def test_a_beam_search_marks_each_step_that_went_without_scores():
    reward_model = Flaky(closeness, ValueError("bad step"), times=2)
    result, events = search(reward_model)
    steps = [e for e in events if e["event"] == "agentrm.step"]
    assert ["bad step" in e["fallback"] for e in steps[:3]] == [True, True, False]
    assert len(result["fallbacks"]) == 2
    assert result["success"]


def test_under_aside_a_fallback_step_still_fills_every_slot():
    # Goal 3: `add 3` ends at once and takes no slot, `add 1` and `take 1` go on.
    class Second(ScriptedRewardModel):
        def score(self, trajectories):
            self.error = ValueError("late") if self.calls else None
            return super().score(trajectories)

    policy = ScriptedPolicy(answers=["add 3", "add 1", "take 1", "take 2"])
    factory = ScriptedFactory()
    scores = Second({"add 3": 0.9, "add 1": 0.8, "take 1": 0.1, "take 2": 0.0})
    _, events = search(
        scores,
        policy,
        factory,
        a_task(factory, 204),
        expansions=4,
        finished="aside",
        max_steps=2,
    )
    steps = [e for e in events if e["event"] == "agentrm.step"]
    assert len(steps[1]["kept"]) == 2


def test_best_of_n_without_scores_says_so_and_returns_a_trajectory():
    policy, _, factory = game()
    reward_model = ScriptedRewardModel(closeness, error=ValueError("broken"))
    graph = create_best_of_n(policy, reward_model, factory, n=3).compile()
    result = graph.invoke({"task": a_task(factory)})["result"]
    assert result["score"] is None
    assert "broken" in result["fallbacks"][0]
    assert result["actions"]


def test_best_of_n_without_any_finite_score_says_so():
    policy, _, factory = game()
    graph = create_best_of_n(
        policy, ScriptedRewardModel(lambda t: math.nan), factory, n=3
    ).compile()
    result = graph.invoke({"task": a_task(factory)})["result"]
    assert result["score"] is None
    assert "nan" in result["fallbacks"][0]


def test_a_group_relative_model_scores_finished_beams_again():
    reward_model = ScriptedRewardModel(closeness, comparable="group")
    policy = ScriptedPolicy(answers=["add 3", "add 1", "take 1", "take 2"])
    factory = ScriptedFactory()
    search(reward_model, policy, factory, a_task(factory, 204), expansions=4)
    again = [t.turns[-1].action for t in reward_model.batches[1] if len(t.turns) == 1]
    assert again == ["add 3"]
    assert len({t.group for t in reward_model.batches[1]}) == 1


# The policy.


def test_one_failure_of_several_keeps_the_rest():
    count = iter(range(100))

    def sometimes(messages, rng):
        del messages, rng
        if next(count) == 1:
            raise TimeoutError
        return "add 1"

    # Without the field `n` in force the proposer sends single requests.
    policy = ScriptedPolicy(answers=sometimes, ignores_n=True)
    text, meta = choose(plain(policy, ScriptedRewardModel({"add 1": 0.5})))
    assert (text, meta["votes"]) == ("add 1", 3)


def test_a_policy_that_always_fails_is_an_error_that_names_it():
    policy = ScriptedPolicy(answers=["a"], error=ValueError("no such model"))
    with pytest.raises(PolicyError, match="no such model"):
        choose(plain(policy, ScriptedRewardModel(SCORES)))


def test_empty_candidates_lose_to_any_that_holds_an_action():
    policy = ScriptedPolicy(answers=["", "  ", "a", ""])
    assert choose(plain(policy, ScriptedRewardModel(SCORES)))[0] == "a"


def test_only_empty_candidates_are_an_error_with_a_remedy():
    policy = ScriptedPolicy(answers=["", " "])
    with pytest.raises(NoCandidateError, match="Check the policy's prompt"):
        choose(plain(policy, ScriptedRewardModel(SCORES)))


def test_all_candidates_equal_are_one_with_all_votes():
    reward_model = ScriptedRewardModel(SCORES)
    text, meta = choose(plain(ScriptedPolicy(answers=["a"]), reward_model))
    assert (text, meta["votes"], meta["candidates"]) == ("a", 4, 1)
    assert [len(b) for b in reward_model.batches] == [1]


def test_a_beam_without_any_action_ends_invalid():
    result, _ = search(policy=ScriptedPolicy(answers=["", " "]))
    assert (result["ended"], result["steps"]) == ("invalid", 1)
    assert not result["success"]
    assert result["score"] is None


class Strict(ScriptedEnvironment):
    """Answers a message without action with a format error."""

    def parse(self, message):
        action = super().parse(message)
        return action if action in self.actions() else None

    def on_invalid(self, message):
        return Transition(f"Error: {message.text!r} is no action.")


class StrictFactory(ScriptedFactory):
    def make(self):
        return Strict(self._shared)


@pytest.mark.parametrize("fork", ["copy", "replay"])
def test_an_environment_may_answer_what_does_not_parse_which_costs_a_step(fork):
    def learns(messages, rng):
        told = str(messages[-1].text).startswith("Error")
        return rng.choice(["add 1", "add 2"]) if told else "hm"

    factory = StrictFactory(fork)
    result, events = search(
        policy=ScriptedPolicy(answers=learns), factory=factory, max_steps=2
    )
    assert result["ended"] == "max_steps"
    assert result["actions"][0] is None
    assert result["actions"][1].startswith("add")
    seen = [e["observation"] for e in events if e["event"] == "agentrm.transition"]
    assert seen[0] == "Error: 'hm' is no action."


@pytest.mark.parametrize("kind", [create_beam_search, create_best_of_n])
def test_an_inadmissible_action_goes_to_the_engine_whose_answer_is_read(kind):
    policy, reward_model, factory = game()
    policy = ScriptedPolicy(answers=["fly away"])
    reward_model = ScriptedRewardModel(lambda t: 0.5)
    out = (
        kind(policy, reward_model, factory, max_steps=1)
        .compile()
        .invoke({"task": a_task(factory)})
    )
    assert out["messages"][-1].text.startswith("Unknown action 'fly away'")


# The environment.


class Broken(ScriptedEnvironment):
    def _step(self, action):
        if len(self.actions_taken) == 1:
            raise OSError("engine died")
        return super()._step(action)


class BrokenFactory(ScriptedFactory):
    def make(self):
        return Broken(self._shared)


@pytest.mark.parametrize("kind", [create_beam_search, create_best_of_n])
def test_an_engine_that_raises_names_task_cause_and_remedy(kind):
    policy, reward_model, _ = game()
    factory = BrokenFactory()
    graph = kind(policy, reward_model, factory).compile()
    with pytest.raises(
        EnvironmentFailedError,
        match=r"'scripted' raised OSError in step of task 'count-203': engine died.*"
        r"resumed",
    ):
        graph.invoke({"task": a_task(factory)})


@pytest.mark.parametrize("kind", [create_beam_search, create_best_of_n])
def test_an_unknown_task_is_named_before_anything_is_asked(kind):
    policy, reward_model, factory = game()
    task = {**a_task(factory), "type": "juggle"}
    with pytest.raises(UnknownTaskError, match="juggle"):
        kind(policy, reward_model, factory).compile().invoke({"task": task})
    assert policy.calls == 0


def test_a_score_is_either_a_number_or_an_error():
    assert Score.of(0.5).ok
    assert not Score.of(math.nan).ok
    assert Score.of(math.inf).error == "the reward model returned inf"


def test_a_tool_call_without_text_is_an_action():
    call = AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": "1"}])
    policy = ScriptedPolicy(answers=[call])
    builder = plain(policy, ScriptedRewardModel({"f({})": 0.5}))
    assert choose(builder)[1]["score"] == 0.5
