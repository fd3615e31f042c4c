from __future__ import annotations

import asyncio
import json
from typing import Annotated, NotRequired

import httpx
import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import (
    AgentMiddleware,
    AgentState,
    ExtendedModelResponse,
    HumanInTheLoopMiddleware,
    ModelRetryMiddleware,
)
from langchain.agents.middleware.types import PrivateStateAttr
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain.chat_models import init_chat_model
from langchain_core.callbacks import get_usage_metadata_callback
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from openai import RateLimitError
from pydantic import BaseModel

from langchain_agentrm.chat_models import ChatAgentRM
from langchain_agentrm.errors import (
    ConfigurationError,
    NoCandidateError,
    RewardModelError,
    is_retryable,
)
from langchain_agentrm.middleware import AgentRMMiddleware
from langchain_agentrm.reward_models import FunctionRewardModel
from langchain_agentrm.testing.scripted import ScriptedRewardModel
from tests.servers.clients import chat_openai
from tests.servers.openai_server import tool_call
from tests.servers.standard_server import running_standard

STRATEGIES = ["model", "handler"]
MODES = ["sync", "async"]
pytestmark = pytest.mark.filterwarnings(
    "ignore:Pydantic serializer warnings:UserWarning"
)


class Answer(BaseModel):
    """The final answer."""

    word: str


class House:
    """Two tools that record what was done, and a server that proposes doing it."""

    def __init__(self, server):
        self.server = server
        self.done: list[str] = []
        server.script.answer = self.answer

        @tool
        def go_to(place: str) -> str:
            """Go to a place."""
            self.done.append(f"go_to {place}")
            return f"at {place}"

        @tool
        def open_door(door: str) -> str:
            """Open a door."""
            self.done.append(f"open {door}")
            return "open"

        self.tools = [go_to, open_door]

    def answer(self, body, i):
        """Four proposals: two ways to go (one twice), and a door; then an answer."""
        if body["messages"][-1]["role"] == "tool":
            return f"done {'x' * self.index(body, i)}"
        proposals = [
            tool_call("go_to", '{"place": "hall"}', "call_a"),
            tool_call("open_door", '{"door": "red"}', "call_b"),
            tool_call("go_to", '{ "place":"hall" }', "call_c"),
            tool_call("go_to", '{"place": "attic"}', "call_d"),
        ]
        return proposals[self.index(body, i) % 4]

    def index(self, body, i):
        """Number of the draw: the choice, or the request of this step."""
        if (body.get("n") or 1) > 1:
            return i
        said = len(body["messages"])
        same = [r for r in self.server.requests if len(r["messages"]) == said]
        return [id(r) for r in same].index(id(body))

    def agent(self, reward_model=None, *, strategy="model", extra=(), **kwargs):
        kwargs.setdefault("tools", self.tools)
        options = {"n": 4, "strategy": strategy, **kwargs.pop("options", {})}
        ours = AgentRMMiddleware(reward_model or doors(), **options)
        model = kwargs.pop("model", None) or chat_openai(self.server)
        return create_agent(model, middleware=[*extra, ours], **kwargs)


def doors():
    """Prefer doors, then long actions."""
    return FunctionRewardModel(
        lambda ts: [
            100.0 * ("open_door" in t.turns[-1].action) + len(t.turns[-1].action)
            for t in ts
        ]
    )


@pytest.fixture
def house(openai_server):
    return House(openai_server)


ASKED = {"messages": [{"role": "user", "content": "open the red door"}]}


def run(agent, mode, asked=ASKED, config=None, **kwargs):
    if mode == "sync":
        return agent.invoke(asked, config, **kwargs)
    return asyncio.run(agent.ainvoke(asked, config, **kwargs))


def stream(agent, mode, stream_mode, asked=ASKED, config=None):
    if mode == "sync":
        return list(agent.stream(asked, config, stream_mode=stream_mode))

    async def collect():
        return [e async for e in agent.astream(asked, config, stream_mode=stream_mode)]

    return asyncio.run(collect())


