from __future__ import annotations

import asyncio
import json

import pytest
from langchain_core.callbacks import BaseCallbackHandler, get_usage_metadata_callback
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    HumanMessage,
    SystemMessage,
)
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.rate_limiters import InMemoryRateLimiter
from langchain_core.tools import tool
from openai import RateLimitError
from pydantic import BaseModel, ValidationError

from langchain_agentrm.chat_models import ChatAgentRM
from langchain_agentrm.errors import (
    ConfigurationError,
    NoCandidateError,
    RewardModelError,
    is_retryable,
)
from langchain_agentrm.reward_models import FunctionRewardModel
from langchain_agentrm.search import derive_seed
from langchain_agentrm.testing.scripted import ScriptedPolicy, ScriptedRewardModel
from langchain_agentrm.trajectory import Trajectory
from langchain_agentrm.types import Batch, Score
from tests.servers.clients import chat_openai
from tests.servers.openai_server import tool_call
from tests.servers.standard_server import running_standard

MODES = ["sync", "async"]
WORDS = ["no", "yes please", "yes", "well maybe"]


@tool
def look(where: str) -> str:
    """Look somewhere."""
    return where


class Plan(BaseModel):
    """What to do."""

    step: str
    count: int


class Recorder:
    """A reward model that prefers the action with the most of a letter."""

    resolution = 0.0
    comparable = "global"

    def __init__(self, letter="e", resolution=0.0):
        self.letter, self.resolution = letter, resolution
        self.seen: list[list[Trajectory]] = []

    def score(self, trajectories):
        self.seen.append(list(trajectories))
        scores = [t.turns[-1].action.count(self.letter) for t in trajectories]
        return Batch([Score.of(float(s)) for s in scores])

    async def ascore(self, trajectories):
        return self.score(trajectories)

    @property
    def actions(self):
        return [t.turns[-1].action for t in self.seen[-1]]


def chosen(server, reward_model=None, **kwargs):
    kwargs.setdefault("n", 4)
    policy = kwargs.pop("policy", None) or chat_openai(server)
    return ChatAgentRM(policy=policy, reward_model=reward_model or Recorder(), **kwargs)


def ask(mode, model, *args, **kwargs):
    if mode == "sync":
        return model.invoke(*args, **kwargs)
    return asyncio.run(model.ainvoke(*args, **kwargs))


def pieces(mode, model, *args, **kwargs):
    if mode == "sync":
        return list(model.stream(*args, **kwargs))

    async def collect():
        return [c async for c in model.astream(*args, **kwargs)]

    return asyncio.run(collect())


@pytest.fixture
def words(openai_server):
    openai_server.script.answer = lambda body, i: WORDS[i % len(WORDS)]
    return openai_server


@pytest.fixture
def standard():
    with running_standard() as server:
        yield server


def without(body, *names):
    return {k: v for k, v in body.items() if k not in names}


# The choice.


@pytest.mark.parametrize("mode", MODES)
def test_the_best_of_one_request(words, mode):
    reward_model = Recorder()
    with get_usage_metadata_callback() as counted:
        answer = ask(mode, chosen(words, reward_model), "Shall we?")
    (sent,) = words.requests
    assert sent["n"] == 4
    assert answer.text == "yes please"
    assert answer.response_metadata["agentrm"] == {
        "score": 3.0,
        "rank": 0,
        "n": 4,
        "votes": 1,
        "scores": [3.0, 2.0, 1.0, 0.0],
        "candidates": 4,
        "step": 1,
        "requests": 1,
        "policy_tokens": 10,
        "reward_tokens": 0,
        "fallback": "",
    }
    assert json.loads(json.dumps(answer.response_metadata))["model_name"] == "m"
    assert answer.response_metadata["finish_reason"] == "stop"
    assert answer.usage_metadata["output_tokens"] == 8
    assert counted.usage_metadata["m"]["total_tokens"] == 10
    assert len(reward_model.seen) == 1


def test_equal_answers_are_scored_once(words):
    words.script.answer = lambda body, i: ["yes", "no", " yes\n", "yes"][i]
    reward_model = Recorder()
    about = chosen(words, reward_model).invoke("?").response_metadata["agentrm"]
    assert sorted(reward_model.actions) == ["no", "yes"]
    assert (about["votes"], about["candidates"], about["n"]) == (3, 2, 4)


def test_below_the_resolution_votes_decide(words):
    words.script.answer = lambda body, i: ["three", "tree", "tree", "no"][i]
    close = FunctionRewardModel(
        lambda ts: [len(t.turns[-1].action) / 1000 for t in ts], resolution=0.01
    )
    assert chosen(words, close).invoke("?").text == "tree"
    apart = FunctionRewardModel(lambda ts: [len(t.turns[-1].action) for t in ts])
    assert chosen(words, apart).invoke("?").text == "three"


