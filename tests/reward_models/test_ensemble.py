from __future__ import annotations

import asyncio
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_agentrm.errors import ConfigurationError, RewardModelError
from langchain_agentrm.reward_models import FunctionRewardModel
from langchain_agentrm.reward_models.ensemble import EnsembleRewardModel
from langchain_agentrm.testing.reward_model import RewardModelConformance
from langchain_agentrm.testing.scripted import ScriptedRewardModel
from langchain_agentrm.trajectory import Trajectory, Turn
from langchain_agentrm.types import Batch, Score


def group(*actions, name="g"):
    return [Trajectory((Turn("o", a),), group=name) for a in actions]


def by(**scores):
    return ScriptedRewardModel(scores)


def values(batch):
    assert all(score.ok for score in batch.items), batch.items
    return [score.value for score in batch.items]


class Conformance(RewardModelConformance):
    how = "mean"

    @pytest.fixture
    def reward_model(self):
        return EnsembleRewardModel(
            {
                "turns": FunctionRewardModel(lambda ts: [len(t.turns) for t in ts]),
                "text": FunctionRewardModel(
                    lambda ts: [len(t.turns[-1].action) / 9 for t in ts],
                    resolution=1e-4,
                ),
            },
            how=self.how,
            weights=[1, 2] if self.how == "weighted" else None,
        )


class TestMean(Conformance):
    how = "mean"


class TestMin(Conformance):
    how = "min"


class TestWeighted(Conformance):
    how = "weighted"


class TestRank(Conformance):
    how = "rank"


def test_mean_min_and_weights():
    members = {"one": by(a=1.0, b=0.0), "two": by(a=0.0, b=0.5)}
    both = group("a", "b")
    assert values(EnsembleRewardModel(members).score(both)) == [0.5, 0.25]
    assert values(EnsembleRewardModel(members, how="min").score(both)) == [0.0, 0.0]
    weighted = EnsembleRewardModel(
        members, how="weighted", weights={"two": 3, "one": 1}
    )
    assert values(weighted.score(both)) == [0.25, 0.375]


def test_a_list_is_named_and_weighed_in_order():
    model = EnsembleRewardModel([by(a=1.0), by(a=0.0)], how="weighted", weights=[1, 3])
    (score,) = model.score(group("a")).items
    assert score.value == 0.25
    assert score.signals == {"rm0": 1.0, "rm1": 0.0}


def test_members_signals_are_kept_under_their_names():
    inner = EnsembleRewardModel({"x": by(a=0.5)})
    (score,) = EnsembleRewardModel({"in": inner}).score(group("a")).items
    assert score.signals == {"in": 0.5, "in.x": 0.5}


def test_ranks_need_no_common_scale():
    model = EnsembleRewardModel(
        {"small": by(a=0.1, b=0.2, c=0.3), "large": by(a=100, b=900, c=-5)}, how="rank"
    )
    assert values(model.score(group("a", "b", "c"))) == [0.25, 0.75, 0.5]


def test_ranks_tie_within_a_members_resolution():
    close = ScriptedRewardModel({"a": 0.5, "b": 0.50001}, resolution=1e-4)
    model = EnsembleRewardModel({"close": close}, how="rank")
    assert values(model.score(group("a", "b"))) == [0.5, 0.5]


def test_equal_candidates_hold_one_place():
    model = EnsembleRewardModel({"m": by(a=3, b=2, c=1)}, how="rank")
    once = values(model.score(group("a", "b", "c")))
    twice = values(model.score(group("a", "b", "b", "c")))
    assert twice == [once[0], once[1], once[1], once[2]] == [1.0, 0.5, 0.5, 0.0]


def test_groups_are_ranked_apart():
    model = EnsembleRewardModel({"m": by(a=1, b=2, c=3, d=4)}, how="rank")
    both = [*group("a", "b", name="x"), *group("c", "d", name="y")]
    assert values(model.score(both)) == [0.0, 1.0, 0.0, 1.0]
    assert values(model.score(group("a"))) == [0.5]