# The choice.


@pytest.mark.parametrize("mode", MODES)
def test_one_request_a_step_and_only_the_winner_runs(house, mode):
    out = run(house.agent(), mode)
    assert [m.type for m in out["messages"]] == ["human", "ai", "tool", "ai"]
    assert house.done == ["open red"]
    assert [r["n"] for r in house.server.requests] == [4, 4]
    assert out["messages"][-1].text == "done xxx"
    first, second = (m for m in out["messages"] if isinstance(m, AIMessage))
    about = first.response_metadata["agentrm"]
    assert (about["n"], about["candidates"], about["step"]) == (4, 3, 1)
    assert about["scores"] == sorted(about["scores"], reverse=True)
    assert second.response_metadata["agentrm"]["step"] == 2
    assert json.loads(json.dumps(about)) == about


@pytest.mark.parametrize("mode", MODES)
def test_the_handler_is_called_for_each_candidate(house, mode):
    out = run(house.agent(strategy="handler"), mode)
    assert [m.type for m in out["messages"]] == ["human", "ai", "tool", "ai"]
    assert house.done == ["open red"]
    assert [r.get("n") for r in house.server.requests] == [None] * 8
    about = out["messages"][1].response_metadata["agentrm"]
    assert (about["n"], about["candidates"], about["requests"]) == (4, 3, 4)
    seeds = [r["seed"] for r in house.server.requests]
    assert len(set(seeds)) == 8


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_usage_is_that_of_all_candidates_once(house, mode, strategy):
    with get_usage_metadata_callback() as counted:
        out = run(house.agent(strategy=strategy), mode)
    on_messages = [m.usage_metadata for m in out["messages"] if m.type == "ai"]
    total = sum(u["total_tokens"] for u in on_messages)
    assert total == counted.usage_metadata["m"]["total_tokens"]
    assert [u["output_tokens"] for u in on_messages] == [8, 8]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_scores_are_in_the_custom_stream(house, mode, strategy):
    first, second = stream(house.agent(strategy=strategy), mode, "custom")
    assert (first["event"], first["step"], second["step"]) == ("agentrm.step", 1, 2)
    assert len(first["candidates"]) == 3
    (kept,) = [c for c in first["candidates"] if c["kept"]]
    assert kept["action"] == [{"name": "open_door", "args": {"door": "red"}}]
    assert kept["score"] == max(c["score"] for c in first["candidates"])
    assert sorted(c["votes"] for c in first["candidates"]) == [1, 1, 2]
    assert first["kept"] == [kept["id"]]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_only_the_winner_reaches_the_token_stream(house, mode, strategy):
    events = stream(house.agent(strategy=strategy), mode, "messages")
    said = [m for m, _ in events if m.type in {"ai", "AIMessageChunk"}]
    assert len({m.id for m in said}) == 2
    assert "".join(m.text for m in said) == "done xxx"
    called = [
        c["name"]
        for m in said
        for c in getattr(m, "tool_call_chunks", None) or m.tool_calls
        if c["name"]
    ]
    assert called == ["open_door"]


def test_the_default_strategy_streams_the_winner_word_by_word(house):
    events = stream(house.agent(), "sync", "messages")
    words = [m.text for m, _ in events if m.type == "AIMessageChunk" and m.text]
    assert words == ["done ", "xxx"]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_only_the_winner_is_in_events(house, strategy):
    agent = house.agent(strategy=strategy)

    async def collect():
        return [e async for e in agent.astream_events(ASKED, version="v2")]

    events = asyncio.run(collect())
    words = [
        e["data"]["chunk"].text for e in events if e["event"] == "on_chat_model_stream"
    ]
    assert "".join(words) == ("done xxx" if strategy == "model" else "")


