from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import (
    BaseCallbackHandler,
    UsageMetadataCallbackHandler,
)
from langchain_core.globals import set_llm_cache
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.rate_limiters import InMemoryRateLimiter
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.sampling import ChatProposer
from langchain_agentrm.sampling._draws import derive
from langchain_agentrm.testing.scripted import ScriptedPolicy
from langchain_agentrm.types import Batch, Candidate, ProposalRequest
from tests.servers.clients import chat_openai as model
from tests.servers.openai_server import tool_call

MODES = ["sync", "async"]


@tool
def look(where: str) -> str:
    """Look somewhere."""
    return where


def ask(n: int = 4, text: str = "where to", **kwargs: Any) -> ProposalRequest:
    kwargs.setdefault("seed", 7)
    kwargs.setdefault("parent", "root")
    return ProposalRequest(messages=[HumanMessage(text)], n=n, **kwargs)


def propose(
    mode: str, proposer: ChatProposer, *requests: ProposalRequest
) -> Batch[list[Candidate]]:
    if mode == "sync":
        return proposer.propose(requests)
    return asyncio.run(proposer.apropose(requests))


def texts(candidates: list[Candidate]) -> list[str]:
    return [str(c.message.text) for c in candidates]


@pytest.mark.parametrize("mode", MODES)
def test_one_request_with_n_and_seed(openai_server, mode):
    batch = propose(mode, ChatProposer(model(openai_server), temperature=0.7), ask())
    (sent,) = openai_server.requests
    assert (sent["n"], sent["seed"], sent["temperature"]) == (4, 7, 0.7)
    assert texts(batch.items[0]) == [f"answer {i}" for i in range(4)]
    assert batch.usage.requests == 1
    assert (batch.usage.input_tokens, batch.usage.output_tokens) == (2, 8)
    with_usage = [c.message.usage_metadata is not None for c in batch.items[0]]
    assert with_usage == [True, False, False, False]
    assert len({c.message.id for c in batch.items[0]}) == 4
    assert all(c.message.id for c in batch.items[0])
    for c in batch.items[0]:
        assert c.message.response_metadata["model_name"] == "m"
        assert c.message.response_metadata["finish_reason"] == "stop"
        assert (c.parent, c.source, c.error) == ("root", "sampled", None)


@pytest.mark.parametrize("mode", MODES)
def test_requests_of_a_step_run_at_once_and_keep_their_order(openai_server, mode):
    openai_server.script.latency = 0.15
    openai_server.script.answer = lambda body, i: body["messages"][0]["content"]
    requests = [ask(2, text=f"state {i}") for i in range(4)]
    batch = propose(mode, ChatProposer(model(openai_server)), *requests)
    assert openai_server.most_in_flight > 1
    assert [texts(c)[0] for c in batch.items] == [f"state {i}" for i in range(4)]
    assert batch.usage.requests == 4


@pytest.mark.parametrize("mode", MODES)
def test_max_concurrency_holds_over_beams_and_draws(openai_server, mode):
    openai_server.script.latency = 0.05
    openai_server.script.ignores_n = True
    proposer = ChatProposer(model(openai_server), max_concurrency=2)
    batch = propose(mode, proposer, *[ask(3, text=str(i)) for i in range(3)])
    assert [len(c) for c in batch.items] == [3, 3, 3]
    assert openai_server.most_in_flight == 2


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("status", "text"),
    [(400, "Unsupported parameter: '{name}'."), (422, "{name} must be 1")],
)
def test_refused_n_fans_out_and_is_remembered(openai_server, mode, status, text):
    openai_server.script.refuses = {"n"}
    openai_server.script.refusal = text
    openai_server.script.refusal_status = status
    policy = model(openai_server)
    proposer = ChatProposer(policy)
    batch = proposer.propose([ask()]) if mode == "sync" else None
    if batch is None:

        async def twice():
            return await proposer.apropose([ask()]), await proposer.apropose([ask()])

        batch, again = asyncio.run(twice())
    else:
        again = proposer.propose([ask()])
    assert len(batch.items[0]) == len(again.items[0]) == 4
    assert [r.get("n") for r in openai_server.requests] == [4] + [None] * 8
    assert (batch.usage.requests, again.usage.requests) == (5, 4)
    assert batch.usage.output_tokens == 8
    seeds = [r["seed"] for r in openai_server.requests[1:5]]
    assert sorted(seeds) == sorted(derive(7, i) for i in range(4))
    assert len(set(seeds)) == 4
    assert sum(c.message.usage_metadata is not None for c in batch.items[0]) == 1
    assert len({c.message.id for c in batch.items[0]}) == 4


