"""`RewardAgent.upstream` beside a small reference that follows the public rules."""

from __future__ import annotations

import asyncio
import random
import re

import pytest

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.reward_agent import Passage, RewardAgent, Signal
from langchain_agentrm.reward_agent._upstream.factuality import pairs_drawn
from langchain_agentrm.reward_agent._upstream.judger import judger
from langchain_agentrm.reward_agent.sandbox import Outcome
from langchain_agentrm.testing.scripted import ScriptedPolicy, ScriptedRewardModel
from langchain_agentrm.trajectory import Trajectory, Turn
from langchain_agentrm.types import Batch
from tests.reward_agent.upstream_reference import CODES, FAULTS, Oracle, Reference


class Trusting:
    """A sandbox that is none, as strict about answers as the real ones."""

    name = "trusting"
    modules = frozenset()

    def check(self, code, answers, *, seconds=None):
        out = []
        for answer in answers:
            names = {}
            try:
                exec(code, names)
                result = names["check_following"](answer)
                assert type(result) is bool
                out.append(Outcome(result))
            except FAULTS as error:
                out.append(Outcome(None, "raised", f"{type(error).__name__}: {error}"))
        return out

    def close(self):
        pass


WORDS = ["the", "sky", "is", "red", "blue", "today", "and", "so", "poor", "aeon"]


def a_case(seed, n):
    draw = random.Random(seed)
    answers = [
        f"{i} " + " ".join(draw.choices(WORDS, k=draw.randint(1, 7))) for i in range(n)
    ]
    worth = {a: draw.choice([0.0, 0.5, 1.0, -2.25, 0.3]) for a in answers}
    request = f"Say something about the sky, number {seed}."
    paths = [Trajectory((Turn("", a),), goal=request, group="g") for a in answers]
    return request, answers, worth, paths


def chosen(batch):
    values = [score.value for score in batch.items]
    assert None not in values, batch.items
    best = [i for i, value in enumerate(values) if value == max(values)]
    return best[0] if len(best) == 1 else None


def agent_of(oracle, worth, kind="weighted_sum", **options):
    model = oracle.model()
    return RewardAgent.upstream(
        model,
        model,
        ScriptedRewardModel(worth),
        sandbox=options.pop("sandbox", Trusting()),
        judger=kind,
        **options,
    )


@pytest.mark.parametrize("kind", ["weighted_sum", "major_vote", "llm"])
def test_pairs_have_the_reference_winner(kind):
    winners = []
    for seed in range(400):
        request, answers, worth, paths = a_case(seed, 2)
        oracle = Oracle(seed)
        expected = Reference(oracle, worth.get, kind).winner(request, answers, [])
        assert chosen(agent_of(oracle, worth, kind).score(paths)) == expected, seed
        winners.append(expected)
    assert min(winners.count(0), winners.count(1)) > 40, "both sides win somewhere"


@pytest.mark.parametrize("kind", ["weighted_sum", "major_vote"])
@pytest.mark.parametrize("n", [3, 5, 9])
def test_best_of_n_has_the_reference_winner(kind, n):
    winners = []
    for seed in range(100):
        request, answers, worth, paths = a_case(seed, n)
        oracle = Oracle(seed)
        pairs = pairs_drawn(paths, 0)
        assert len(set(pairs)) == n
        expected = Reference(oracle, worth.get, kind).winner(request, answers, pairs)
        assert chosen(agent_of(oracle, worth, kind).score(paths)) == expected, seed
        winners.append(expected)
    assert len(set(winners)) == n


@pytest.mark.parametrize(
    ("n", "winner"), [(2, 0), (3, 1)], ids=["a draw of two", "no draw of three"]
)
def test_floats_are_added_in_the_public_order(n, winner):
    columns = {
        "constraint": (0.0, 0.1, 0.0),
        "preference": (0.0, 0.1, 0.0),
        "factuality": (0.6, 0.4, 0.0),
    }
    signals = [Signal(name, values[:n]) for name, values in columns.items()]
    batch = judger("weighted_sum", ScriptedPolicy(answers=["x"]), 0).judge(
        a_case(0, n)[-1], signals
    )
    assert chosen(batch) == winner


def test_async_has_the_same_winner():
    for seed in range(20):
        *_, worth, paths = a_case(seed, 4)
        agent = agent_of(Oracle(seed), worth)
        assert asyncio.run(agent.ascore(paths)) == agent.score(paths)


def test_a_draw_goes_to_the_first_of_equal_answers_too():
    path = Trajectory((Turn("", "same"),), goal="r", group="g")
    for n in (2, 3):
        model = ScriptedPolicy(answers=["neither"])
        agent = RewardAgent.upstream(
            model, None, ScriptedRewardModel({"same": 1.0}), sandbox=Trusting()
        )
        assert chosen(agent.score([path] * n)) == 0


def test_checks_can_be_forced():
    oracle = Oracle(3)
    *_, worth, paths = a_case(3, 2)
    agent = agent_of(oracle, worth, force=["constraint"])
    (one, _) = agent.explain(paths)
    assert one.route.names == ("constraint",)
    with pytest.raises(ConfigurationError, match="'facts'"):
        agent_of(oracle, worth, force=["facts"])