def test_the_trajectories_are_those_of_from_messages(words):
    reward_model = Recorder()
    said = [
        SystemMessage("Be brief."),
        HumanMessage("Where is the mug?"),
        AIMessage(
            "", tool_calls=[{"name": "look", "args": {"where": "hall"}, "id": "1"}]
        ),
        {"role": "tool", "content": "nothing here", "tool_call_id": "1"},
    ]
    bound = chosen(words, reward_model).bind_tools([look])
    bound.invoke(said)
    seen = reward_model.seen[0][0]
    expected = Trajectory.from_messages(
        chosen(words)._convert_input(said).to_messages(), AIMessage("no")
    )
    assert (seen.turns, seen.goal, seen.instruction) == (
        expected.turns,
        expected.goal,
        expected.instruction,
    )
    assert seen.tools[0]["function"]["name"] == "look"
    assert len({(t.search_id, t.group) for t in reward_model.seen[0]}) == 1
    bound.invoke(said[:2])
    assert reward_model.seen[1][0].search_id == seen.search_id
    assert reward_model.seen[1][0].group != seen.group


def test_a_conversation_without_a_user(words):
    answer = chosen(words).invoke([SystemMessage("Say yes."), AIMessage("Well?")])
    assert answer.text == "yes please"


def test_n_by_call(words):
    model = chosen(words, n=2)
    assert model.invoke("?", n=4).response_metadata["agentrm"]["n"] == 4
    assert model.bind(n=3).invoke("?").response_metadata["agentrm"]["n"] == 3
    assert [r["n"] for r in words.requests] == [4, 3]
    with pytest.raises(ConfigurationError, match=r"n=0 .* at least 1"):
        model.invoke("?", n=0)
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        chosen(words, n=0)


@pytest.mark.parametrize("mode", MODES)
def test_one_candidate_passes_straight_through(standard, mode):
    reward_model = Recorder()
    plain = chat_openai(standard)
    alone = ChatAgentRM(policy=plain, reward_model=reward_model, n=1)
    asked = ask(mode, alone, "?", temperature=0.3)
    assert asked.text == ask(mode, plain, "?", temperature=0.3).text
    assert "agentrm" not in asked.response_metadata
    streamed = pieces(mode, alone, "?")
    assert len(streamed) == len(pieces(mode, plain, "?"))
    one, two, three, four = standard.requests
    assert (one, three) == (two, four)
    assert three["stream"] is True
    assert reward_model.seen == []


def test_one_candidate_of_a_policy_that_cannot_stream():
    policy = ScriptedPolicy(answers=["as it is"])
    alone = ChatAgentRM(policy=policy, reward_model=Recorder(), n=1)
    assert "".join(c.text for c in alone.stream("?")) == "as it is"
    assert "".join(c.text for c in pieces("async", alone, "?")) == "as it is"


# Seeds.


def test_seeds_derive_from_run_seed_and_conversation(words):
    chosen(words).invoke("one")
    chosen(words).invoke("one")
    chosen(words).invoke("two")
    chosen(words, seed=1).invoke("one")
    chosen(words).invoke("one", seed=1)
    chosen(words, seed=None).invoke("one")
    a, b, c, d, e, none = (r.get("seed") for r in words.requests)
    assert a == b
    assert d == e
    assert len({a, c, d}) == 3
    assert none is None
    assert a < 2**31
    assert a != derive_seed(0, "")


# Failures.


def test_a_reward_model_that_is_down(words):
    words.script.answer = lambda body, i: ["a", "b", "b", "c"][i]
    down = ScriptedRewardModel(lambda t: 0.0)
    down.error = RewardModelError("It is down.")
    answer = chosen(words, down).invoke("?")
    assert answer.text == "b"
    about = answer.response_metadata["agentrm"]
    assert (about["score"], about["fallback"]) == (None, "It is down.")
    assert about["scores"] == [None, None, None]
    with pytest.raises(RewardModelError, match="It is down"):
        chosen(words, down, on_reward_error="raise").invoke("?")


def test_one_candidate_that_cannot_be_scored(words):
    def score(trajectories):
        actions = [t.turns[-1].action for t in trajectories]
        return [float("nan") if a == "yes please" else len(a) for a in actions]

    model = chosen(words, FunctionRewardModel(score), all_generations=True)
    (ranked,) = model.generate([[HumanMessage("?")]]).generations
    assert [g.text for g in ranked] == ["well maybe", "yes", "no", "yes please"]
    about = ranked[-1].message.response_metadata["agentrm"]
    assert about["score"] is None
    assert "nan" in about["error"]