@given(
    table=st.lists(
        st.tuples(*[st.floats(-1e6, 1e6)] * 3), min_size=2, max_size=6, unique=True
    ),
    how=st.sampled_from(["mean", "min", "rank"]),
)
@settings(max_examples=60, deadline=None)
def test_who_is_better_for_every_member_is_never_behind(table, how):
    members = [
        FunctionRewardModel(
            lambda ts, k=k: [table[int(t.turns[-1].action)][k] for t in ts]
        )
        for k in range(3)
    ]
    model = EnsembleRewardModel(members, how=how)
    scores = values(model.score(group(*map(str, range(len(table))))))
    for i, one in enumerate(table):
        for j, other in enumerate(table):
            if all(x >= y for x, y in zip(one, other, strict=True)):
                assert scores[i] >= scores[j] - 1e-9


def test_a_missing_score_errs_for_its_candidate_alone():
    model = EnsembleRewardModel({"all": by(a=1.0, b=0.5), "part": by(a=0.0)})
    one, other = model.score(group("a", "b")).items
    assert one.value == 0.5
    assert "part: the script has no score for action 'b'" in other.error


def test_skip_leaves_a_member_out_for_the_whole_group():
    members = {"all": by(a=1.0, b=0.5, c=0.2), "part": by(a=0.0, c=0.4)}
    model = EnsembleRewardModel(members, missing="skip")
    a, b, c = model.score([*group("a", "b", name="x"), *group("c", name="y")]).items
    assert (a.value, b.value) == (1.0, 0.5)
    assert c.value == pytest.approx(0.3)
    assert a.signals["skipped_members"] == 1
    assert a.signals["part"] == 0.0, "what it did say stays visible"
    assert "skipped_members" not in c.signals


def test_skip_without_a_common_member_invents_nothing():
    model = EnsembleRewardModel({"x": by(a=1.0), "y": by(b=1.0)}, missing="skip")
    items = model.score(group("a", "b")).items
    assert all("no member" in s.error and "x: " in s.error for s in items)


def test_skip_a_candidate_that_nobody_scored_leaves_the_others_alone():
    members = {"x": by(a=1.0, b=0.0), "y": by(a=0.5, b=0.5)}
    a, b, c = (
        EnsembleRewardModel(members, missing="skip").score(group("a", "b", "c")).items
    )
    assert (a.value, b.value) == (0.75, 0.25)
    assert "x: " in c.error
    assert "y: " in c.error


def broken(retryable):
    return ScriptedRewardModel({}, error=RewardModelError("down.", retryable=retryable))


@pytest.mark.parametrize("retryable", [True, False])
def test_a_member_that_failed_is_named_and_says_if_a_retry_helps(retryable):
    model = EnsembleRewardModel({"ok": by(a=1.0), "bad": broken(retryable)})
    with pytest.raises(RewardModelError, match=r"'bad' failed: down\.") as caught:
        model.score(group("a"))
    assert caught.value.retryable is retryable
    with pytest.raises(RewardModelError, match="'bad'"):
        asyncio.run(model.ascore(group("a")))


def test_skip_goes_on_without_a_member_that_failed():
    members = {"ok": by(a=1.0, b=0.0), "bad": broken(True)}
    model = EnsembleRewardModel(members, missing="skip")
    batch = model.score(group("a", "b"))
    assert values(batch) == [1.0, 0.0]
    assert batch.usage.requests == 1
    everything = EnsembleRewardModel([broken(True), broken(True)], missing="skip")
    with pytest.raises(RewardModelError, match="rm0"):
        everything.score(group("a"))


def test_a_mistake_in_a_member_is_not_hidden():
    def wrong(_):
        raise ZeroDivisionError

    model = EnsembleRewardModel([FunctionRewardModel(wrong)], missing="skip")
    with pytest.raises(ZeroDivisionError):
        model.score(group("a"))
    with pytest.raises(ZeroDivisionError):
        asyncio.run(model.ascore(group("a")))


