"""Known traps of drawing n candidates on LangChain and LangGraph, one test each.

Each was seen in another project or in the libraries themselves; the test says what a
user meets here instead.
"""

from __future__ import annotations

import asyncio
import json
import warnings
from typing import Annotated, NotRequired, TypedDict

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import (
    AgentMiddleware,
    AgentState,
    ExtendedModelResponse,
    HumanInTheLoopMiddleware,
    ModelCallLimitMiddleware,
    wrap_model_call,
)
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler, get_usage_metadata_callback
from langchain_core.globals import set_llm_cache
from langchain_core.messages import AIMessageChunk, AnyMessage, HumanMessage
from langchain_core.rate_limiters import InMemoryRateLimiter
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command, interrupt
from pydantic import BaseModel

from langchain_agentrm.chat_models import ChatAgentRM
from langchain_agentrm.middleware import AgentRMMiddleware
from langchain_agentrm.reward_models import FunctionRewardModel
from tests.servers.clients import chat_openai
from tests.servers.openai_server import tool_call

ANSWERS = ["alpha one", "beta two two", "gamma three three three", "delta"]
BEST = "gamma three three three"
STRATEGIES = ["model", "handler"]
ASKED = {"messages": [{"role": "user", "content": "which?"}]}


@tool
def look(where: str) -> str:
    """Look somewhere."""
    return where


@tool
def take(what: str) -> str:
    """Take something."""
    return what


class Word(BaseModel):
    """One word."""

    word: str


class State(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]


@pytest.fixture
def server(openai_server):
    def answer(body, i):
        if (body.get("n") or 1) > 1:
            return ANSWERS[i % 4]
        order = [id(r) for r in openai_server.requests]
        return ANSWERS[order.index(id(body)) % 4]

    openai_server.script.answer = answer
    return openai_server


def longest():
    return FunctionRewardModel(lambda ts: [len(t.turns[-1].action) for t in ts])


def chosen(server, **kwargs):
    return ChatAgentRM(
        policy=chat_openai(server), reward_model=longest(), **{"n": 4, **kwargs}
    )


def agent(server, *extra, strategy="model", tools=(), seed=0, **kwargs):
    ours = AgentRMMiddleware(longest(), n=4, strategy=strategy, seed=seed)
    return create_agent(
        chat_openai(server), list(tools), middleware=[*extra, ours], **kwargs
    )


def graph_of(model):
    def answer(state: State):
        return {"messages": [model.invoke(state["messages"])]}

    builder = StateGraph(State).add_node("answer", answer).add_edge(START, "answer")
    return builder.compile()


# Ways to draw n.


def test_n_by_invoke_returns_the_best_and_not_the_first(server):
    assert chat_openai(server).invoke("which?", n=4).text == ANSWERS[0]
    assert chosen(server, n=2).invoke("which?", n=4).text == BEST


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_n_by_model_settings_is_the_number_of_candidates(server, strategy):
    @wrap_model_call
    def three(request, handler):
        return handler(request.override(model_settings={"n": 3}))

    out = agent(server, three, strategy=strategy).invoke(ASKED)
    assert out["messages"][-1].response_metadata["agentrm"]["n"] == 3
    drawn = sum(r.get("n") or 1 for r in server.requests)
    assert drawn == 3


def test_candidates_are_not_merged_into_one_stream_of_words(server):
    events = list(graph_of(chosen(server)).stream(ASKED, stream_mode="messages"))
    assert "".join(m.text for m, _ in events) == BEST
    assert len({m.id for m, _ in events}) == 1


class Traced(BaseCallbackHandler):
    def __init__(self):
        self.runs = []

    def on_llm_end(self, response, **kwargs):
        self.runs.append(response)


def test_a_call_inside_a_node_is_traced_by_the_graphs_callbacks(server):
    traced = Traced()
    graph_of(chosen(server)).invoke(ASKED, {"callbacks": [traced]})
    assert len(traced.runs) == 1


def test_bound_tools_reach_the_server(server):
    chosen(server).bind_tools([look]).invoke("which?")
    assert server.requests[0]["tools"][0]["function"]["name"] == "look"


@pytest.mark.parametrize("seed", [0, None])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_global_cache_does_not_collapse_the_draws(server, strategy, seed):
    set_llm_cache(InMemoryCache())
    try:
        for _ in range(2):
            out = agent(server, strategy=strategy, seed=seed).invoke(ASKED)
            about = out["messages"][-1].response_metadata["agentrm"]
            assert about["candidates"] == 4
        before = len(server.requests)
        assert chosen(server).invoke("which?").text == BEST
        assert len(server.requests) == before + 1
    finally:
        set_llm_cache(None)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_single_draws_do_not_wait_for_each_other(server, strategy):
    server.script.ignores_n = True
    server.script.latency = 0.1
    agent(server, strategy=strategy).invoke(ASKED)
    assert server.most_in_flight >= 3


