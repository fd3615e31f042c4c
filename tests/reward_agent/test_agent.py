from __future__ import annotations

import asyncio
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_agentrm.errors import ConfigurationError, RewardModelError
from langchain_agentrm.reward_agent import (
    AlwaysRouter,
    FunctionVerifier,
    LLMJudge,
    LLMRouter,
    MajorityVote,
    RewardAgent,
    Route,
    Verdict,
    WeightedSum,
    force,
)
from langchain_agentrm.testing.reward_model import RewardModelConformance
from langchain_agentrm.testing.scripted import ScriptedPolicy, ScriptedRewardModel
from langchain_agentrm.types import Batch, Score, Usage
from tests.reward_agent.doubles import Scripted, by, group, values


def longer(trajectory):
    """Prefers what is long."""
    return min(1.0, len(trajectory.turns[-1].action) / 100)


def first_person(trajectory):
    return None if "door" in trajectory.turns[-1].action else 0.5


JUDGE = ["Better: 1"]


class TestPlain(RewardModelConformance):
    @pytest.fixture(params=["default", "sum", "vote", "judge", "only", "llm-router"])
    def reward_model(self, request):
        preference = ScriptedRewardModel(lambda t: len(t.turns[-1].action) % 7)
        judger = {
            "sum": WeightedSum(normalize="zscore"),
            "vote": MajorityVote(),
            "judge": LLMJudge(ScriptedPolicy(answers=JUDGE)),
        }.get(request.param)
        router = (
            LLMRouter(ScriptedPolicy(answers=['{"checks": ["longer"]}']))
            if request.param == "llm-router"
            else None
        )
        return RewardAgent(
            None if request.param == "only" else preference,
            [longer, first_person],
            judger=judger,
            router=router,
        )


def test_a_verdict_decides_and_the_preference_breaks_ties():
    agent = RewardAgent(
        by(a=9, b=1, c=2), [Scripted("rules", {"a": 0, "b": 1, "c": 1})]
    )
    batch = agent.score(group("a", "b", "c"))
    assert values(batch) == [0.0, 0.5, 1.0]
    assert batch.items[1].signals == {"preference": 1, "rules": 1}


def test_a_signal_that_one_candidate_lacks_counts_for_none():
    agent = RewardAgent(by(a=1, b=2), [Scripted("rules", {"a": 1})])
    batch = agent.score(group("a", "b"))
    assert values(batch) == [0, 1]
    assert batch.items[0].signals == {"preference": 1, "rules": 1}
    assert "failed_signals" not in batch.items[0].signals
    one, _ = agent.explain(group("a", "b"))
    assert one.used == ("preference",)
    assert "1 of 2" in one.left_out["rules"]
    assert "not in the script" in one.left_out["rules"]


def test_groups_do_not_mix():
    agent = RewardAgent(by(a=1, b=2), [Scripted("rules", {"a": 1})])
    one, other = group("a", "b", name="1"), group("a", name="2")
    batch = agent.score([one[0], other[0], one[1]])
    assert values(batch) == [0, 0.5, 1]


def test_equal_candidates_are_asked_about_once_in_an_order_of_their_own():
    preference = by(a=1, b=2, c=3)
    rules = Scripted("rules", dict.fromkeys("abc", 1))
    agent = RewardAgent(preference, [rules])
    assert values(agent.score(group("c", "a", "c", "b"))) == [1, 0, 1, 0.5]
    assert rules.asked == [["a", "b", "c"]]
    assert [t.turns[-1].action for t in preference.batches[0]] == ["a", "b", "c"]


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=6))
@settings(max_examples=40, deadline=None)
def test_a_score_goes_with_the_candidate_whatever_the_order(actions):
    agent = RewardAgent(
        by(a=1, b=2, c=2, d=0),
        [Scripted("rules", {"a": 1, "b": 0.5, "c": 0.5, "d": 0})],
    )
    forward = values(agent.score(group(*actions)))
    assert values(agent.score(group(*actions[::-1]))) == forward[::-1]


def test_usage_is_summed_once_over_everybody():
    agent = RewardAgent(
        by(a=1, b=2),
        [
            Scripted("x", {"a": 1, "b": 1}, usage=Usage(3, 5, 7, 2)),
            Scripted("y", {}, usage=Usage(1, 1, 1)),
        ],
        router=LLMRouter(ScriptedPolicy(answers=['{"checks": ["x", "y"]}'])),
        judger=LLMJudge(ScriptedPolicy(answers=JUDGE)),
    )
    usage = agent.score(group("a", "b")).usage
    assert usage.requests == 1 + 3 + 1 + 1 + 2
    assert usage.cached_tokens == 2