@pytest.mark.parametrize("mode", MODES)
def test_ignored_n_is_topped_up_and_remembered(openai_server, mode):
    openai_server.script.ignores_n = True
    proposer = ChatProposer(model(openai_server))
    batch = propose(mode, proposer, ask())
    assert len(batch.items[0]) == 4
    assert [r.get("n") for r in openai_server.requests] == [4, None, None, None]
    assert (batch.usage.requests, batch.usage.output_tokens) == (4, 8)
    proposer.propose([ask()])
    assert [r.get("n") for r in openai_server.requests[4:]] == [None] * 4


def test_capped_n_is_topped_up_but_not_given_up(openai_server):
    openai_server.script.caps_n = 3
    proposer = ChatProposer(model(openai_server))
    assert len(proposer.propose([ask()]).items[0]) == 4
    assert len(proposer.propose([ask()]).items[0]) == 4
    assert [r.get("n") for r in openai_server.requests] == [4, None, 4, None]


@pytest.mark.parametrize("mode", MODES)
def test_refused_seed_is_dropped_and_remembered(openai_server, mode):
    openai_server.script.refuses = {"seed"}
    proposer = ChatProposer(model(openai_server))
    batch = propose(mode, proposer, ask())
    assert len(batch.items[0]) == 4
    assert [r.get("seed") for r in openai_server.requests] == [7, None]
    assert [r.get("n") for r in openai_server.requests] == [4, 4]
    proposer.propose([ask()])
    assert "seed" not in openai_server.requests[-1]


def test_refused_seed_and_n_both(openai_server):
    openai_server.script.refuses = {"seed", "n"}
    proposer = ChatProposer(model(openai_server))
    assert len(proposer.propose([ask()]).items[0]) == 4
    before = len(openai_server.requests)
    proposer.propose([ask()])
    later = openai_server.requests[before:]
    assert len(later) == 4
    assert not any("seed" in r or "n" in r for r in later)


def test_seeds_can_be_left_alone(openai_server):
    proposer = ChatProposer(model(openai_server).bind(seed=3), seed_requests=False)
    proposer.propose([ask()])
    assert openai_server.requests[0]["seed"] == 3


@pytest.mark.parametrize("mode", MODES)
def test_model_without_n_fans_out(mode):
    seen: list[dict[str, Any]] = []

    class Plain(BaseChatModel):
        @property
        def _llm_type(self):
            return "plain"

        def _generate(self, messages, stop=None, run_manager=None, **kwargs):
            seen.append(kwargs)
            message = AIMessage(f"draw {len(seen)}", id="same")
            return ChatResult(generations=[ChatGeneration(message=message)])

    batch = propose(mode, ChatProposer(Plain(), temperature=1.0), ask(3))
    assert len(seen) == 3
    assert all(k == {} for k in seen)
    assert len({c.message.id for c in batch.items[0]}) == 3
    assert batch.usage.requests == 3
    assert batch.usage.tokens == 0


@pytest.mark.parametrize("mode", MODES)
def test_any_runnable_that_returns_a_message(openai_server, mode):
    chain = RunnableLambda(lambda messages: messages) | model(openai_server)
    batch = propose(mode, ChatProposer(chain), ask(3))
    assert len(batch.items[0]) == 3
    assert [r.get("n") for r in openai_server.requests] == [None] * 3
    assert (batch.usage.requests, batch.usage.output_tokens) == (3, 6)
    assert len({c.message.id for c in batch.items[0]}) == 3


def test_a_retry_wrapper_keeps_retrying(openai_server):
    openai_server.script.fail = [500]
    policy = model(openai_server).with_retry(
        stop_after_attempt=2, wait_exponential_jitter=False
    )
    batch = ChatProposer(policy).propose([ask(1)])
    assert len(batch.items[0]) == 1
    assert len(openai_server.requests) == 2


@pytest.mark.parametrize("mode", MODES)
def test_bound_tools_kwargs_and_stop_reach_the_server(openai_server, mode):
    openai_server.script.answer = lambda b, i: tool_call("look", f'{{"where": "{i}"}}')
    policy = model(openai_server).bind_tools([look]).bind(stop=["END"], n=9)
    batch = propose(mode, ChatProposer(policy.with_config(tags=["mine"])), ask(2))
    (sent,) = openai_server.requests
    assert sent["tools"][0]["function"]["name"] == "look"
    assert (sent["stop"], sent["n"]) == (["END"], 2)
    calls = [c.message.tool_calls[0]["args"] for c in batch.items[0]]
    assert calls == [{"where": "0"}, {"where": "1"}]
    assert all(c.error is None for c in batch.items[0])


