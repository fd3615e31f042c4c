from __future__ import annotations

import asyncio
import logging

import pytest
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableLambda

from langchain_agentrm.errors import PolicyError, is_retryable
from langchain_agentrm.sampling import ChatProposer
from langchain_agentrm.sampling._draws import refuses
from langchain_agentrm.types import Batch, Candidate, ProposalRequest
from tests.servers.clients import chat_openai as model
from tests.servers.openai_server import tool_call

MODES = ["sync", "async"]


def ask(n: int = 4, text: str = "go", parent: str = "root") -> ProposalRequest:
    return ProposalRequest(parent, [HumanMessage(text)], n, seed=1)


def propose(
    mode: str, proposer: ChatProposer, *requests: ProposalRequest
) -> Batch[list[Candidate]]:
    if mode == "sync":
        return proposer.propose(requests)
    return asyncio.run(proposer.apropose(requests))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("status", "retryable", "remedy"),
    [
        (400, False, "a retry gives the same answer"),
        (401, False, "API key"),
        (404, False, "model's name"),
        (429, True, "max_concurrency"),
        (500, True, "server is failing"),
        (503, True, "server is failing"),
    ],
)
def test_all_fail(openai_server, mode, status, retryable, remedy):
    openai_server.script.fail = [status] * 9
    openai_server.script.error = "the reason"
    with pytest.raises(PolicyError) as caught:
        propose(mode, ChatProposer(model(openai_server)), ask(), ask())
    text = str(caught.value)
    assert "ChatOpenAI 'm'" in text
    assert f"status {status}" in text
    assert "the reason" in text
    assert remedy in text
    assert is_retryable(caught.value) is retryable
    assert caught.value.__cause__ is not None
    # One request a state: nothing of ours retries.
    assert len(openai_server.requests) == 2


def test_a_step_of_which_a_part_may_work_later_is_worth_a_retry(openai_server):
    openai_server.script.fail_if = lambda body: (
        400 if body["messages"][0]["content"] == "bad" else 429
    )
    with pytest.raises(PolicyError, match="status 400") as caught:
        ChatProposer(model(openai_server)).propose([ask(text="bad"), ask()])
    assert caught.value.retryable


@pytest.mark.parametrize("mode", MODES)
def test_the_clients_own_retry_is_enough(openai_server, mode):
    openai_server.script.fail = [429]
    batch = propose(mode, ChatProposer(model(openai_server, max_retries=1)), ask())
    assert len(batch.items[0]) == 4
    assert len(openai_server.requests) == 2


@pytest.mark.parametrize("mode", MODES)
def test_an_html_page_instead_of_json(openai_server, mode):
    openai_server.script.html = True
    with pytest.raises(PolicyError, match="base_url") as caught:
        propose(mode, ChatProposer(model(openai_server)), ask())
    assert "Bad gateway" in str(caught.value)
    assert not caught.value.retryable
    assert len(openai_server.requests) == 1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["empty", "null", "missing"])
def test_a_reply_without_choices(openai_server, mode, kind):
    openai_server.script.no_choices = kind
    with pytest.raises(PolicyError, match="choices"):
        propose(mode, ChatProposer(model(openai_server)), ask())
    assert len(openai_server.requests) == 1


@pytest.mark.parametrize("mode", MODES)
def test_server_down(openai_server, mode):
    # Port 9 of loopback is the discard service: nothing listens there.
    policy = model(openai_server, base_url="http://127.0.0.1:9/v1")
    with pytest.raises(PolicyError, match="is up") as caught:
        propose(mode, ChatProposer(policy), ask())
    assert caught.value.retryable


@pytest.mark.parametrize("mode", MODES)
def test_time_out(openai_server, mode):
    openai_server.script.latency = 0.6
    policy = model(openai_server, timeout=0.1)
    with pytest.raises(PolicyError, match="timeout") as caught:
        propose(mode, ChatProposer(policy), ask())
    assert caught.value.retryable


