"""RewardAgent where any reward model goes: node, graphs, middleware, chat model."""

from __future__ import annotations

import asyncio

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool
from langgraph.graph import END, START, MessagesState, StateGraph

from langchain_agentrm import (
    AgentRMMiddleware,
    AgentRMSelector,
    ChatAgentRM,
    create_beam_search,
    create_best_of_n,
)
from langchain_agentrm.reward_agent import RewardAgent
from langchain_agentrm.reward_models import EnsembleRewardModel
from langchain_agentrm.testing.scripted import (
    ScriptedFactory,
    ScriptedPolicy,
    ScriptedRewardModel,
)
from tests.search.doubles import a_task, game

MODES = ["sync", "async"]


def run(graph, state, mode):
    if mode == "sync":
        return graph.invoke(state)
    return asyncio.run(graph.ainvoke(state))


def grows(trajectory):
    """Checks that the number does not go down."""
    return not trajectory.turns[-1].action.startswith("take")


@pytest.mark.parametrize("kind", ["best-of-n", "beam"])
@pytest.mark.parametrize("mode", MODES)
def test_a_search_takes_it_for_a_reward_model(kind, mode):
    policy, preference, factory = game()
    agent = RewardAgent(preference, [grows])
    graph = (
        create_best_of_n(policy, agent, factory, n=6)
        if kind == "best-of-n"
        else create_beam_search(policy, agent, factory, beam_width=2, expansions=3)
    ).compile()
    out = run(graph, {"task": a_task(ScriptedFactory(), type_="count_far")}, mode)
    assert out["result"]["ended"] == "finished"
    assert 0 <= out["result"]["score"] <= 1
    assert preference.calls
    assert out["result"]["fallbacks"] == []


def short(trajectory):
    """Checks that the answer is short."""
    return len(trajectory.turns[-1].action) < 12


def long_preferred():
    return ScriptedRewardModel(lambda t: float(len(t.turns[-1].action)))


def answers():
    said = ["a long answer, too long", "brief", "a bit more", "x"]
    return ScriptedPolicy(answers=said)


@pytest.mark.parametrize("mode", MODES)
def test_the_selector_chooses_by_verdict_then_preference(mode):
    def choose(reward_model):
        builder = StateGraph(MessagesState)
        AgentRMSelector(answers(), reward_model, expansions=4).add_to(builder, "model")
        builder.add_edge(START, "model")
        builder.add_edge("model", END)
        graph = builder.compile()
        return run(graph, {"messages": [HumanMessage("Say it.")]}, mode)["messages"][-1]

    assert choose(long_preferred()).text == "a long answer, too long"
    assert choose(RewardAgent(long_preferred(), [short])).text == "a bit more"


@pytest.mark.parametrize("mode", MODES)
def test_the_chat_model_chooses_alike(mode):
    model = ChatAgentRM(
        policy=answers(), reward_model=RewardAgent(long_preferred(), [short]), n=4
    )
    asked = [HumanMessage("Say it.")]
    out = model.invoke(asked) if mode == "sync" else asyncio.run(model.ainvoke(asked))
    assert out.text == "a bit more"


def test_the_middleware_keeps_a_bad_tool_call_from_running():
    done = []

    @tool
    def wipe(what: str) -> str:
        """Wipe something."""
        done.append(what)
        return "wiped"

    def answer(messages, rng):
        if messages[-1].type == "tool":
            return "done"
        what = rng.choice(["table", "disk"])
        call = {"name": "wipe", "args": {"what": what}, "id": f"c{rng.random()}"}
        return AIMessage("", tool_calls=[call])

    def harmless(trajectory):
        """Checks that no disk is wiped."""
        return "disk" not in trajectory.turns[-1].action

    prefers_disks = ScriptedRewardModel(lambda t: "disk" in t.turns[-1].action)
    for reward_model, expected in (
        (prefers_disks, ["disk"]),
        (RewardAgent(prefers_disks, [harmless]), ["table"]),
    ):
        done.clear()
        agent = create_agent(
            ScriptedPolicy(answers=answer),
            [wipe],
            middleware=[AgentRMMiddleware(reward_model, n=8)],
        )
        agent.invoke({"messages": [HumanMessage("Tidy up.")]})
        assert done == expected


def test_an_ensemble_may_hold_one():
    agent = RewardAgent(None, [short])
    model = EnsembleRewardModel(
        {"agent": agent, "length": long_preferred()}, how="rank"
    )
    assert model.comparable == "group"
