"""The selector as a plain node, and as the router of a conversation's beams."""

from __future__ import annotations

import itertools
import json

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

from langchain_agentrm import AgentRMSelector, BeamState, StepInput
from langchain_agentrm.budgets import Budget
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.state import observe
from langchain_agentrm.testing.scripted import ScriptedPolicy, ScriptedRewardModel

RAN: list[str] = []


@tool
def look(where: str) -> str:
    """Look somewhere."""
    RAN.append(where)
    return f"{where}: nothing"


@pytest.fixture(autouse=True)
def _nothing_ran():
    RAN.clear()


def calls(*where):
    made = [
        {"name": "look", "args": {"where": w}, "id": f"policy-{i}"}
        for i, w in enumerate(where)
    ]
    return AIMessage("", tool_calls=made)


def explorer(steps):
    """Look around `steps` times, somewhere else each time, then answer."""

    def answer(messages, rng):
        seen = 0
        for message in reversed(messages):
            if isinstance(message, HumanMessage):
                break
            seen += isinstance(message, ToolMessage)
        if seen >= steps:
            return f"done {rng.randrange(3)}"
        return calls(f"{seen}{rng.choice('abc')}")

    return answer


def by_text(trajectory):
    return sum(map(ord, trajectory.turns[-1].action)) % 997 / 997


def agent(policy, reward_model, *, checkpointer=None, tools=True, **options):
    builder = StateGraph(MessagesState)
    options.setdefault("expansions", 6)
    selector = AgentRMSelector(policy, reward_model, **options)
    selector.add_to(builder, "model")
    builder.add_edge(START, "model")
    if tools:
        builder.add_node("tools", ToolNode([look]))
        builder.add_conditional_edges("model", tools_condition)
        builder.add_edge("tools", "model")
    else:
        builder.add_edge("model", END)
    return builder.compile(checkpointer=checkpointer)


def ask(text="Find it."):
    return {"messages": [HumanMessage(text, id="h")]}


async def run(graph, state, mode, config=None):
    if mode == "sync":
        return graph.invoke(state, config)
    return await graph.ainvoke(state, config)


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_a_loop_of_several_tool_steps_runs_only_what_was_chosen(mode):
    policy = ScriptedPolicy(answers=explorer(3))
    out = (await run(agent(policy, ScriptedRewardModel(by_text)), ask(), mode))[
        "messages"
    ]
    kinds = [m.type for m in out]
    assert kinds == ["human", *["ai", "tool"] * 3, "ai"]
    chosen = [m.tool_calls[0]["args"]["where"] for m in out[:-1] if m.type == "ai"]
    assert chosen == RAN
    assert out[-1].text.startswith("done")


async def test_sync_and_async_give_the_same_messages():
    policy = ScriptedPolicy(answers=explorer(2))
    graph = agent(policy, ScriptedRewardModel(by_text))
    one = graph.invoke(ask())["messages"]
    other = (await graph.ainvoke(ask()))["messages"]
    kept = [
        (m.id, m.text, getattr(m, "tool_calls", None)) for m in one if m.type == "ai"
    ]
    assert kept == [
        (m.id, m.text, getattr(m, "tool_calls", None)) for m in other if m.type == "ai"
    ]


def test_the_highest_scored_candidate_wins_whatever_its_place_in_the_batch():
    scores = {"a": 0.1, "b": 0.9, "c": 0.5}
    for order in itertools.permutations(scores):
        policy = ScriptedPolicy(answers=list(order))
        graph = agent(policy, ScriptedRewardModel(scores), tools=False)
        last = graph.invoke(ask())["messages"][-1]
        assert (last.text, last.response_metadata["agentrm"]["score"]) == ("b", 0.9)


def test_every_winner_has_message_and_tool_call_ids_of_its_own():
    def same(messages, rng):
        if sum(m.type == "tool" for m in messages) >= 6:
            return "done"
        return calls("here", "there")

    out = agent(ScriptedPolicy(answers=same), ScriptedRewardModel(by_text)).invoke(
        ask()
    )["messages"]
    ids = [m.id for m in out]
    assert len(set(ids)) == len(ids)
    asked = [c["id"] for m in out if m.type == "ai" for c in m.tool_calls]
    assert len(asked) == 6
    assert len(set(asked)) == 6
    assert [m.tool_call_id for m in out if m.type == "tool"] == asked


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_max_steps_is_exact(limit):
    policy = ScriptedPolicy(answers=explorer(10**6))
    out = agent(policy, ScriptedRewardModel(by_text), max_steps=limit).invoke(ask())[
        "messages"
    ]
    assert len(RAN) == limit
    assert policy.calls == limit
    assert out[-1].response_metadata["agentrm"]["ended"] == "max_steps"
    assert not out[-1].tool_calls