@pytest.mark.filterwarnings("ignore:.*[Bb]eta")
@pytest.mark.filterwarnings("ignore:.*experimental")
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_only_the_winner_is_in_typed_streams(house, strategy):
    run_ = house.agent(strategy=strategy).stream_events(ASKED, version="v3")
    messages = [str(m.text) for m in run_.messages]
    assert "".join(messages) == "done xxx"
    assert len(messages) == 2


def test_parallel_calls_are_one_action(house):
    seen = []

    def score(trajectories):
        seen.append([t.turns[-1].action for t in trajectories])
        return [float("attic" in t.turns[-1].action) for t in trajectories]

    def answer(body, i):
        if body["messages"][-1]["role"] == "tool":
            return "done"
        call = tool_call("go_to", '{"place": "hall"}', "one")
        if i:
            call["tool_calls"] += tool_call("go_to", '{"place": "attic"}', "two")[
                "tool_calls"
            ]
        return call

    house.server.script.answer = answer
    out = house.agent(FunctionRewardModel(score)).invoke(ASKED)
    assert sorted(house.done) == ["go_to attic", "go_to hall"]
    assert len(out["messages"][1].tool_calls) == 2
    assert sorted(map(len, seen)) == [1, 2]
    assert 'go_to({"place": "hall"})\ngo_to({"place": "attic"})' in seen[0]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_malformed_arguments_lose(house, strategy):
    def answer(body, i):
        if body["messages"][-1]["role"] == "tool":
            return "done"
        bad, good = '{"door": "a long door name', '{"place": "hall"}'
        return (
            tool_call("go_to", good)
            if house.index(body, i) == 2
            else tool_call("open_door", bad)
        )

    house.server.script.answer = answer
    house.agent(strategy=strategy).invoke(ASKED)
    assert house.done == ["go_to hall"]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_nothing_valid(house, strategy):
    house.server.script.answer = lambda body, i: tool_call("open_door", '{"door')
    out = house.agent(strategy=strategy).invoke(ASKED)
    assert house.done == []
    last = out["messages"][-1]
    assert last.invalid_tool_calls
    assert last.response_metadata["agentrm"]["fallback"].startswith("no candidate")
    strict = house.agent(strategy=strategy, options={"on_invalid": "raise"})
    with pytest.raises(NoCandidateError, match="malformed arguments"):
        strict.invoke(ASKED)
    (event,) = stream(house.agent(strategy=strategy), "sync", "custom")
    assert event["candidates"][0]["score"] is None


# What the agent had before.


@pytest.mark.parametrize("form", [None, ToolStrategy(Answer), ProviderStrategy(Answer)])
def test_the_request_is_the_agents_own(form):
    """Tools, schema and prompt go out as they would without the middleware."""
    with running_standard() as server:
        house = House(server)
        house.server.script.answer = lambda body, i: (
            tool_call("Answer", '{"word": "x"}')
            if any(t["function"]["name"] == "Answer" for t in body["tools"])
            else '{"word": "x"}'
        )
        model = chat_openai(server)
        options = {"response_format": form, "system_prompt": "Be brief."}
        create_agent(model, house.tools, **options).invoke(ASKED)
        house.agent(**options).invoke(ASKED)
        plain, ours = server.requests
    assert ours.pop("n") == 4
    ours.pop("seed")
    assert ours == plain


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("form", [ToolStrategy(Answer), ProviderStrategy(Answer)])
def test_structured_output(house, mode, strategy, form):
    def answer(body, i):
        word = ["a", "b", "best answer", "c"][house.index(body, i)]
        text = json.dumps({"word": word})
        return tool_call("Answer", text) if body.get("tools") else text

    house.server.script.answer = answer
    agent = house.agent(strategy=strategy, response_format=form, tools=[])
    out = run(agent, mode)
    assert out["structured_response"] == Answer(word="best answer")
    assert out["messages"][1].response_metadata["agentrm"]["candidates"] == 4