class Runs(BaseCallbackHandler):
    def __init__(self) -> None:
        self.started: list[dict[str, Any]] = []
        self.tokens = 0
        self.ended = 0

    def on_chat_model_start(self, serialized, messages, **kwargs):
        self.started.append(kwargs)

    def on_llm_new_token(self, token, **kwargs):
        self.tokens += 1

    def on_llm_end(self, response, **kwargs):
        self.ended += 1


@pytest.mark.parametrize("mode", MODES)
def test_one_run_silent_and_counted_once(openai_server, mode):
    runs, usage = Runs(), UsageMetadataCallbackHandler()
    policy = model(openai_server, callbacks=[runs]).with_config(
        callbacks=[usage], tags=["mine"]
    )
    batch = propose(mode, ChatProposer(policy), ask())
    (start,) = runs.started
    assert start["name"] == "agentrm.sample"
    assert set(start["tags"]) >= {"nostream", "mine"}
    assert start["metadata"]["ls_model_name"] == "m"
    assert (runs.tokens, runs.ended) == (0, 1)
    (counted,) = usage.usage_metadata.values()
    assert counted["total_tokens"] == batch.usage.tokens == 10


def test_ambient_callbacks_of_a_chain_are_used(openai_server):
    runs = Runs()
    proposer = ChatProposer(model(openai_server))
    node = RunnableLambda(lambda _: proposer.propose([ask(2, text="a"), ask(2)]))
    node.invoke(None, {"callbacks": [runs]})
    assert len(runs.started) == 2


@pytest.mark.parametrize("mode", MODES)
def test_a_bound_config_joins_the_ambient_one(openai_server, mode):
    runs, bound = Runs(), Runs()
    policy = model(openai_server).with_config(callbacks=[bound], tags=["mine"])
    proposer = ChatProposer(policy.with_config(metadata={"a": 1}))
    node = RunnableLambda(lambda _: proposer.propose([ask(2)]))

    async def anode(_):
        return await proposer.apropose([ask(2)])

    config = {"callbacks": [runs], "tags": ["theirs"]}
    if mode == "sync":
        node.invoke(None, config)
    else:
        asyncio.run(RunnableLambda(anode).ainvoke(None, config))
    for seen in (runs, bound):
        (start,) = seen.started
        assert start["parent_run_id"] is not None
        assert set(start["tags"]) >= {"mine", "theirs", "nostream"}
        assert start["metadata"]["a"] == 1


@pytest.mark.parametrize(
    "options", [{"use_responses_api": True}, {"reasoning": {"effort": "low"}}]
)
def test_the_responses_api_gets_neither_n_nor_seed(openai_server, options):
    proposer = ChatProposer(model(openai_server, **options))
    assert not proposer._abilities.many
    assert not proposer._abilities.seeds
    assert ChatProposer(model(openai_server))._abilities.many


def test_a_models_own_n_does_not_multiply_single_draws(openai_server):
    openai_server.script.refuses = set()
    batch = ChatProposer(model(openai_server, n=5)).propose([ask(1)])
    assert len(batch.items[0]) == 1
    assert openai_server.requests[0]["n"] == 1


def test_nothing_leaks_into_a_graphs_message_stream(openai_server):
    from langgraph.graph import START, MessagesState, StateGraph

    proposer = ChatProposer(model(openai_server))

    async def node(state):
        batch = await proposer.apropose([ask(3)])
        return {"messages": [batch.items[0][1].message]}

    builder = StateGraph(MessagesState)
    builder.add_node("node", node)
    builder.add_edge(START, "node")
    graph = builder.compile()

    async def collect():
        stream = graph.astream({"messages": [("user", "x")]}, stream_mode="messages")
        return [str(message.text) async for message, _ in stream]

    assert asyncio.run(collect()) == ["answer 1"]


def test_streaming_models_are_drawn_whole(openai_server):
    batch = ChatProposer(model(openai_server, streaming=True)).propose([ask(3)])
    assert len(batch.items[0]) == 3
    assert not openai_server.requests[0].get("stream")


