"""The proxy as the official client and ChatOpenAI meet it."""

from __future__ import annotations

import asyncio
import json

import httpx
import openai
import pytest
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from langchain_agentrm import FunctionRewardModel
from langchain_agentrm.testing.scripted import ScriptedRewardModel
from tests.serving.proxy_clients import HELLO, connect, post
from tests.serving.proxy_upstream import error, number, tool_call

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "take",
            "description": "Take.",
            "parameters": {
                "type": "object",
                "properties": {"count": {"type": "integer"}},
                "required": ["count"],
                "additionalProperties": False,
            },
            "strict": True,
        },
    }
]


class Answer(BaseModel):
    count: int


def create(client, **options):
    return client.chat.completions.create(
        **{"model": "m", "messages": HELLO, **options}
    )


def text(answer):
    return [c.message.content for c in answer.choices]


def test_the_best_of_n_comes_back_and_usage_is_counted_once(client, upstream):
    answer = create(client, temperature=0.5, extra_body={"top_k": 3})
    assert text(answer) == ["take 3"]
    assert answer.choices[0].index == 0
    assert answer.usage.completion_tokens == 12
    assert answer.usage.prompt_tokens_details.cached_tokens == 4
    assert answer.id == "chatcmpl-1"
    (body,) = upstream.bodies
    assert body == {
        "model": "m",
        "messages": HELLO,
        "temperature": 0.5,
        "top_k": 3,
        "n": 4,
    }
    report = answer.model_extra["agentrm"]
    assert (report["n"], report["distinct"], report["fallback"]) == (4, 4, "")
    assert "scores" not in report


def test_request_n_is_the_number_of_answers_best_first(client, upstream):
    extra = {"agentrm": {"n": 6, "return_scores": True}}
    answer = create(client, n=3, extra_body=extra)
    assert text(answer) == ["take 5", "take 4", "take 3"]
    assert [c.index for c in answer.choices] == [0, 1, 2]
    assert upstream.bodies[0]["n"] == 6
    assert "agentrm" not in upstream.bodies[0]
    report = answer.model_extra["agentrm"]
    assert report["scores"] == [5.0, 4.0, 3.0]
    assert [c["index"] for c in report["candidates"]] == [5, 4, 3, 2, 1, 0]
    assert answer.choices[1].model_extra["agentrm"]["score"] == 4.0


def test_equal_answers_are_scored_once_and_votes_break_ties(proxy, upstream):
    sizes = []
    upstream.answer = lambda body, i: ["no", "yes", "yes", "yes "][i]

    def even(trajectories):
        sizes.append([t.turns[-1].action for t in trajectories])
        return [1.0 for _ in trajectories]

    with connect(proxy(FunctionRewardModel(even))) as client:
        extra = {"agentrm": {"return_scores": True}}
        answer = create(client, n=4, extra_body=extra)
    assert sizes == [["no", "yes"]]
    assert text(answer) == ["yes", "yes", "yes ", "no"]
    votes = [c["votes"] for c in answer.model_extra["agentrm"]["candidates"]]
    assert votes == [3, 3, 3, 1]


def test_the_reward_model_reads_the_conversation_and_the_tools(proxy, upstream):
    seen = []
    history = [
        {"role": "system", "content": "You count."},
        {"role": "user", "content": [{"type": "text", "text": "Take two."}]},
        tool_call("take", '{"count": 1}'),
        {"role": "tool", "tool_call_id": "call_take", "content": "one is left"},
    ]

    def note(trajectories):
        seen.extend(trajectories)
        return [1.0 for _ in trajectories]

    with connect(proxy(FunctionRewardModel(note))) as client:
        create(client, messages=history, tools=TOOLS)
    assert upstream.bodies[0]["messages"] == history
    first = seen[0]
    assert (first.goal, first.instruction) == ("Take two.", "You count.")
    assert first.turns[0].action == 'take({"count": 1})'
    assert first.turns[1].observation == "one is left"
    assert [dict(t) for t in first.tools] == TOOLS
    assert len({t.group for t in seen}) == 1


def test_malformed_tool_arguments_lose(client, upstream):
    calls = ['{"count": 1}', '{"count": 99', "[99]", '{"count": 2}']
    upstream.answer = lambda body, i: tool_call("take", calls[i])
    extra = {"agentrm": {"return_scores": True}}
    answer = create(client, n=4, tools=TOOLS, extra_body=extra)
    said = [c.message.tool_calls[0].function.arguments for c in answer.choices]
    assert said == [calls[3], calls[0], calls[1], calls[2]]
    worst = answer.model_extra["agentrm"]["candidates"][-1]
    assert worst["score"] is None
    assert "malformed call of tool 'take'" in worst["error"]


def test_cut_off_answers_lose_but_compete_among_themselves(client, upstream):
    upstream.finish = lambda i: "length" if i == 3 else None
    assert text(create(client)) == ["take 2"]
    upstream.finish = lambda i: "length"
    answer = create(client, max_tokens=2)
    assert text(answer) == ["take 3"]
    assert answer.choices[0].finish_reason == "length"