def test_max_steps_counts_anew_for_a_second_question_on_a_thread():
    graph = agent(
        ScriptedPolicy(answers=explorer(1)),
        ScriptedRewardModel(by_text),
        max_steps=2,
        checkpointer=InMemorySaver(),
    )
    config = {"configurable": {"thread_id": "t"}}
    graph.invoke({"messages": [("user", "one")]}, config)
    out = graph.invoke({"messages": [("user", "one")]}, config)["messages"]
    assert [m.type for m in out] == ["human", "ai", "tool", "ai"] * 2
    assert all(m.text.startswith("done") for m in (out[3], out[7]))
    ids = [m.id for m in out]
    assert len(set(ids)) == len(ids)


def test_usage_of_all_candidates_is_counted_once_on_the_winner():
    policy = ScriptedPolicy(answers=["one two", "three four"])
    graph = agent(policy, ScriptedRewardModel(by_text), expansions=4, tools=False)
    last = graph.invoke(ask("Where to now?"))["messages"][-1]
    assert policy.calls == 1
    # Three words in and four answers of two words out, in one request.
    assert last.usage_metadata["input_tokens"] == 3
    assert last.usage_metadata["output_tokens"] == 8
    meta = last.response_metadata["agentrm"]
    assert (meta["requests"], meta["policy_tokens"], meta["candidates"]) == (1, 11, 2)
    assert meta["votes"] == 2
    json.dumps(meta)


def test_the_custom_stream_tells_candidates_and_who_was_kept():
    policy = ScriptedPolicy(answers=["a", "b"])
    reward_model = ScriptedRewardModel({"a": 0.2, "b": 0.7})
    graph = agent(policy, reward_model, tools=False)
    (event,) = graph.stream(ask(), stream_mode="custom")
    json.dumps(event)
    rated = {c["action"]: (c["score"], c["kept"]) for c in event["candidates"]}
    assert event["event"] == "agentrm.step"
    assert rated == {"a": (0.2, False), "b": (0.7, True)}


def test_no_discarded_candidate_is_streamed_as_output():
    policy = ScriptedPolicy(answers=["loser", "winner"])
    reward_model = ScriptedRewardModel({"loser": 0.2, "winner": 0.7})
    graph = agent(policy, reward_model, tools=False)
    parts = [m for m, _ in graph.stream(ask(), stream_mode="messages")]
    assert "winner" in "".join(m.text for m in parts)
    assert "loser" not in "".join(m.text for m in parts)


def test_the_greedy_draw_is_one_of_the_draws():
    policy = ScriptedPolicy(answers=["greedy", "x", "y"])
    scores = ScriptedRewardModel({"greedy": 0.5, "x": 0.55, "y": 0.4})
    agent(policy, scores, tools=False, include_greedy=True, expansions=3).invoke(ask())
    asked = sorted((r.get("temperature", 1), r.get("n") or 1) for r in policy.requests)
    assert asked == [(0.0, 1), (1, 2)]


@pytest.mark.parametrize(
    ("margin", "winner"), [(0.0, "x"), (0.04, "x"), (0.2, "greedy")]
)
def test_another_action_must_beat_the_greedy_one_by_the_margin(margin, winner):
    policy = ScriptedPolicy(answers=["greedy", "x", "y"])
    scores = ScriptedRewardModel({"greedy": 0.5, "x": 0.55, "y": 0.4})
    graph = agent(
        policy, scores, tools=False, include_greedy=True, margin=margin, expansions=5
    )
    assert graph.invoke(ask())["messages"][-1].text == winner


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"beam_width": 2}, "next_node"),
        ({"expansions": 0}, "expansions=0"),
        ({"beam_width": 0}, "beam_width=0"),
        ({"max_steps": 0}, "max_steps=0"),
        ({"margin": 0.1}, "include_greedy=True"),
    ],
)
def test_options_that_cannot_work_are_refused(options, named):
    with pytest.raises(ConfigurationError, match=named):
        AgentRMSelector(
            ScriptedPolicy(answers=["a"]), ScriptedRewardModel(by_text), **options
        )