def test_the_sync_side_needs_no_event_loop_and_works_inside_one(server, monkeypatch):
    async def inside():
        return chosen(server).invoke("which?")

    assert asyncio.run(inside()).text == BEST

    def refuse(*args, **kwargs):
        raise AssertionError("the sync side asked for an event loop")

    monkeypatch.setattr(asyncio, "run", refuse)
    monkeypatch.setattr(asyncio, "new_event_loop", refuse)
    assert chosen(server).invoke("which?").text == BEST
    assert agent(server).invoke(ASKED)["messages"][-1].text == BEST
    assert agent(server, strategy="handler").invoke(ASKED)["messages"][-1].text == BEST


@pytest.mark.parametrize("refused", [True, False])
def test_one_model_serves_two_event_loops(server, refused):
    server.script.ignores_n = refused
    model = chosen(server)
    for _ in range(2):
        assert asyncio.run(model.ainvoke("which?")).text == BEST


def test_one_cut_off_candidate_does_not_fail_a_structured_request(server):
    server.script.answer = lambda body, i: json.dumps({"word": "x" * (i + 1)})
    server.script.finish_reason = {3: "length"}
    model = chosen(server).with_structured_output(Word, method="json_schema")
    assert model.invoke("which?") == Word(word="xxx")
    assert len(server.requests) == 1


def test_the_winner_is_parsed_although_it_is_not_choice_0(server):
    server.script.answer = lambda body, i: json.dumps({"word": "x" * (i + 1)})
    model = chosen(server).with_structured_output(Word, include_raw=True)
    out = model.invoke("which?")
    assert out["parsed"] == Word(word="xxxx")
    assert out["raw"].additional_kwargs["parsed"] == Word(word="xxxx")


def test_usage_is_counted_once_by_message_callback_and_tracer(server):
    traced = Traced()
    model = chosen(server, all_generations=True)
    with get_usage_metadata_callback() as counted:
        answer = model.invoke("which?", {"callbacks": [traced]})
    per_message = [
        g.message.usage_metadata["total_tokens"]
        for run in traced.runs
        for prompt in run.generations
        for g in prompt
        if g.message.usage_metadata
    ]
    # One word in; two words for each of four.
    assert per_message == [9]
    assert answer.usage_metadata["total_tokens"] == 9
    assert counted.usage_metadata["m"]["total_tokens"] == 9


def test_a_server_that_ignores_n_is_topped_up(server):
    server.script.ignores_n = True
    about = chosen(server).invoke("which?").response_metadata["agentrm"]
    assert (about["n"], about["requests"]) == (4, 4)


def test_the_policys_rate_limiter_is_asked(server):
    asked = []

    class Limit(InMemoryRateLimiter):
        async def aacquire(self, *, blocking=True):
            asked.append(blocking)
            return True

    limit = Limit(requests_per_second=1)
    policy = chat_openai(server, rate_limiter=limit)
    model = ChatAgentRM(policy=policy, reward_model=longest(), n=4)
    asyncio.run(model.ainvoke("which?"))
    assert asked == [True]


def test_a_stream_gives_chunks(server):
    chunks = list(chosen(server).stream("which?"))
    assert {type(c) for c in chunks} == {AIMessageChunk}
    assert sum(bool(c.text) for c in chunks) == 4


def test_traces_name_the_policys_provider_and_model(server):
    params = chosen(server)._get_ls_params(model="other")
    policy = chat_openai(server)
    assert params == policy._get_ls_params(model="other")
    assert params["ls_model_name"] == "other"


# Complaints seen elsewhere.


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_rejected_candidates_do_not_leak_into_the_token_stream(server, strategy):
    events = list(
        agent(server, strategy=strategy).stream(ASKED, stream_mode="messages")
    )
    text = "".join(m.text for m, _ in events)
    assert text == BEST
    assert "alpha" not in text


def test_no_token_is_out_before_the_choice(server):
    order = []

    def score(trajectories):
        order.append("scored")
        return [len(t.turns[-1].action) for t in trajectories]

    ours = AgentRMMiddleware(FunctionRewardModel(score), n=4)
    built = create_agent(chat_openai(server), [], middleware=[ours])
    events = built.stream(ASKED, stream_mode="messages")
    order.extend("token" for _ in events)
    assert order[0] == "scored"
    assert order.count("scored") == 1