@pytest.mark.parametrize("mode", MODES)
def test_some_single_draws_fail(openai_server, mode, caplog):
    openai_server.script.ignores_n = True
    openai_server.script.fail = [200, 500, 200, 500]
    batch = propose(mode, ChatProposer(model(openai_server)), ask())
    assert len(batch.items[0]) == 2
    assert batch.usage.requests == 4
    assert batch.usage.output_tokens == 4
    assert "2 of 4 draws failed" in caplog.text


@pytest.mark.parametrize("mode", MODES)
def test_one_request_of_several_fails(openai_server, mode, caplog):
    openai_server.script.fail_if = lambda body: (
        500 if body["messages"][0]["content"] == "bad" else None
    )
    proposer = ChatProposer(model(openai_server))
    with caplog.at_level(logging.WARNING):
        batch = propose(
            mode, proposer, ask(2, "good"), ask(2, "bad", parent="b"), ask(2, "good")
        )
    assert [len(c) for c in batch.items] == [2, 0, 2]
    assert batch.usage.requests == 3
    assert "No candidates for 'b'" in caplog.text


def test_a_refusal_that_fan_out_does_not_cure_is_not_remembered(openai_server):
    openai_server.script.refuses = {"messages"}
    openai_server.script.refusal = "bad input: n tokens are too many"
    proposer = ChatProposer(model(openai_server))
    with pytest.raises(PolicyError, match="too many"):
        proposer.propose([ask(2)])
    openai_server.script.refuses = set()
    proposer.propose([ask(2)])
    assert openai_server.requests[-1]["n"] == 2


def test_malformed_tool_arguments(openai_server):
    openai_server.script.answer = lambda b, i: tool_call("look", ['{"a": 1}', "{a"][i])
    good, bad = ChatProposer(model(openai_server)).propose([ask(2)]).items[0]
    assert good.error is None
    assert bad.error is not None
    assert bad.error.startswith("malformed arguments of tool 'look'")


def test_empty_answers(openai_server):
    openai_server.script.answer = lambda body, i: ["", " \n", "x"][i]
    items = ChatProposer(model(openai_server)).propose([ask(3)]).items[0]
    assert [c.error for c in items] == ["empty answer", "empty answer", None]


def test_cut_off_answers(openai_server):
    openai_server.script.finish_reason = {1: "length"}
    items = ChatProposer(model(openai_server)).propose([ask(3)]).items[0]
    assert [c.error for c in items] == [None, "cut off at the token limit", None]


@pytest.mark.parametrize("mode", MODES)
def test_a_runnable_that_returns_no_message(mode):
    policy = RunnableLambda(lambda _: "text")
    with pytest.raises(PolicyError, match="str is not an AIMessage"):
        propose(mode, ChatProposer(policy), ask())


def test_cancelling_stops_the_step(openai_server):
    openai_server.script.latency = 0.5

    async def cancelled():
        proposer = ChatProposer(model(openai_server))
        task = asyncio.create_task(proposer.apropose([ask(), ask()]))
        await asyncio.sleep(0.1)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())


class RefusalError(Exception):
    def __init__(self, text: str, status: int = 400, param: str | None = None):
        super().__init__(text)
        self.status_code = status
        self.param = param


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RefusalError("Unsupported parameter: 'n'"), True),
        (RefusalError("`n` must be at most 1"), True),
        (RefusalError("loc: ('body', 'n')", status=422), True),
        (RefusalError("only one choice", param="n"), True),
        (RefusalError("the value isn't known"), False),
        (RefusalError(repr("first line\n second line")), False),
        (RefusalError("'n' is not supported", status=500), False),
        (TypeError("create() got an unexpected keyword argument 'n'"), True),
        (TypeError("got an unexpected keyword argument 'seed'"), False),
        (ValueError("n"), False),
    ],
)
def test_what_counts_as_refusing_n(error, expected):
    assert refuses(error, "n") is expected