def test_a_policy_that_is_no_model_is_refused():
    with pytest.raises(ConfigurationError, match="BaseChatModel"):
        AgentRMSelector("gpt", ScriptedRewardModel(by_text))


def test_add_to_refuses_a_static_edge_beside_its_own_routes():
    builder = StateGraph(BeamState)
    builder.add_edge("select", END)
    selector = AgentRMSelector(
        ScriptedPolicy(answers=["a"]), ScriptedRewardModel(by_text), next_node="act"
    )
    with pytest.raises(ConfigurationError, match="both would run"):
        selector.add_to(builder)


def test_no_human_message_is_refused():
    graph = agent(
        ScriptedPolicy(answers=["a"]), ScriptedRewardModel(by_text), tools=False
    )
    with pytest.raises(ConfigurationError, match="No human message"):
        graph.invoke({"messages": []})


# A beam search over a conversation, with the user's own step node.


def letters(messages, rng):
    del messages
    return rng.choice("abcd")


def spelled(trajectory):
    """Prefer the word `dad`, letter by letter."""
    word = "".join(t.action for t in trajectory.turns)
    return sum(a == b for a, b in zip(word, "dad", strict=False)) / 3


def speller(*, stop=True, checkpointer=None, **options):
    def act(state: StepInput):
        payload = state["step"]
        word = "".join([*payload["actions"], payload["node"]["action"]])
        done = stop and len(word) == 3
        return observe(payload, word, done=done, success=word == "dad")

    builder = StateGraph(BeamState)
    options = {"beam_width": 2, "expansions": 8, "next_node": "act", **options}
    AgentRMSelector(
        ScriptedPolicy(answers=letters), ScriptedRewardModel(spelled), **options
    ).add_to(builder)
    builder.add_node("act", act, input_schema=StepInput)
    builder.add_edge(START, "select")
    builder.add_edge("act", "select")
    return builder.compile(checkpointer=checkpointer)


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_beams_over_a_conversation_leave_only_the_winner(mode):
    out = await run(speller(), ask("Spell."), mode)
    assert [m.text for m in out["messages"]] == [
        "Spell.", "d", "d", "a", "da", "d", "dad",
    ]  # fmt: skip
    assert out["result"]["actions"] == ["d", "a", "d"]
    assert out["result"]["success"]
    assert out["result"]["ended"] == "finished"
    assert out["search"] is None
    assert (out["nodes"], out["beams"]) == ({}, [])


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_a_search_that_never_finishes_ends_by_max_steps_exactly(limit):
    result = speller(stop=False, max_steps=limit).invoke(ask())["result"]
    assert (result["steps"], result["ended"]) == (limit, "max_steps")
    assert len(result["actions"]) == limit


@pytest.mark.parametrize("limit", ["requests", "tokens"])
def test_a_search_that_never_finishes_ends_by_its_budget(limit):
    graph = speller(stop=False, max_steps=10**6, budget=Budget(**{limit: 40}))
    result = graph.invoke(ask())["result"]
    assert result["ended"] == f"budget:{limit}"
    spent = result["totals"]
    reached = spent["requests"] if limit == "requests" else spent["policy_tokens"]
    assert reached >= 40
    assert result["steps"] < 40


def test_a_second_question_on_one_thread_is_a_search_of_its_own():
    graph = speller(checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "t"}}
    first = graph.invoke({"messages": [("user", "Spell.")]}, config)
    second = graph.invoke({"messages": [("user", "Again.")]}, config)
    assert second["result"]["search"] != first["result"]["search"]
    assert second["result"]["actions"] == ["d", "a", "d"]
    assert second["result"]["steps"] == 3
    assert [m.text for m in second["messages"][7:]] == [
        "Again.", "d", "d", "a", "da", "d", "dad",
    ]  # fmt: skip
    ids = [m.id for m in second["messages"]]
    assert len(set(ids)) == len(ids)