def test_the_policys_error_arrives_as_it_was_raised(words):
    words.script.fail = [429, 429]
    with pytest.raises(RateLimitError) as caught:
        chosen(words).invoke("?")
    assert is_retryable(caught.value)
    with pytest.raises(RateLimitError):
        asyncio.run(chosen(words).ainvoke("?"))


@pytest.mark.parametrize("mode", MODES)
def test_a_server_that_refuses_n_is_asked_so_once(words, mode):
    words.script.refuses = {"n"}
    words.script.answer = lambda body, i: f"seed {body['seed']}"
    model = chosen(words, n=3)
    with get_usage_metadata_callback() as counted:
        if mode == "sync":
            answers = [model.invoke("one"), model.invoke("two")]
        else:

            async def twice():
                return [await model.ainvoke("one"), await model.ainvoke("two")]

            answers = asyncio.run(twice())
    assert [r.get("n") for r in words.requests] == [3] + [None] * 6
    assert [a.response_metadata["agentrm"]["requests"] for a in answers] == [4, 3]
    assert [a.usage_metadata["output_tokens"] for a in answers] == [6, 6]
    assert counted.usage_metadata["m"]["output_tokens"] == 12


def test_cut_off_answers_lose(words):
    words.script.finish_reason = {1: "length"}
    answer = chosen(words).invoke("?")
    assert answer.text == "well maybe"
    words.script.finish_reason = dict.fromkeys(range(4), "length")
    answer = chosen(words).invoke("?")
    about = answer.response_metadata["agentrm"]
    assert answer.text == "no"
    assert about["score"] is None
    assert "cut off at the token limit" in about["fallback"]
    with pytest.raises(NoCandidateError, match="cut off"):
        chosen(words, on_invalid="raise").invoke("?")


@pytest.mark.parametrize("mode", MODES)
def test_malformed_tool_arguments_lose(words, mode):
    calls = ['{"where": "eee', '{"where": "hall"}', "", '{"where": "e"}']
    words.script.answer = lambda body, i: tool_call("look", calls[i])
    answer = ask(mode, chosen(words).bind_tools([look]), "?")
    assert [c["args"] for c in answer.tool_calls] == [{"where": "e"}]
    # Empty arguments are those of a tool that takes none.
    assert answer.response_metadata["agentrm"]["candidates"] == 3


@pytest.mark.parametrize("mode", MODES)
def test_a_choice_that_the_client_cannot_read_fails_alone(words, mode):
    def answer(body, i):
        many = body.get("n", 1) > 1
        draw = i if many else len(words.requests)
        return tool_call("look", '["eeee"]' if draw == 2 else '{"where": "e"}')

    words.script.answer = answer
    answer = ask(mode, chosen(words, n=4).bind_tools([look]), "?")
    about = answer.response_metadata["agentrm"]
    assert answer.tool_calls[0]["args"] == {"where": "e"}
    assert (about["n"], about["votes"], about["requests"]) == (3, 3, 5)


def test_one_malformed_call_beside_a_good_one_loses(words):
    def answer(body, i):
        if i:
            return "yes"
        both = tool_call("look", '{"where": "eeeeee"}')
        both["tool_calls"] += tool_call("look", "{", "call_2")["tool_calls"]
        return both

    words.script.answer = answer
    assert chosen(words).bind_tools([look]).invoke("?").text == "yes"


@pytest.mark.parametrize("mode", MODES)
def test_a_stream_does_not_mend_malformed_calls(words, mode):
    call = tool_call("look", '{"where": "ha')
    words.script.answer = lambda body, i: {**call, "content": "I will look."}
    model = chosen(words).bind_tools([look])
    whole = ask(mode, model, "?")
    assert not whole.tool_calls
    assert whole.invalid_tool_calls[0]["args"] == '{"where": "ha'
    chunks = pieces(mode, model, "?")
    total = chunks[0]
    for chunk in chunks[1:]:
        total += chunk
    assert not total.tool_calls
    assert total.invalid_tool_calls[0]["args"] == '{"where": "ha'


# Tools and structured output.