def test_what_is_made_up_is_told():
    answers = {"plan": "[[A]] [[B]]", "grades": "no idea", "constraints": "none"}

    def answer(messages, _rng):
        step = re.match(r"Step: (\w+)", messages[0].text)[1]
        return answers.get(step, "[]")

    model = ScriptedPolicy(answers=answer)
    agent = RewardAgent.upstream(model, sandbox=Trusting())
    one, _ = agent.explain(a_case(0, 2)[-1])
    assert "counts that 0.5" in one.verdicts["constraint"].reason
    assert "grades 5" in one.verdicts["factuality"].reason
    assert one.signals == {"factuality": 0.5, "constraint": 0.5}


def test_the_limits_of_the_public_code_are_asked_for():
    oracle = Oracle(1)
    for seed in range(30):
        *_, worth, paths = a_case(seed, 2)
        agent = agent_of(oracle, worth, force=["factuality", "constraint"])
        agent.score(paths)
        model = agent.verifiers[0].llm
        for request in model.requests:
            step = re.match(r"Step: (\w+)", request["messages"][0].text)[1]
            assert request["max_tokens"] == {
                "verifiable": 1,
                "evidence": 512,
                "grades": 512,
                "repair": 1024,
            }.get(step, 256)


class Books:
    def __init__(self, answer):
        self.answer = answer
        self.asked = []

    def search(self, queries):
        self.asked += queries
        return Batch([self.answer for _ in queries])

    async def asearch(self, queries):
        return self.search(queries)


def test_evidence_of_ones_own_is_cut_to_five_passages():
    oracle = Oracle(0)
    books = Books([Passage(f"page {i}", "book") for i in range(9)])
    *_, worth, paths = a_case(0, 2)
    agent = agent_of(oracle, worth, force=["factuality"], evidence=books)
    agent.score(paths)
    graded = [
        m["messages"][0].text
        for m in agent.verifiers[0].llm.requests
        if "Step: grades" in m["messages"][0].text
    ]
    assert books.asked
    assert "page 4" in graded[0]
    assert "page 5" not in graded[0]


@pytest.mark.parametrize("failing", ["evidence", "model"])
def test_a_failure_is_marked_not_read_as_an_answer(failing):
    oracle = Oracle(0)
    *_, worth, paths = a_case(0, 2)
    agent = agent_of(
        oracle,
        worth,
        force=["factuality"],
        evidence=Books(OSError("gone")) if failing == "evidence" else None,
    )
    if failing == "model":
        agent.verifiers[0].llm.error = OSError("gone")
    (one, other) = agent.explain(paths)
    assert "OSError: gone" in one.left_out["factuality"]
    assert one.signals["failed_signals"] == 1
    assert one.signals.keys() == {"preference", "failed_signals"}
    assert (one.score.value > other.score.value) == (
        one.signals["preference"] >= other.signals["preference"]
    )


def test_a_planner_that_is_down_chooses_nothing_and_is_marked():
    *_, worth, paths = a_case(0, 2)
    agent = agent_of(Oracle(0), worth)
    agent.router.llm.error = OSError("gone")
    (one, _) = agent.explain(paths)
    assert one.route.names == ()
    assert "OSError: gone" in one.route.error


def test_the_models_judgement_is_of_pairs():
    *_, worth, paths = a_case(0, 3)
    with pytest.raises(ConfigurationError, match="3 candidates"):
        agent_of(Oracle(0), worth, "llm").score(paths)
    with pytest.raises(ConfigurationError, match="'elo'"):
        agent_of(Oracle(0), worth, "elo")


def test_checkers_run_in_the_real_sandbox_with_the_same_winners():
    pytest.importorskip("pydantic_monty")
    agreed = 0
    for seed in range(12):
        *_, worth, paths = a_case(seed, 2)
        oracle = Oracle(seed)
        real = agent_of(oracle, worth, force=["constraint"], sandbox=None)
        trusting = agent_of(oracle, worth, force=["constraint"])
        told = [
            [e.verdicts["constraint"].value for e in a.explain(paths)]
            for a in (real, trusting)
        ]
        assert told[0] == told[1], seed
        agreed += told[0] != [0.5, 0.5]
        real.verifiers[1].sandbox.close()
    assert agreed


def test_the_second_repair_is_paid_for_but_never_tried():
    bad, good = CODES[6], CODES[0]
    script = {"constraints": "WordChecker: many", "verifiable": "yes", "code": bad}
    repairs = []

    def answer(messages, _rng):
        step = re.match(r"Step: (\w+)", messages[0].text)[1]
        if step == "repair":
            repairs.append(step)
            return good if len(repairs) > tried else bad
        return script[step]

    told = []
    for tried in (0, 1):
        repairs.clear()
        agent = RewardAgent.upstream(
            ScriptedPolicy(answers=answer), sandbox=Trusting(), force=["constraint"]
        )
        told.append(agent.explain(a_case(5, 2)[-1])[0].verdicts["constraint"])
        assert len(repairs) == tried + 1
    assert told[0].reason == "1 of 1 checkers"
    assert "no checker is left" in told[1].reason