def test_a_stream_replays_the_winner(client, upstream):
    chunks = list(create(client, stream=True, stream_options={"include_usage": True}))
    said = [c.choices[0].delta.content for c in chunks if c.choices]
    assert "".join(t for t in said if t) == "take 3"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage.completion_tokens == 12
    assert chunks[-1].model_extra["agentrm"]["n"] == 4
    assert all(c.usage is None for c in chunks[:-1])
    assert not upstream.bodies[0].get("stream")
    assert "stream_options" not in upstream.bodies[0]


def test_a_stream_without_usage_ends_with_agentrm_on_its_last_chunk(client):
    chunks = list(create(client, stream=True, n=2))
    assert [c.choices[0].index for c in chunks] == [0, 0, 1, 1]
    assert chunks[-1].model_extra["agentrm"]["distinct"] == 4
    assert all(c.usage is None for c in chunks)


def test_a_stream_is_kept_open_by_comments(proxy, upstream):
    upstream.latency = 0.4
    url = proxy(keep_alive=0.05, early=0.05)
    body = {"model": "m", "messages": HELLO, "stream": True}
    with httpx.stream("POST", f"{url}/v1/chat/completions", json=body) as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        assert "content-length" not in reply.headers
        lines = list(reply.iter_lines())
    comments = [i for i, line in enumerate(lines) if line.startswith(":")]
    data = [i for i, line in enumerate(lines) if line.startswith("data:")]
    assert len(comments) >= 3
    assert max(comments) < min(data)
    assert lines[data[-1]] == "data: [DONE]"


def test_the_stream_helper_with_tools(client, upstream):
    upstream.answer = lambda body, i: tool_call("take", f'{{"count": {i}}}')
    with client.chat.completions.stream(
        model="m", messages=HELLO, tools=TOOLS
    ) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert "tool_calls.function.arguments.done" in kinds
    call = final.choices[0].message.tool_calls[0]
    assert call.function.parsed_arguments == {"count": 3}
    assert call.id == "call_take"
    assert final.choices[0].finish_reason == "tool_calls"


def test_parse(client, upstream):
    upstream.answer = lambda body, i: json.dumps({"count": i})
    answer = client.chat.completions.parse(
        model="m", messages=HELLO, response_format=Answer
    )
    assert answer.choices[0].message.parsed == Answer(count=3)
    assert upstream.bodies[0]["response_format"]["type"] == "json_schema"


def test_models_come_as_the_upstream_lists_them(client):
    page = client.models.list()
    assert [m.id for m in page.data] == ["m"]
    assert page.model_extra["more"] == 1


def test_what_is_not_served_says_so(client):
    with pytest.raises(openai.NotFoundError, match="/v1/chat/completions"):
        client.responses.create(model="m", input="hi")


async def test_the_async_client(proxy):
    url = proxy()
    async with openai.AsyncOpenAI(
        base_url=f"{url}/v1", api_key="k", max_retries=0
    ) as client:
        answers = await asyncio.gather(*(create(client) for _ in range(8)))
        assert {t for a in answers for t in text(a)} == {"take 3"}
        stream = await create(client, stream=True)
        said = [c.choices[0].delta.content async for c in stream]
        assert "".join(t for t in said if t) == "take 3"
        async with client.chat.completions.stream(model="m", messages=HELLO) as live:
            final = await live.get_final_completion()
        assert text(final) == ["take 3"]
        page = await client.models.list()
        assert [m.id for m in page.data] == ["m"]


def chat_openai(url, **options):
    none = httpx.Limits(max_keepalive_connections=0)
    return ChatOpenAI(
        model="m",
        base_url=f"{url}/v1",
        api_key="k",
        max_retries=0,
        http_client=httpx.Client(trust_env=False, limits=none),
        http_async_client=httpx.AsyncClient(trust_env=False, limits=none),
        **options,
    )


async def test_chat_openai(proxy, upstream):
    @tool
    def take(count: int) -> str:
        """Take."""
        return str(count)

    model = chat_openai(proxy(), extra_body={"agentrm": {"n": 6}}, stream_usage=True)
    message = model.invoke("Say a number.")
    assert message.text == "take 5"
    assert message.usage_metadata["output_tokens"] == 18
    assert "".join(c.text for c in model.stream("Say a number.")) == "take 5"
    assert (await model.ainvoke("Say a number.")).text == "take 5"
    pieces = [c async for c in model.astream("Say a number.")]
    whole = sum(pieces[1:], pieces[0])
    assert whole.text == "take 5"
    assert whole.usage_metadata["output_tokens"] == 18
    upstream.answer = lambda body, i: tool_call("take", f'{{"count": {i}}}')
    called = model.bind_tools([take]).invoke("Take.")
    assert called.tool_calls[0]["args"] == {"count": 5}
    upstream.answer = lambda body, i: json.dumps({"count": i})
    parsed = model.with_structured_output(Answer, method="json_schema").invoke("Take.")
    assert parsed == Answer(count=5)


