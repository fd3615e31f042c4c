from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from langchain_agentrm.chat_models._engine import LocalModel
from langchain_agentrm.errors import ConfigurationError, PolicyError
from langchain_agentrm.sampling.base import Proposer
from langchain_agentrm.sampling.local import LocalProposer
from langchain_agentrm.testing.mini_checkpoint import write_mini_checkpoint
from langchain_agentrm.types import Batch, Candidate, ProposalRequest


@pytest.fixture(scope="module")
def proposer(tmp_path_factory: pytest.TempPathFactory) -> LocalProposer:
    folder: Path = write_mini_checkpoint(tmp_path_factory.mktemp("policy"))
    return LocalProposer(LocalModel(folder, device="cpu"), max_tokens=8)


def request(
    parent: str, text: str = "go", n: int = 3, seed: int = 0, *, greedy: bool = False
) -> ProposalRequest:
    messages = [HumanMessage(text), AIMessage("left"), HumanMessage("a wall")]
    return ProposalRequest(parent, messages, n, seed, greedy=greedy)


def texts(batch: Batch[list[Candidate]]) -> list[list[str]]:
    return [[str(c.message.content) for c in items] for items in batch.items]


def test_answers_in_order(proposer: LocalProposer) -> None:
    asked = [request("a", "go"), request("b", "stop", n=2, seed=4)]
    batch = proposer.propose(asked)
    assert [len(items) for items in batch.items] == [3, 2]
    for items, ask in zip(batch.items, asked, strict=True):
        for c in items:
            assert c.parent == ask.parent
            assert c.source == "sampled"
            assert c.logprob is not None
            assert c.logprob < 0
            assert (c.id, c.key, c.action) == ("", "", None)
    alone = [texts(proposer.propose([ask]))[0] for ask in asked]
    assert texts(batch) == alone
    ids = [c.message.id for items in batch.items for c in items]
    assert len(set(ids)) == 5


def test_greedy_gives_one(proposer: LocalProposer) -> None:
    a, b = proposer.propose(
        [request("a", greedy=True), request("a", seed=9, greedy=True)]
    ).items
    assert len(a) == len(b) == 1
    assert a[0].source == "greedy"
    assert a[0].message.content == b[0].message.content


def test_usage_counts_each_request_once(proposer: LocalProposer) -> None:
    batch = proposer.propose([request("a"), request("a", seed=1)])
    per_prompt = len("goleft" + "a wall") + 7
    assert batch.usage.requests == 2
    assert batch.usage.input_tokens == 2 * per_prompt
    messages = [c.message for items in batch.items for c in items]
    assert batch.usage.tokens == sum(
        m.usage_metadata["total_tokens"] for m in messages if m.usage_metadata
    )


def test_cut_off_is_marked(proposer: LocalProposer) -> None:
    items = proposer.propose([request("a", n=16)]).items[0]
    for c in items:
        cut = c.message.response_metadata["finish_reason"] == "length"
        assert (c.error is not None) == cut
    assert any(c.error for c in items)


def test_one_that_does_not_fit_gets_none(proposer: LocalProposer) -> None:
    batch = proposer.propose([request("a", "x" * 600), request("b")])
    assert [len(items) for items in batch.items] == [0, 3]
    with pytest.raises(PolicyError, match=r"none of 1 requests.*512"):
        proposer.propose([request("a", "x" * 600)])


def test_async_equals_sync(proposer: LocalProposer) -> None:
    asked = [request("a"), request("b", "stop")]
    twin = asyncio.run(proposer.apropose(asked))
    assert texts(twin) == texts(proposer.propose(asked))


def test_nothing_asked(proposer: LocalProposer) -> None:
    assert list(proposer.propose([]).items) == []


def test_temperature_of_the_request_wins(proposer: LocalProposer) -> None:
    cold = ProposalRequest("a", [HumanMessage("go")], 6, 0, temperature=1e-3)
    warm = ProposalRequest("a", [HumanMessage("go")], 6, 0)
    assert len(set(texts(proposer.propose([cold]))[0])) == 1
    assert len(set(texts(proposer.propose([warm]))[0])) > 1


def test_settings_are_checked(proposer: LocalProposer) -> None:
    assert isinstance(proposer, Proposer)
    with pytest.raises(ConfigurationError, match="temperature=0"):
        LocalProposer(proposer.model, temperature=0)