@pytest.mark.parametrize("twin", [False, True])
def test_a_verifier_that_raises_is_left_out_and_marked(twin):
    agent = RewardAgent(
        by(a=1, b=2),
        [Scripted("bad", KeyError("x")), Scripted("good", {"a": 1, "b": 0})],
    )
    asked = group("a", "b")
    batch = asyncio.run(agent.ascore(asked)) if twin else agent.score(asked)
    assert values(batch) == [1, 0]
    assert batch.items[0].signals["failed_signals"] == 1
    one = agent.explain(asked)[0]
    assert one.left_out == {"bad": "it failed: KeyError: 'x'"}
    assert "bad left out: it failed" in str(one)


def test_an_abstention_with_error_is_marked_one_without_is_not():
    failed = Verdict(reason="no answer", error="TimeoutError")
    agent = RewardAgent(by(a=1, b=2), [Scripted("x", {"a": failed, "b": failed})])
    batch = agent.score(group("a", "b"))
    assert values(batch) == [0, 1]
    assert batch.items[0].signals["failed_signals"] == 1


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        (Batch([Verdict(1.0)]), "1 verdicts for 2"),
        (Batch([1.0, 1.0]), "float"),
        ([Verdict(1.0)] * 2, "list"),
        (Batch([Verdict(1.5), Verdict(0.1)]), "1.5"),
        (Batch([Verdict(float("nan")), Verdict(0.1)]), "nan"),
        (Batch([Verdict("1"), Verdict(0.1)]), "'1'"),
    ],
)
def test_a_verifier_that_breaks_its_contract_is_left_out(answer, named):
    bad = Scripted("bad", {})
    bad.verify = lambda trajectories: answer
    agent = RewardAgent(by(a=1, b=2), [bad])
    (one, _) = agent.explain(group("a", "b"))
    assert named in one.left_out["bad"]
    assert one.signals["failed_signals"] == 1
    assert one.used == ("preference",)


def test_a_preference_that_fails_leaves_the_verifiers():
    preference = ScriptedRewardModel({}, error=RewardModelError("gone"))
    agent = RewardAgent(preference, [Scripted("rules", {"a": 1, "b": 0})])
    batch = agent.score(group("a", "b"))
    assert values(batch) == [1, 0]
    assert batch.items[0].signals == {"rules": 1, "failed_signals": 1}


def test_a_preference_that_lacks_one_candidate_is_left_out_for_all():
    agent = RewardAgent(by(a=1, b=5), [Scripted("rules", {"a": 1, "b": 1, "c": 0})])
    batch = agent.score(group("a", "b", "c"))
    assert values(batch) == [1, 1, 0]
    assert batch.items[0].signals["failed_signals"] == 1


def test_without_any_common_signal_those_with_a_preference_are_judged():
    agent = RewardAgent(by(a=1, b=5), [Scripted("rules", {"a": 1})])
    scores = agent.score(group("a", "b", "c")).items
    assert [s.value for s in scores] == [0, 1, None]
    assert "no score for action 'c'" in scores[2].error


def test_nothing_left_is_an_error_not_a_score():
    agent = RewardAgent(None, [Scripted("rules", {})])
    scores = agent.score(group("a", "b")).items
    assert [s.value for s in scores] == [None, None]
    assert "not in the script" in scores[0].error
    quiet = RewardAgent(None, [Scripted("rules", {"a": 1}, applies=False)])
    (score,) = quiet.score(group("a")).items
    assert "no verifier was chosen" in score.error


@pytest.mark.parametrize(
    ("error", "retryable"), [(ConnectionError, True), (OSError, 0)]
)
def test_nothing_left_because_a_part_failed_raises(error, retryable):
    agent = RewardAgent(
        ScriptedRewardModel({}, error=error("gone")), [Scripted("rules", {})]
    )
    with pytest.raises(RewardModelError, match="gone") as caught:
        agent.score(group("a", "b"))
    assert caught.value.retryable == retryable
    assert caught.value.remedy


def test_one_group_with_a_score_is_not_lost_with_another():
    class Half:
        names = frozenset()

        def resolution(self, preference):
            return 0.0

        def judge(self, trajectories, signals):
            if trajectories[0].group == "2":
                raise OSError("full")
            return Batch([Score(1.0)] * len(trajectories))

    agent = RewardAgent(by(a=1), judger=Half())
    one, other = agent.score([*group("a", name="1"), *group("a", name="2")]).items
    assert one.value == 1
    assert other.error == "the judger failed: OSError: full"


def test_a_mistake_in_the_options_is_raised_not_marked():
    agent = RewardAgent(
        by(a=1), [Scripted("rules", ConfigurationError("no such option"))]
    )
    with pytest.raises(ConfigurationError):
        agent.score(group("a"))
    with pytest.raises(ConfigurationError):
        asyncio.run(agent.ascore(group("a")))


def test_only_the_verifiers_chosen_run():
    x, y = Scripted("x", {"a": 1}), Scripted("y", {"a": 1}, applies=False)
    RewardAgent(by(a=1), [x, y]).score(group("a"))
    assert (len(x.asked), len(y.asked)) == (1, 0)
    RewardAgent(by(a=1), [x, y], router=force(["y"])).score(group("a"))
    assert (len(x.asked), len(y.asked)) == (1, 1)
    RewardAgent(by(a=1), [x, y], router=AlwaysRouter()).score(group("a"))
    assert (len(x.asked), len(y.asked)) == (2, 2)