def test_cache_does_not_collapse_draws(openai_server):
    openai_server.script.refuses = {"n"}
    openai_server.script.answer = lambda body, i: f"seed {body['seed']}"
    set_llm_cache(InMemoryCache())
    try:
        proposer = ChatProposer(model(openai_server))
        batch = proposer.propose([ask(4)])
        again = proposer.propose([ask(4)])
    finally:
        set_llm_cache(None)
    assert len(set(texts(batch.items[0]))) == 4
    assert (batch.usage.requests, again.usage.requests) == (5, 4)


@pytest.mark.parametrize("mode", MODES)
def test_draws_see_the_callers_context(mode):
    user = ContextVar("user", default="nobody")
    user.set("me")
    policy = RunnableLambda(lambda _: AIMessage(user.get()))
    batch = propose(mode, ChatProposer(policy), ask(3))
    assert texts(batch.items[0]) == ["me"] * 3


@pytest.mark.parametrize("mode", MODES)
def test_the_policys_rate_limiter_is_asked_for_every_request(openai_server, mode):
    class Counting(InMemoryRateLimiter):
        asked = 0

        def acquire(self, *, blocking=True):
            self.asked += 1
            return True

        async def aacquire(self, *, blocking=True):
            self.asked += 1
            return True

    limiter = Counting()
    openai_server.script.ignores_n = True
    propose(mode, ChatProposer(model(openai_server, rate_limiter=limiter)), ask(3))
    assert limiter.asked == len(openai_server.requests) == 3


def test_greedy_is_one_draw_at_temperature_zero(openai_server):
    proposer = ChatProposer(model(openai_server), temperature=0.9)
    batch = proposer.propose([ask(4, greedy=True)])
    (sent,) = openai_server.requests
    assert sent["temperature"] == 0
    assert "n" not in sent
    assert [c.source for c in batch.items[0]] == ["greedy"]


def test_the_requests_temperature_wins(openai_server):
    ChatProposer(model(openai_server), temperature=0.9).propose(
        [ask(2, temperature=0.2)]
    )
    assert openai_server.requests[0]["temperature"] == 0.2


def test_logprobs_are_summed(openai_server):
    openai_server.script.answer = lambda body, i: "a b c"
    policy = model(openai_server, logprobs=True)
    batch = ChatProposer(policy).propose([ask(2)])
    assert [c.logprob for c in batch.items[0]] == [-1.5, -1.5]
    plain = ChatProposer(model(openai_server)).propose([ask(1)])
    assert plain.items[0][0].logprob is None


def test_two_loops_in_a_row(openai_server):
    openai_server.script.ignores_n = True

    async def once():
        return await proposer.apropose([ask(3)])

    for _ in range(2):
        proposer = ChatProposer(model(openai_server), max_concurrency=1)
        assert len(asyncio.run(once()).items[0]) == 3
    shared = ChatProposer(ScriptedPolicy(answers=["a", "b"]), max_concurrency=1)
    for _ in range(2):
        requests = [ask(2), ask(2)]
        batch = asyncio.run(shared.apropose(requests))
        assert [len(c) for c in batch.items] == [2, 2]


def test_sync_works_inside_a_running_loop(openai_server):
    async def inside():
        return ChatProposer(model(openai_server)).propose([ask(2), ask(2)])

    assert [len(c) for c in asyncio.run(inside()).items] == [2, 2]


def test_same_seed_same_candidates_sync_and_async():
    answers = [f"a{i}" for i in range(9)]
    first = propose("sync", ChatProposer(ScriptedPolicy(answers=answers)), ask(3))
    second = propose("async", ChatProposer(ScriptedPolicy(answers=answers)), ask(3))
    assert texts(first.items[0]) == texts(second.items[0]) == ["a7", "a8", "a0"]


def test_fan_out_does_not_touch_a_fakes_own_messages():
    shared = AIMessage("x", usage_metadata=None)
    policy = RunnableLambda(lambda _: shared)
    batch = ChatProposer(policy).propose([ask(3)])
    assert len({c.message.id for c in batch.items[0]}) == 3
    assert shared.id is None


def test_no_requests_is_an_empty_batch(openai_server):
    assert list(ChatProposer(model(openai_server)).propose([]).items) == []


def test_options_that_cannot_work_are_refused(openai_server):
    with pytest.raises(ConfigurationError, match="max_concurrency is 0"):
        ChatProposer(model(openai_server), max_concurrency=0)
    with pytest.raises(ConfigurationError, match="not a chat model"):
        ChatProposer("gpt")
    with pytest.raises(ConfigurationError, match="n=0"):
        ChatProposer(model(openai_server)).propose([ask(0)])
