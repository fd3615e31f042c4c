"""The suite for verifiers, on verifiers that keep the contract and that break it."""

from __future__ import annotations

import re
import textwrap

import pytest

from langchain_agentrm.reward_agent import FunctionVerifier, RewardAgent, Verdict
from langchain_agentrm.testing import verifier as suite
from langchain_agentrm.testing.scripted import ScriptedRewardModel
from langchain_agentrm.testing.verifier import VerifierConformance
from langchain_agentrm.types import Batch, Usage


def short(trajectory):
    """Checks that an answer is short."""
    return len(trajectory.turns[-1].action) < 30 if trajectory.turns else None


async def slow(trajectory):
    """Checks nothing, in its own time."""
    return 0.5


def longest(trajectories):
    """Checks which answer is the longest."""
    lengths = [len(t.turns[-1].action) if t.turns else 0 for t in trajectories]
    return [float(n == max(lengths)) for n in lengths]


class TestShort(VerifierConformance):
    @pytest.fixture(params=["plain", "coroutine", "group", "choosy"])
    def verifier(self, request):
        if request.param == "choosy":

            def choosy(trajectory):
                return short(trajectory) if "Mona" in trajectory.goal else None

            return FunctionVerifier(choosy, applies=lambda t: "Mona" in t.goal)
        if request.param == "group":
            return FunctionVerifier(longest, mode="group")
        return FunctionVerifier(short if request.param == "plain" else slow)


class Broken:
    """A verifier with one fault."""

    name = "broken"
    mode = "pointwise"
    purpose = "Has a fault."

    def __init__(self, fault):
        self.fault = fault
        self.calls = 0
        if fault == "no purpose":
            self.purpose = " "

    def applies(self, trajectory):
        return self.fault != "does not apply"

    def verify(self, trajectories, *, twin=False):
        self.calls += 1
        texts = [t.turns[-1].action if t.turns else "" for t in trajectories]
        if self.fault == "raises" and any("\x00" in text for text in texts):
            raise ValueError("NUL")
        values = [1 / (1 + len(text)) for text in texts]
        if self.fault == "place":
            values = [1 / (1 + i) for i in range(len(texts))]
        if self.fault == "range":
            values = [3.0 for _ in texts]
        if self.fault == "rivals":
            values = [value / len(texts) for value in values]
        if self.fault == "memory":
            values = [value / self.calls for value in values]
        if self.fault == "twin" and twin:
            values = [1 - value for value in values]
        verdicts = [Verdict(value) for value in values]
        if self.fault == "lost":
            verdicts = verdicts[1:]
        if self.fault == "mute":
            verdicts = [Verdict() for _ in texts]
        if self.fault == "undecided":
            verdicts = [Verdict(reason="who knows") for _ in texts]
        usage = Usage(1, 9, 9) if self.fault == "spends" else Usage()
        return Batch(verdicts, usage)

    async def averify(self, trajectories):
        return self.verify(trajectories, twin=True)


CAUGHT_BY = {
    "no purpose": "test_declares_itself",
    "does not apply": "test_abstains_where_it_does_not_apply",
    "raises": "test_hostile_texts",
    "place": "test_order_is_kept",
    "range": "test_one_verdict_each",
    "rivals": "test_pointwise_verdicts_stand_alone",
    "memory": "test_twice_is_the_same",
    "twin": "test_async_equals_sync",
    "lost": "test_one_verdict_each",
    "mute": "test_one_verdict_each",
    "undecided": "test_one_verdict_each",
    "spends": "test_empty",
}


def run(check, verifier):
    tests = VerifierConformance()
    group = [suite._path(suite._REQUEST, answer) for answer in suite._ANSWERS]
    if check == "test_hostile_texts":
        tests.test_hostile_texts(verifier, "answer")
    elif check in {"test_declares_itself", "test_empty"}:
        getattr(tests, check)(verifier)
    elif check == "test_abstains_where_it_does_not_apply":
        tests.test_abstains_where_it_does_not_apply(verifier, group, group[:1])
    else:
        getattr(tests, check)(verifier, group)


@pytest.mark.parametrize(("fault", "check"), CAUGHT_BY.items())
def test_each_fault_is_caught(fault, check):
    run(check, Broken("none"))
    with pytest.raises((AssertionError, ValueError)):
        run(check, Broken(fault))


def test_duplicates_are_compared():
    class Odd(Broken):
        def verify(self, trajectories, *, twin=False):
            values = [i % 3 / 3 for i in range(len(trajectories))]
            return Batch([Verdict(value) for value in values])

    with pytest.raises(AssertionError):
        run("test_duplicates_are_equal", Odd("none"))


@pytest.mark.parametrize("documented", [RewardAgent, VerifierConformance])
def test_the_examples_run(documented):
    text = textwrap.dedent(documented.__doc__.partition("\n")[2])
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(textwrap.dedent(code), names := {})
    if documented is RewardAgent:
        scores = names["agent"].score(names["group"]).items
        assert [s.value for s in scores] == [0.0, 1.0]
    else:
        assert names["TestShort"].__bases__ == (VerifierConformance,)


def test_a_verifier_that_passes_works_in_an_agent():
    agent = RewardAgent(ScriptedRewardModel(lambda t: 0.0), [short])
    group = [suite._path(suite._REQUEST, answer) for answer in suite._ANSWERS]
    assert [s.value for s in agent.score(group).items] == [0.0, 0.0, 1.0, 1.0]