@pytest.mark.parametrize("takes_n", [False, "refuse"])
def test_without_n_single_requests_are_made(client, upstream, takes_n):
    upstream.takes_n = takes_n
    answer = create(client, n=2, seed=7)
    assert len(upstream.bodies) == 5 if takes_n == "refuse" else 4
    assert text(answer)[0] == "take 3"
    report = answer.model_extra["agentrm"]
    assert (report["n"], report["requests"]) == (4, len(upstream.bodies))
    assert answer.usage.completion_tokens == 12
    assert answer.usage.prompt_tokens == 40
    assert answer.usage.prompt_tokens_details.cached_tokens == 16
    seeds = [b["seed"] for b in upstream.bodies if "n" not in b]
    assert len(set(seeds)) == len(seeds)
    assert upstream.bodies[0]["seed"] == 7
    before = len(upstream.bodies)
    create(client)
    assert len(upstream.bodies) - before == 4
    assert all("n" not in b for b in upstream.bodies[before:])


def test_some_of_the_single_requests_may_fail(client, upstream):
    upstream.takes_n = "refuse"
    upstream.fail = lambda body: (
        error(500, "boom") if len(upstream.bodies) == 3 else None
    )
    report = create(client).model_extra["agentrm"]
    assert (report["n"], report["requests"]) == (3, 5)


def test_one_candidate_is_passed_through_unscored(proxy, upstream):
    model = ScriptedRewardModel(lambda t: number(t.turns[-1].action))
    with connect(proxy(model, n=1)) as client:
        assert text(create(client, n=1)) == ["take 0"]
        assert "n" not in upstream.bodies[0]
        assert model.calls == 0
        extra = {"agentrm": {"return_scores": True}}
        scored = create(client, extra_body=extra)
        assert scored.model_extra["agentrm"]["scores"] == [0.0]


def test_odd_messages_are_passed_on_and_read(client, upstream):
    history = [
        {"role": "developer", "content": "Be short."},
        {"role": "assistant", "content": None, "function_call": {"name": "x"}},
        tool_call("take", "{not json"),
        {"role": "tool", "tool_call_id": "call_take", "content": "bad arguments"},
        {"role": "ipython", "content": "1"},
    ]
    assert text(create(client, messages=history)) == ["take 3"]
    assert upstream.bodies[0]["messages"] == history


def test_half_a_surrogate_pair_survives(proxy, upstream):
    upstream.answer = lambda body, i: f"{i} \ud83d"
    reply = post(proxy(), {"messages": [{"role": "user", "content": "é"}]})
    assert reply.status_code == 200
    assert json.loads(reply.content)["choices"][0]["message"]["content"] == "3 \ud83d"


def test_other_fields_of_a_message_survive(client, upstream):
    upstream.answer = lambda body, i: {
        "role": "assistant",
        "content": f"{i}",
        "reasoning_content": f"thought {i}",
        "refusal": None,
    }
    answer = create(client)
    assert answer.choices[0].message.model_extra["reasoning_content"] == "thought 3"
    chunks = list(create(client, stream=True))
    assert chunks[0].choices[0].delta.model_extra["reasoning_content"] == "thought 3"


class Broken(ScriptedRewardModel):
    async def ascore(self, trajectories):
        raise ValueError("no GPU")


def test_a_failing_reward_model_leaves_the_policys_order_marked(proxy, upstream):
    upstream.answer = lambda body, i: ["a", "b", "b", "c"][i]
    with connect(proxy(Broken(lambda t: 0.0))) as client:
        answer = create(client, n=4, extra_body={"agentrm": {"return_scores": True}})
    assert text(answer) == ["b", "b", "a", "c"]
    report = answer.model_extra["agentrm"]
    assert "no GPU" in report["fallback"]
    assert report["scores"] == [None] * 4


def test_a_failing_reward_model_is_an_error_where_that_is_wanted(proxy):
    with connect(proxy(Broken(lambda t: 0.0), on_reward_error="raise")) as client:
        with pytest.raises(openai.InternalServerError, match="no GPU") as caught:
            create(client)
        assert caught.value.status_code == 502
        assert caught.value.type == "reward_model_error"


class Slow(ScriptedRewardModel):
    async def ascore(self, trajectories):
        await asyncio.sleep(30)


def test_a_reward_model_has_only_so_long(proxy):
    with connect(proxy(Slow(lambda t: 0.0), score_seconds=0.05)) as client:
        report = create(client).model_extra["agentrm"]
    assert "no scores within 0.05 s" in report["fallback"]


def test_one_unscored_candidate_does_not_win(proxy, upstream):
    scores = {"take 3": float("nan"), "take 2": 1.0}
    model = FunctionRewardModel(
        lambda ts: [scores.get(t.turns[-1].action, 0.0) for t in ts]
    )
    with connect(proxy(model)) as client:
        answer = create(client, n=4, extra_body={"agentrm": {"return_scores": True}})
    assert text(answer)[0] == "take 2"
    assert text(answer)[-1] == "take 3"
    assert "nan" in answer.model_extra["agentrm"]["candidates"][-1]["error"]