@pytest.mark.parametrize("profile", [None, {"structured_output": True}])
def test_the_strategy_of_a_bare_schema_stays_the_same(house, profile):
    house.server.script.answer = lambda body, i: (
        tool_call("Answer", '{"word": "x"}') if body.get("tools") else '{"word": "x"}'
    )
    model = chat_openai(house.server, profile=profile)
    create_agent(model, [], response_format=Answer).invoke(ASKED)
    house.agent(model=model, tools=[], response_format=Answer).invoke(ASKED)
    plain, ours = house.server.requests
    assert ("response_format" in plain) == ("response_format" in ours)
    assert ("response_format" in plain) == (profile is not None)


@pytest.mark.parametrize("form", [ToolStrategy(Answer), ProviderStrategy(Answer)])
def test_an_answer_that_does_not_parse_loses_in_the_handler(house, form):
    def answer(body, i):
        long = '{"wrong": "a much longer answer"}'
        text = '{"word": "x"}' if house.index(body, i) == 3 else long
        return tool_call("Answer", text) if body.get("tools") else text

    house.server.script.answer = answer
    agent = house.agent(strategy="handler", response_format=form, tools=[])
    assert agent.invoke(ASKED)["structured_response"] == Answer(word="x")
    assert len(house.server.requests) == 4


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_approval_is_asked_for_the_chosen_action_only(house, mode, strategy):
    agent = house.agent(
        strategy=strategy,
        extra=[HumanInTheLoopMiddleware({"open_door": True, "go_to": True})],
        checkpointer=InMemorySaver(),
    )
    config = {"configurable": {"thread_id": "1"}}
    out = run(agent, mode, config=config)
    (question,) = out["__interrupt__"]
    (request,) = question.value["action_requests"]
    assert (request["name"], request["args"]) == ("open_door", {"door": "red"})
    assert house.done == []
    sampled = len(house.server.requests)
    go_on = Command(resume={"decisions": [{"type": "approve"}]})
    run(agent, mode, go_on, config)
    assert house.done == ["open red"]
    # The second step's own, and not one more for the first.
    assert len(house.server.requests) == 2 * sampled


class Noted(AgentState):
    note: NotRequired[str]
    secret: NotRequired[Annotated[str, PrivateStateAttr]]


class Notes(AgentMiddleware):
    """Writes down what the model chose, from inside."""

    state_schema = Noted

    def wrap_model_call(self, request, handler):
        response = handler(request)
        (message,) = response.result
        note = message.tool_calls[0]["name"] if message.tool_calls else message.text
        return ExtendedModelResponse(
            response, Command(update={"note": note, "secret": "s"})
        )