def test_bound_tools_go_out_as_the_policys_own(words):
    plain = chat_openai(words)
    options = {"tool_choice": "any", "strict": True, "parallel_tool_calls": False}
    plain.bind_tools([look], **options).invoke("?", stop=["x"])
    chosen(words).bind_tools([look], **options).invoke("?", stop=["x"])
    one, two = words.requests
    assert one["tools"]
    assert without(one, "n", "seed") == without(two, "n", "seed")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("schema", [Plan, Plan.model_json_schema()])
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")
def test_structured_output(words, mode, method, raw, schema):
    answers = [
        '{"step": "e", "count": 1}',
        '{"step": "eeee',
        '{"count": 2, "step": "eee"}',
        "eeeeeeee",
    ]
    words.script.answer = lambda body, i: (
        tool_call("Plan", answers[i]) if body.get("tools") else answers[i]
    )
    options = {"method": method, "include_raw": raw}
    out = ask(mode, chosen(words).with_structured_output(schema, **options), "plan")
    if raw:
        assert out["parsing_error"] is None
        assert out["raw"].response_metadata["agentrm"]["candidates"] == 2
        out = out["parsed"]
    expected = {"step": "eee", "count": 2}
    assert out == (Plan(**expected) if schema is Plan else expected)
    (sent,) = words.requests
    words.script.answer = lambda body, i: (
        tool_call("Plan", answers[0]) if body.get("tools") else answers[0]
    )
    chat_openai(words).with_structured_output(schema, **options).invoke("plan")
    assert without(words.requests[1]) == without(sent, "n", "seed")


def test_an_answer_that_does_not_fit_the_schema_loses(words):
    answers = ['{"step": "eeee"}', '{"step": "e", "count": 1}']
    words.script.answer = lambda body, i: answers[i]
    model = chosen(words, n=2).with_structured_output(Plan, method="json_schema")
    assert model.invoke("plan") == Plan(step="e", count=1)


def test_equal_structured_answers_are_merged(words):
    answers = ['{"step": "e", "count": 1}', '{"count": 1,\n "step": "e"}']
    words.script.answer = lambda body, i: answers[i]
    model = chosen(words, n=2).with_structured_output(Plan, include_raw=True)
    about = model.invoke("plan")["raw"].response_metadata["agentrm"]
    assert (about["candidates"], about["votes"]) == (1, 2)


def test_one_cut_off_structured_answer_does_not_fail_the_others(words):
    words.script.answer = lambda body, i: json.dumps({"step": "e", "count": i})
    words.script.finish_reason = {0: "length"}
    model = chosen(words, n=3).with_structured_output(Plan)
    assert model.invoke("plan").count == 1
    assert len(words.requests) == 1


class Copies(ScriptedPolicy):
    """Builds its chain around a copy of itself, or around nothing to be found."""

    lost: bool = False

    def with_structured_output(self, schema, *, include_raw=False, **kwargs):
        if self.lost:
            return look
        return self.model_copy(update={"answers": ["copied"]}) | (lambda m: m)


def test_a_policy_that_binds_a_copy_of_itself():
    policy = Copies(answers=["original"])
    model = ChatAgentRM(policy=policy, reward_model=Recorder(), n=3)
    answer = model.with_structured_output(Plan).invoke("?")
    assert answer.text == "copied"
    assert answer.response_metadata["agentrm"]["n"] == 3


def test_a_chain_without_the_policy_is_refused():
    policy = Copies(answers=["original"], lost=True)
    model = ChatAgentRM(policy=policy, reward_model=Recorder())
    with pytest.raises(ConfigurationError, match="Copies built a chain"):
        model.with_structured_output(Plan)


# Streams.


@pytest.mark.parametrize("mode", MODES)
def test_a_stream_replays_the_winner(words, mode):
    chunks = pieces(mode, chosen(words), "?")
    assert [c.text for c in chunks] == ["yes ", "please", ""]
    total = sum(chunks[1:], chunks[0])
    whole = ask(mode, chosen(words), "?")
    assert isinstance(total, AIMessageChunk)
    assert total.text == whole.text
    assert total.usage_metadata == whole.usage_metadata
    agentrm = total.response_metadata["agentrm"]
    assert agentrm == whole.response_metadata["agentrm"]
    assert total.response_metadata["finish_reason"] == "stop"
    assert [c.chunk_position for c in chunks] == [None, None, "last"]
    assert all("stream" not in r or not r["stream"] for r in words.requests)


def test_streamed_tool_calls_are_the_winners(words):
    calls = ['{"where": "héél"}', '{"where": "a"}']
    words.script.answer = lambda body, i: tool_call("look", calls[i], f"call_{i}")
    model = chosen(words, Recorder("é"), n=2).bind_tools([look])
    chunks = pieces("sync", model, "?")
    total = sum(chunks[1:], chunks[0])
    (call,) = total.tool_calls
    assert (call["args"], call["id"]) == ({"where": "héél"}, "call_0")


