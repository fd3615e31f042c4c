"""Drivers: one search, or many in lockstep."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import HumanMessage

from langchain_agentrm.engine import (
    Models,
    _usages,
    as_proposer,
    drive,
    drive_async,
    drive_many,
)
from langchain_agentrm.errors import ConfigurationError, RewardModelError
from langchain_agentrm.search import Evaluate, Propose
from langchain_agentrm.testing.scripted import ScriptedPolicy, ScriptedRewardModel
from langchain_agentrm.trajectory import Trajectory, Turn
from langchain_agentrm.types import ProposalRequest, Usage


def models(**options):
    policy = ScriptedPolicy(answers=["aa", "b"])
    scorer = ScriptedRewardModel(lambda t: float(len(t.turns[-1].action)), **options)
    return Models(as_proposer(policy), scorer), scorer


def ask(name, n):
    return Propose([ProposalRequest(name, [HumanMessage(name)], n, 0)])


def rate(*actions):
    return Evaluate([Trajectory(turns=(Turn("", a),)) for a in actions])


def search(name, n, rounds):
    """Draw, then score what was drawn, some times over."""
    spent, seen = Usage(), []
    for _ in range(rounds):
        drawn = yield ask(name, n)
        spent += drawn.usage
        texts = [c.message.text for c in drawn.items[0]]
        try:
            scored = yield rate(*texts)
            seen += zip(texts, [s.value for s in scored.items], strict=True)
        except RewardModelError:
            seen.append("failed")
    return name, seen, spent


def test_lockstep_gives_each_search_its_own_answers():
    together, scorer = models()
    found = drive_many(
        [search("x", 1, 3), search("y", 4, 1), search("z", 2, 2)], together
    )
    assert [name for name, _, _ in found] == ["x", "y", "z"]
    assert [len(seen) for _, seen, _ in found] == [3, 4, 4]
    for _, seen, _ in found:
        assert all(value == len(text) for text, value in seen)
    assert scorer.calls == 3
    assert sum(spent.requests for _, _, spent in found) == 6


def test_waves_are_told_how_many_still_run():
    left = []
    drive_many([search("x", 1, 1), search("y", 1, 2)], models()[0], on_wave=left.append)
    assert left == [2, 1, 1, 0]
    assert drive_many([], models()[0]) == []


def test_a_reward_error_reaches_every_search_that_waits_and_ends_none():
    broken, _ = models(error=ValueError("x"))
    found = drive_many([search("x", 1, 1), search("y", 1, 2)], broken)
    assert [seen for _, seen, _ in found] == [["failed"], ["failed"] * 2]


def test_sync_and_async_drivers_agree():
    one = drive(search("x", 3, 2), models()[0])
    assert one == asyncio.run(drive_async(search("x", 3, 2), models()[0]))
    broken = drive(search("x", 3, 2), models(error=ValueError("x"))[0])
    other = models(error=ValueError("x"))[0]
    assert broken == asyncio.run(drive_async(search("x", 3, 2), other))
    assert broken[1] == ["failed"] * 2


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=8).filter(any),
    st.integers(0, 1000),
    st.integers(0, 10**6),
)
def test_usage_is_split_without_losing_or_adding_anything(sizes, requests, tokens):
    parts = _usages(sizes, Usage(requests, tokens, tokens // 3))
    assert sum(parts, Usage()) == Usage(requests, tokens, tokens // 3)
    assert all(min(p.requests, p.input_tokens, p.output_tokens) >= 0 for p in parts)


def test_a_configuration_error_of_the_reward_model_is_not_swallowed():
    wrong, _ = models(error=ConfigurationError("bad option"))
    with pytest.raises(ConfigurationError, match="bad option"):
        drive(search("x", 1, 1), wrong)


def test_a_proposer_is_taken_as_it_is():
    proposer = as_proposer(ScriptedPolicy(answers=["a"]))
    assert as_proposer(proposer) is proposer