def test_state_gets_no_new_key_and_private_state_stays_private(house):
    agent = house.agent(extra=[Notes()], checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    out = agent.invoke(ASKED, config)
    assert set(out) == {"messages", "note"}
    assert set(agent.get_state(config).values) == {"messages", "note", "secret"}


def test_updates_keep_their_shape(house):
    plain = create_agent(chat_openai(house.server), house.tools)
    before = stream(plain, "sync", "updates")
    after = stream(house.agent(), "sync", "updates")
    shape = [{node: sorted(update) for node, update in e.items()} for e in before]
    assert shape == [{n: sorted(update) for n, update in e.items()} for e in after]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_one_candidate_leaves_the_agent_as_it_is(house, strategy):
    create_agent(chat_openai(house.server), house.tools).invoke(ASKED)
    plain = list(house.server.requests)
    house.server.requests.clear()
    out = house.agent(strategy=strategy, options={"n": 1}).invoke(ASKED)
    assert len(house.server.requests) == len(plain) == 2
    assert house.server.requests[0] == plain[0]
    assert "agentrm" not in out["messages"][1].response_metadata


# Failures.


@pytest.mark.parametrize("mode", MODES)
def test_one_failed_draw_of_the_handler(house, mode):
    house.server.script.fail = [200, 500, 200, 200]
    out = run(house.agent(strategy="handler"), mode)
    about = out["messages"][1].response_metadata["agentrm"]
    assert (about["n"], about["requests"]) == (3, 4)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_policys_error_arrives_as_it_was_raised(house, mode, strategy):
    house.server.script.fail = [429] * 4
    with pytest.raises(RateLimitError):
        run(house.agent(strategy=strategy), mode)


def test_retries_around_the_choice(house):
    house.server.script.fail = [500]
    retry = ModelRetryMiddleware(
        max_retries=1, retry_on=is_retryable, initial_delay=0.0, on_failure="error"
    )
    house.agent(extra=[retry]).invoke(ASKED)
    assert house.done == ["open red"]
    assert len(house.server.requests) == 3


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_reward_model_that_is_down(house, strategy):
    down = ScriptedRewardModel(lambda t: 0.0)
    down.error = RewardModelError("It is down.")
    out = house.agent(down, strategy=strategy).invoke(ASKED)
    # The policy's own vote: it proposed the hall twice.
    assert house.done == ["go_to hall"]
    about = out["messages"][1].response_metadata["agentrm"]
    assert (about["score"], about["fallback"]) == (None, "It is down.")
    strict = {"on_reward_error": "raise"}
    with pytest.raises(RewardModelError, match="It is down"):
        house.agent(down, strategy=strategy, options=strict).invoke(ASKED)


def test_what_a_server_refuses_is_remembered_between_steps(house):
    house.server.script.refuses = {"n"}
    house.agent().invoke(ASKED)
    assert [r.get("n") for r in house.server.requests] == [4] + [None] * 8


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_model_that_is_configured_when_it_runs(strategy):
    with running_standard() as server:
        house = House(server)
        model = init_chat_model(
            model_provider="openai",
            base_url=server.url,
            api_key="x",
            max_retries=0,
            http_client=httpx.Client(trust_env=False),
            configurable_fields=("model",),
        )
        agent = house.agent(model=model, strategy=strategy)
        config = {"configurable": {"model": "m"}}
        events = list(agent.stream(ASKED, config, stream_mode="messages"))
    assert house.done == ["open red"]
    assert "".join(m.text for m, _ in events if m.type == "ai") == "done xxx"
    assert {m.type for m, _ in events} == {"ai", "tool"}
    assert len(events) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "n=0"),
        ({"strategy": "best"}, "strategy='best' is unknown. Use 'handler' or 'model'"),
        ({"on_reward_error": "ignore"}, "on_reward_error='ignore'"),
        ({"on_invalid": "drop"}, "on_invalid='drop'"),
        ({"max_concurrency": 0}, "max_concurrency=0"),
    ],
)
def test_options_that_cannot_work(options, message):
    with pytest.raises(ConfigurationError, match=message):
        AgentRMMiddleware(doors(), **options)


def test_a_function_is_no_reward_model():
    with pytest.raises(ConfigurationError, match="FunctionRewardModel"):
        AgentRMMiddleware(len)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_model_that_already_chooses_is_refused(house, strategy):
    chooses = ChatAgentRM(policy=chat_openai(house.server), reward_model=doors())
    with pytest.raises(ConfigurationError, match="chooses by itself"):
        house.agent(model=chooses, strategy=strategy).invoke(ASKED)


def test_a_refused_answer_goes_back_to_the_model(house):
    """All candidates of a step fail to parse: the agent's own repair goes on."""

    def answer(body, i):
        asked_again = body["messages"][-1]["role"] == "tool"
        word = '{"word": "x"}' if asked_again else '{"wrong": 1}'
        return tool_call("Answer", word, f"call_{len(body['messages'])}")

    house.server.script.answer = answer
    for strategy in STRATEGIES:
        agent = house.agent(
            strategy=strategy, response_format=ToolStrategy(Answer), tools=[]
        )
        out = agent.invoke(ASKED)
        assert out["structured_response"] == Answer(word="x")
        assert isinstance(out["messages"][2], ToolMessage)