def test_async_asks_all_members_at_once():
    class Slow:
        resolution = 0.0
        comparable = "global"

        def score(self, trajectories):
            raise AssertionError

        async def ascore(self, trajectories):
            await meeting.wait()
            return Batch([Score(1.0)] * len(trajectories))

    async def main():
        nonlocal meeting
        meeting = asyncio.Barrier(2)
        return await asyncio.wait_for(
            EnsembleRewardModel([Slow(), Slow()]).ascore(group("a")), timeout=5
        )

    meeting = None
    assert values(asyncio.run(main())) == [1.0]


def test_a_mistake_in_one_member_leaves_no_other_running():
    done = []

    class Slow:
        resolution = 0.0
        comparable = "global"

        async def ascore(self, trajectories):
            await asyncio.sleep(0.05)
            done.append(1)
            return Batch([Score(1.0)] * len(trajectories))

    def wrong(_):
        raise ZeroDivisionError

    async def main():
        with pytest.raises(ZeroDivisionError):
            await EnsembleRewardModel([FunctionRewardModel(wrong), Slow()]).ascore(
                group("a")
            )
        return list(done)

    assert asyncio.run(main()) == [1]


def test_usage_is_summed():
    batch = EnsembleRewardModel([by(a=1.0), by(a=1.0)]).score(group("a"))
    assert batch.usage.requests == 2


def scoped(comparable, resolution=0.0):
    return ScriptedRewardModel({}, comparable=comparable, resolution=resolution)


@pytest.mark.parametrize(
    ("scopes", "options", "expected"),
    [
        (["global", "global"], {}, "global"),
        (["global", "group"], {}, "group"),
        (["global", "depth"], {}, "depth"),
        (["global", "global"], {"how": "rank"}, "group"),
        (["global", "global"], {"missing": "skip"}, "group"),
    ],
)
def test_scope_is_the_narrowest(scopes, options, expected):
    model = EnsembleRewardModel([scoped(s) for s in scopes], **options)
    assert model.comparable == expected


@pytest.mark.parametrize(
    ("scopes", "how"), [(["depth", "group"], "mean"), (["depth", "global"], "rank")]
)
def test_scopes_that_exclude_each_other_are_refused(scopes, how):
    with pytest.raises(ConfigurationError, match="'rm0' are comparable between paths"):
        EnsembleRewardModel([scoped(s) for s in scopes], how=how)


def test_resolution_follows_from_the_members():
    members = [scoped("global", 0.1), scoped("global", 0.3)]
    assert EnsembleRewardModel(members).resolution == pytest.approx(0.2)
    assert EnsembleRewardModel(members, how="min").resolution == 0.3
    assert EnsembleRewardModel(members, missing="skip").resolution == 0.3
    assert EnsembleRewardModel(members, how="rank").resolution < 1e-6
    weighted = EnsembleRewardModel(members, how="weighted", weights=[3, 1])
    assert weighted.resolution == pytest.approx(0.15)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"how": "median"}, "median"),
        ({"missing": "zero"}, "zero"),
        ({"how": "weighted"}, "no weights"),
        ({"weights": [1, 2]}, "how='mean'"),
        ({"how": "weighted", "weights": [1]}, "rm0"),
        ({"how": "weighted", "weights": [1, 2, 3]}, "rm2"),
        ({"how": "weighted", "weights": {"rm0": 1, "x": 1}}, "'x'"),
        ({"how": "weighted", "weights": [1, 0]}, "positive"),
        ({"how": "weighted", "weights": [1, math.nan]}, "positive"),
        ({"how": "rank", "weights": [1, math.inf]}, "positive"),
    ],
)
def test_bad_options_are_named(options, named):
    with pytest.raises(ConfigurationError, match=named):
        EnsembleRewardModel([scoped("global")] * 2, **options)


def test_an_ensemble_of_none_is_refused():
    with pytest.raises(ConfigurationError, match="at least one"):
        EnsembleRewardModel({})