def test_messages_survive_a_strict_checkpoint_without_a_warning(server):
    message = chosen(server).invoke("which?")
    strict = JsonPlusSerializer(allowed_msgpack_modules=None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        back = strict.loads_typed(strict.dumps_typed(message))
    assert back == message
    assert type(back) is type(message)
    about = back.response_metadata["agentrm"]
    assert json.loads(json.dumps(about)) == about


def test_what_a_choice_leaves_in_a_checkpoint_is_small(server):
    server.script.answer = lambda body, i: f"answer {i}"
    wide = chosen(server, n=64).invoke("which?")
    size = len(json.dumps(wide.response_metadata["agentrm"]))
    assert size < 1024


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_two_parallel_approvals_are_one_question_and_no_new_sample(server, strategy):
    def answer(body, i):
        if body["messages"][-1]["role"] == "tool":
            return "done"
        both = tool_call("look", '{"where": "hall"}', "call_1")
        both["tool_calls"] += tool_call("take", '{"what": "mug"}', "call_2")[
            "tool_calls"
        ]
        return both

    server.script.answer = answer
    asks = HumanInTheLoopMiddleware({"look": True, "take": True})
    built = agent(
        server,
        asks,
        strategy=strategy,
        tools=[look, take],
        checkpointer=InMemorySaver(),
    )
    config = {"configurable": {"thread_id": "1"}}
    (question,) = built.invoke(ASKED, config)["__interrupt__"]
    assert len(question.value["action_requests"]) == 2
    before = len(server.requests)
    decisions = [{"type": "approve"}, {"type": "reject", "message": "no"}]
    out = built.invoke(Command(resume={"decisions": decisions}), config)
    assert [m.type for m in out["messages"]].count("tool") == 2
    assert len(server.requests) == 2 * before


def test_a_resumed_agent_does_not_sample_a_finished_step_again(server):
    crash = [True]

    @tool
    def fragile(where: str) -> str:
        """Fail the first time."""
        if crash.pop() if crash else False:
            raise SystemError("crashed")
        return where

    def answer(body, i):
        if body["messages"][-1]["role"] == "tool":
            return "done"
        return tool_call("fragile", '{"where": "hall"}')

    server.script.answer = answer
    built = agent(server, tools=[fragile], checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    with pytest.raises(SystemError):
        built.invoke(ASKED, config)
    assert len(server.requests) == 1
    assert built.invoke(None, config)["messages"][-1].text == "done"
    assert len(server.requests) == 2


class Asks(AgentMiddleware):
    """Interrupts before one call of the model."""

    def __init__(self):
        self.calls = iter(range(100))

    def wrap_model_call(self, request, handler):
        if next(self.calls) == 0:
            interrupt("sure?")
        return handler(request)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_an_interrupt_inside_a_draw_is_no_failed_candidate(server, strategy):
    ours = AgentRMMiddleware(longest(), n=4, strategy=strategy)
    built = create_agent(
        chat_openai(server),
        [],
        middleware=[ours, Asks()],
        checkpointer=InMemorySaver(),
    )
    out = built.invoke(ASKED, {"configurable": {"thread_id": "1"}})
    assert {i.value for i in out["__interrupt__"]} == {"sure?"}
    assert [m.type for m in out["messages"]] == ["human"]


class Tagged(AgentState):
    tag: NotRequired[str]


class Tagger(AgentMiddleware):
    """Writes to the state what it saw the model answer."""

    state_schema = Tagged

    def wrap_model_call(self, request, handler):
        response = handler(request)
        update = {"tag": response.result[0].text}
        return ExtendedModelResponse(response, Command(update=update))


def test_an_inner_middlewares_update_is_that_of_the_winner(server):
    ours = AgentRMMiddleware(longest(), n=4)
    inner_last = create_agent(chat_openai(server), [], middleware=[ours, Tagger()])
    for _ in range(5):
        out = inner_last.invoke(ASKED)
        assert out["tag"] == out["messages"][-1].text == BEST


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_listed_last_no_update_of_a_rejected_candidate_is_kept(server, strategy):
    out = agent(server, Tagger(), strategy=strategy).invoke(ASKED)
    assert out["tag"] == out["messages"][-1].text == BEST


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_limit_on_model_calls_counts_steps(server, strategy):
    limit = ModelCallLimitMiddleware(run_limit=1)
    out = agent(server, limit, strategy=strategy).invoke(ASKED)
    assert out["messages"][-1].text == BEST


def test_a_second_question_on_a_thread_starts_at_step_1(server):
    built = agent(server, checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    for _ in range(2):
        out = built.invoke({"messages": [HumanMessage("which?")]}, config)
        assert out["messages"][-1].response_metadata["agentrm"]["step"] == 1