def test_events_show_the_winner_only(words):
    async def collect():
        return [e async for e in chosen(words).astream_events("?", version="v2")]

    events = asyncio.run(collect())
    text = [
        e["data"]["chunk"].text for e in events if e["event"] == "on_chat_model_stream"
    ]
    assert "".join(text) == "yes please"
    assert {e["name"] for e in events} == {"ChatAgentRM"}


# All candidates.


@pytest.mark.parametrize("mode", MODES)
def test_all_candidates_ranked(words, mode):
    words.script.answer = lambda body, i: ["no", "yes", "see me", " yes"][i]
    words.script.finish_reason = {0: "length"}
    model = chosen(words, all_generations=True)
    asked = [[HumanMessage("?")], [HumanMessage("!")]]
    with get_usage_metadata_callback() as counted:
        result = (
            model.generate(asked)
            if mode == "sync"
            else asyncio.run(model.agenerate(asked))
        )
    for ranked in result.generations:
        assert [g.text for g in ranked] == ["see me", "yes", " yes", "no"]
        about = [g.message.response_metadata["agentrm"] for g in ranked]
        assert [a["rank"] for a in about] == [0, 1, 2, 3]
        assert [a["score"] for a in about] == [3.0, 1.0, 1.0, None]
        assert about[0]["scores"] == [3.0, 1.0]
        assert about[3]["error"] == "cut off at the token limit"
        usages = [g.message.usage_metadata for g in ranked]
        assert usages[0]["output_tokens"] == 8
        assert usages[1:] == [None] * 3
        assert len({g.message.id for g in ranked}) == 4
    assert counted.usage_metadata["m"]["output_tokens"] == 16
    assert result.llm_output["token_usage"]["completion_tokens"] == 16
    assert model.invoke("?").text == "see me"


# What a run and an agent see.


class Runs(BaseCallbackHandler):
    def __init__(self):
        self.started, self.ended = [], []

    def on_chat_model_start(self, serialized, messages, **kwargs):
        self.started.append(kwargs)

    def on_llm_end(self, response, **kwargs):
        self.ended.append(response)


def test_one_run_with_what_the_policy_was_given(words):
    runs = Runs()
    policy = chat_openai(words, callbacks=[runs], tags=["mine"], metadata={"team": "a"})
    chosen(words, policy=policy).invoke("?")
    (start,) = runs.started
    assert start["tags"] == ["mine"]
    assert start["metadata"]["team"] == "a"
    assert start["metadata"]["ls_model_name"] == "m"
    (end,) = runs.ended
    assert len(end.generations[0]) == 1


def test_identity_is_the_policys(words):
    policy = chat_openai(words, profile={"structured_output": True})
    model = chosen(words, policy=policy)
    assert model.model_name == "m"
    assert model.profile == policy.profile
    assert model.get_num_tokens_from_messages is not None
    assert model._identifying_params["policy"]["model_name"] == "m"
    assert "api_key" not in repr(model.model_dump())


def test_the_policys_rate_limit_holds(words):
    waits = []

    class Limit(InMemoryRateLimiter):
        def acquire(self, *, blocking=True):
            waits.append("sync")
            return super().acquire(blocking=blocking)

    limit = Limit(requests_per_second=1000, check_every_n_seconds=0.001)
    policy = chat_openai(words, rate_limiter=limit)
    limit.acquire()
    waits.clear()
    chosen(words, policy=policy).invoke("?")
    chosen(words, policy=policy, n=1).invoke("?")
    assert waits == ["sync", "sync"]


class Blocks(BaseChatModel):
    """Answers in content blocks, as some providers do."""

    @property
    def _llm_type(self):
        return "blocks"

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        content = [{"type": "text", "text": "I see"}, {"type": "thought", "x": 1}]
        return ChatResult(generations=[ChatGeneration(message=AIMessage(content))])


def test_content_blocks_and_unknown_usage():
    model = ChatAgentRM(policy=Blocks(), reward_model=Recorder(), n=2)
    answer = model.invoke("?")
    assert answer.content[1] == {"type": "thought", "x": 1}
    assert answer.usage_metadata is None
    chunks = list(model.stream("?"))
    assert sum(chunks[1:], chunks[0]).content == answer.content


def test_what_is_no_policy_and_no_reward_model():
    inner = ChatAgentRM(policy=Blocks(), reward_model=Recorder())
    with pytest.raises(ValidationError, match="chosen already"):
        ChatAgentRM(policy=inner, reward_model=Recorder())
    with pytest.raises(ValidationError, match="BaseChatModel"):
        ChatAgentRM(policy="gpt", reward_model=Recorder())
    with pytest.raises(ValidationError, match="RewardModel"):
        ChatAgentRM(policy=Blocks(), reward_model=len)
