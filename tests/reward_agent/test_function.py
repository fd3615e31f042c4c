"""Verifiers out of functions of one's own."""

from __future__ import annotations

import asyncio
import math

import pytest

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.reward_agent import FunctionVerifier, RewardAgent, Verdict
from langchain_agentrm.testing.verifier import VerifierConformance
from langchain_agentrm.trajectory import Trajectory, Turn


def group(*actions):
    return [Trajectory((Turn("", a),), group="g") for a in actions]


def short(trajectory):
    """Checks that the answer is short.

    Or so it seems.
    """
    return len(trajectory.turns[-1].action) < 5


class TestPlain(VerifierConformance):
    @pytest.fixture
    def verifier(self):
        return FunctionVerifier(lambda t: bool(t.turns), name="some")


class TestCoroutine(VerifierConformance):
    @pytest.fixture
    def verifier(self):
        async def told(trajectory):
            await asyncio.sleep(0)
            return bool(trajectory.turns)

        return FunctionVerifier(told)


class TestGroup(VerifierConformance):
    @pytest.fixture
    def verifier(self):
        def longest(some):
            most = max(len(str(t.turns)) for t in some)
            return [len(str(t.turns)) == most for t in some]

        return FunctionVerifier(longest, mode="group")


@pytest.mark.parametrize(
    ("answer", "value"),
    [(True, 1.0), (False, 0.0), (0.25, 0.25), (None, None), (1, 1.0)],
)
def test_reads_what_a_function_answers(answer, value):
    (verdict,) = FunctionVerifier(lambda _: answer, name="f").verify(group("a")).items
    assert verdict.value == value
    assert verdict.error is None


def test_a_verdict_is_passed_on_whole():
    told = Verdict(0.5, "half", passages=())
    (verdict,) = FunctionVerifier(lambda _: told, name="f").verify(group("a")).items
    assert verdict is told


@pytest.mark.parametrize("answer", [1.5, -0.1, math.nan, "much", Verdict(2.0), [1]])
def test_what_is_no_value_is_an_abstention_with_an_error(answer):
    (verdict,) = FunctionVerifier(lambda _: answer, name="f").verify(group("a")).items
    assert verdict.abstains
    assert verdict.error


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_failure_is_its_candidates_own(mode):
    def picky(trajectory):
        if trajectory.turns[-1].action == "b":
            raise RuntimeError("no b")
        return True

    verifier = FunctionVerifier(picky)
    asked = group("a", "b", "c")
    batch = (
        verifier.verify(asked)
        if mode == "sync"
        else asyncio.run(verifier.averify(asked))
    )
    assert [v.value for v in batch.items] == [1.0, None, 1.0]
    assert batch.items[1].error == "RuntimeError: no b"


def test_a_groups_function_must_answer_for_each():
    few = FunctionVerifier(lambda _: [True], name="few", mode="group")
    assert all(v.error for v in few.verify(group("a", "b")).items)
    none = FunctionVerifier(lambda _: True, name="none", mode="group")
    assert all(v.error for v in none.verify(group("a", "b")).items)


async def test_a_coroutine_function_runs_sync_inside_a_loop():
    async def told(trajectory):
        await asyncio.sleep(0)
        return trajectory.turns[-1].action == "a"

    batch = FunctionVerifier(told).verify(group("a", "b"))
    assert [v.value for v in batch.items] == [1.0, 0.0]


def test_name_purpose_and_applies():
    verifier = FunctionVerifier(short, applies=lambda t: t.goal == "brief")
    assert verifier.name == "short"
    assert verifier.purpose == "Checks that the answer is short."
    assert not verifier.applies(group("a")[0])
    with pytest.raises(ConfigurationError, match="has no name"):
        FunctionVerifier(lambda _: True)
    with pytest.raises(ConfigurationError, match="cannot be called"):
        FunctionVerifier(3)


def test_it_asks_for_admissible_actions_only_if_told_to():
    assert not RewardAgent(None, [short]).reads_admissible
    reader = FunctionVerifier(short, reads_admissible=True)
    assert RewardAgent(None, [reader]).reads_admissible