def test_a_router_that_fails_falls_back_and_is_marked():
    class Broken:
        def route(self, trajectories, verifiers):
            raise ValueError("lost")

        aroute = route

    agent = RewardAgent(by(a=1), [Scripted("x", {"a": 1})], router=Broken())
    (one,) = agent.explain(group("a"))
    assert one.route.names == ("x",)
    assert "ValueError: lost" in one.route.error
    assert "router" in str(one)


def test_preference_and_verifiers_run_at_once():
    async def both():
        gate = asyncio.Barrier(3)

        class Slow(Scripted):
            async def averify(self, trajectories):
                await gate.wait()
                return self.verify(trajectories)

        class Preference(ScriptedRewardModel):
            async def ascore(self, trajectories):
                await gate.wait()
                return self.score(trajectories)

        agent = RewardAgent(
            Preference({"a": 1}), [Slow("x", {"a": 1}), Slow("y", {"a": 1})]
        )
        return await asyncio.wait_for(agent.ascore(group("a")), 5)

    assert values(asyncio.run(both())) == [0.5]


def test_no_more_than_asked_for_run_at_once():
    flying, most = 0, 0

    class Slow(Scripted):
        async def averify(self, trajectories):
            nonlocal flying, most
            flying += 1
            most = max(most, flying)
            await asyncio.sleep(0.001)
            flying -= 1
            return self.verify(trajectories)

    agent = RewardAgent(None, [Slow("x", {"a": 1})], max_concurrency=3)
    asked = [t for i in range(12) for t in group("a", name=str(i))]
    assert values(asyncio.run(agent.ascore(asked))) == [0.5] * 12
    assert most == 3


def test_several_threads_may_score():
    agent = RewardAgent(
        by(a=1, b=2),
        [Scripted("x", {"a": 1, "b": 0})],
        router=LLMRouter(ScriptedPolicy(answers=['{"checks": ["x"]}'])),
    )
    got = []

    def score():
        got.append(values(agent.score(group("a", "b"))))

    threads = [threading.Thread(target=score) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [[1, 0]] * 8


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (RewardAgent, "no signal"),
        (lambda: RewardAgent(None, [longer, longer]), "'longer'"),
        (lambda: RewardAgent(None, [Scripted("preference", {})]), "'preference'"),
        (lambda: RewardAgent(None, [Scripted("failed_signals", {})]), "failed_signals"),
        (lambda: RewardAgent(None, [longer], router=force(["rules"])), "'rules'"),
        (lambda: RewardAgent(None, [longer], judger=MajorityVote({"x": 1})), "'x'"),
        (lambda: RewardAgent(None, [3]), "3 is no verifier"),
        (lambda: RewardAgent(None, [longer], max_concurrency=0), "max_concurrency=0"),
        (
            lambda: RewardAgent(ScriptedRewardModel({}, comparable="depth"), [longer]),
            "one length",
        ),
    ],
)
def test_parts_that_do_not_fit_are_refused(make, named):
    with pytest.raises(ConfigurationError, match=named) as caught:
        make()
    assert caught.value.remedy


def test_half_a_verifier_is_named_with_what_it_lacks():
    class Half:
        name = "half"
        mode = "pointwise"

        def __call__(self, trajectory):
            return 1.0

    with pytest.raises(ConfigurationError, match="purpose, applies, verify, averify"):
        RewardAgent(None, [Half()])


def test_the_resolution_is_the_judgers():
    preference = ScriptedRewardModel({}, resolution=1e-4)
    assert RewardAgent(preference).resolution == 1e-9
    assert RewardAgent(preference, judger=WeightedSum()).resolution == 1e-4


def test_it_says_who_reads_the_admissible_actions():
    reader = FunctionVerifier(longer, reads_admissible=True)
    assert RewardAgent(None, [reader]).reads_admissible
    assert not RewardAgent(None, [longer]).reads_admissible


def test_a_users_router_is_taken():
    class Mine:
        def route(self, trajectories, verifiers):
            return Batch([Route((), "mine")] * len(trajectories), Usage(2))

        async def aroute(self, trajectories, verifiers):
            return self.route(trajectories, verifiers)

    agent = RewardAgent(by(a=1), [Scripted("x", {"a": 1})], router=Mine())
    batch = agent.score(group("a"))
    assert batch.usage.requests == 3
    assert batch.items[0].signals == {"preference": 1}


def test_a_router_that_names_what_is_not_there_is_marked():
    class Odd:
        def route(self, trajectories, verifiers):
            return Batch([Route(("x", "ghost"), "odd")] * len(trajectories))

    agent = RewardAgent(by(a=1), [Scripted("x", {"a": 1})], router=Odd())
    (one,) = agent.explain(group("a"))
    assert one.route.names == ("x",)
    assert "'ghost'" in one.route.error
