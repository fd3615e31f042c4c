"""What a search streams: typed events, the winner only, in every stream version."""

from __future__ import annotations

import json
import warnings
from typing import Annotated, get_args

import pytest
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.stream import CustomTransformer
from pydantic import ConfigDict, Discriminator, TypeAdapter, with_config

from langchain_agentrm import events
from langchain_agentrm.events import Event, EventName, is_event
from langchain_agentrm.testing.scripted import (
    ScriptedFactory,
    ScriptedPolicy,
    ScriptedRewardModel,
)
from tests.search.doubles import a_task
from tests.test_graphs import build
from tests.test_selector import agent, ask, by_text, explorer, speller

for _kind in (*get_args(Event), events.CandidateEvent):
    with_config(ConfigDict(extra="forbid", strict=True))(_kind)
EVENT = TypeAdapter(Annotated[Event, Discriminator("event")])


def task():
    return {"task": a_task(ScriptedFactory())}


def plain():
    return agent(ScriptedPolicy(answers=explorer(2)), ScriptedRewardModel(by_text))


GRAPHS = {
    "beam": lambda: (build("beam").compile(), task()),
    "best-of-n": lambda: (build("best-of-n").compile(), task()),
    "conversation": lambda: (speller(), ask("Spell.")),
    "plain": lambda: (plain(), ask()),
}


def told(graph, given):
    return list(graph.stream(given, stream_mode="custom"))


def rejects():
    """A search whose policy writes a message without an action."""
    policy = ScriptedPolicy(answers=["add 1", "", "take 1", "add 2"])
    return told(build("beam", policy, beam_width=2).compile(), task())


@pytest.mark.parametrize("kind", GRAPHS)
def test_every_event_is_of_its_type_and_plain_json(kind):
    found = told(*GRAPHS[kind]())
    assert found
    for event in found:
        assert is_event(event)
        EVENT.validate_python(event)
        assert json.loads(json.dumps(event)) == event


def test_messages_without_an_action_are_told_in_the_same_types():
    for event in rejects():
        EVENT.validate_python(event)


def test_the_check_of_types_finds_what_is_missing_or_too_much():
    event = told(*GRAPHS["beam"]())[0]
    for wrong in ({**event, "more": 1}, {k: event[k] for k in list(event)[:-1]}):
        with pytest.raises(ValueError, match=r"more|task"):
            EVENT.validate_python(wrong)


def test_other_custom_data_is_told_apart():
    names = get_args(EventName)
    assert all(is_event({"event": name}) for name in names)
    assert [name.split(".")[0] for name in names] == ["agentrm"] * 4
    for data in ({"event": "mine"}, {"other": 1}, "agentrm.step", None, [1]):
        assert not is_event(data)


@pytest.mark.parametrize("kind", ["beam", "best-of-n"])
def test_a_search_is_told_in_order_and_whole(kind):
    first, *middle, last = told(*GRAPHS[kind]())
    assert (first["event"], last["event"]) == ("agentrm.start", "agentrm.end")
    assert {e["search"] for e in (first, *middle, last)} == {first["search"]}
    known, owed, steps = {first["root"]}, set(), 0
    for event in middle:
        if event["event"] == "agentrm.step":
            assert not owed
            steps += 1
            assert event["step"] == steps
            assert {c["parent"] for c in event["candidates"]} <= known
            assert event["kept"] == [c["id"] for c in event["candidates"] if c["kept"]]
            owed = set(event["kept"])
        else:
            assert event["node"] in owed
            owed.remove(event["node"])
            known.add(event["node"])
    assert not owed
    assert last["steps"] == steps == last["result"]["steps"]
    assert last["best"] in known


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_v2_parts_are_typed_by_their_mode(mode):
    graph, given = GRAPHS["beam"]()
    options = {"stream_mode": ["custom", "updates", "messages"], "version": "v2"}
    if mode == "sync":
        parts = list(graph.stream(given, **options))
    else:
        parts = [part async for part in graph.astream(given, **options)]
    assert {part["type"] for part in parts} == {"custom", "updates", "messages"}
    assert {part["ns"] for part in parts} == {()}
    custom = [part["data"] for part in parts if part["type"] == "custom"]
    assert [e["event"] for e in custom] == [e["event"] for e in told(*GRAPHS["beam"]())]
    nodes = {n for part in parts if part["type"] == "updates" for n in part["data"]}
    assert nodes == {"start", "select", "step"}


@pytest.mark.parametrize("kind", GRAPHS)
def test_v2_messages_hold_the_winner_alone(kind):
    graph, given = GRAPHS[kind]()
    out = graph.invoke(given)["messages"]
    parts = graph.stream(given, stream_mode="messages", version="v2")
    said = [part["data"][0] for part in parts]
    ours = [m.id for m in said if m.type == "ai"]
    assert ours == [m.id for m in out if m.type == "ai"]


def test_v2_output_carries_interrupts_apart_from_the_value():
    graph = build("beam").compile()
    out = graph.invoke(task(), version="v2")
    assert set(out.value) == {"messages", "result"}
    assert out.interrupts == ()


@pytest.mark.parametrize("kind", GRAPHS)
def test_v3_streams_events_and_the_winner_alone(kind):
    graph, given = GRAPHS[kind]()
    out = graph.invoke(given)["messages"]

    def go():
        with warnings.catch_warnings():
            # Beta in LangGraph: it says so at every call.
            warnings.simplefilter("ignore")
            return graph.stream_events(
                given, version="v3", transformers=[CustomTransformer]
            )

    custom = list(go().extensions["custom"])
    assert [e["event"] for e in custom] == [e["event"] for e in told(graph, given)]
    said = [stream.output.id for stream in go().messages]
    winners = [m.id for m in out if m.type == "ai"]
    assert set(said) <= {m.id for m in out}
    assert [i for i in said if i in winners] == winners


def nested(as_node):
    """A search as a part of someone else's graph."""
    inner = speller()

    def call(state: MessagesState):
        return {"messages": inner.invoke({"messages": state["messages"]})["messages"]}

    builder = StateGraph(MessagesState)
    builder.add_node("search", inner if as_node else call)
    builder.add_edge(START, "search")
    return builder.compile()


@pytest.mark.parametrize("as_node", [True, False])
def test_a_sub_graphs_events_carry_its_namespace(as_node):
    graph = nested(as_node)
    parts = list(
        graph.stream(ask(), stream_mode="custom", subgraphs=True, version="v2")
    )
    kinds = [part["data"]["event"] for part in parts]
    assert kinds[0] == "agentrm.start"
    assert kinds[-1] == "agentrm.end"
    (namespace,) = {part["ns"] for part in parts}
    assert namespace[0].startswith("search:")
    # Without `subgraphs` they stay inside: the outer graph's stream is its own.
    assert list(graph.stream(ask(), stream_mode="custom")) == []
