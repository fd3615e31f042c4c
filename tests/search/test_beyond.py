"""Properties of what a search may do beyond the paper."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.search import (
    Finished,
    Kept,
    SearchOptions,
    Shelf,
    allot_close,
    blend,
    clear_lead,
    first_choices,
    keep,
    rank,
    revisit,
    spread,
    why_ended,
)
from langchain_agentrm.types import Candidate, Score

_scores = st.floats(-5, 5).map(lambda x: round(x, 2))
_maybe = st.none() | _scores


def _candidate(i, score, parent="p", votes=1, logprob=None):
    return Candidate(
        AIMessage(str(i)),
        parent=parent,
        id=f"c{i}",
        key=f"k{i}",
        votes=votes,
        logprob=logprob,
        score=None if score is None else Score(score),
    )


@st.composite
def _some(draw, least=0, prefix=0):
    return [
        _candidate(
            i + prefix,
            draw(_scores),
            draw(st.sampled_from("pqr")),
            draw(st.integers(1, 4)),
            draw(st.floats(-40, 0)),
        )
        for i in range(draw(st.integers(least, 8)))
    ]


@st.composite
def _finished(draw):
    return [
        Finished(f"f{i}", draw(_scores), draw(st.integers(1, 4)), f"q{i}")
        for i in range(draw(st.integers(0, 4)))
    ]


# Options.


@pytest.mark.parametrize(
    "wrong",
    [
        {"early_stop": -0.1},
        {"early_stop": math.nan},
        {"adaptive": 0.0},
        {"adaptive": math.inf},
        {"per_parent": 0},
        {"revisits": -1},
        {"dead_end": -1.0},
        {"memory": 0},
        {"vote_weight": math.inf},
        {"likelihood_weight": -1.0},
        {"vote_margin": -0.5},
        {"tie_break": "luck"},
    ],
)
def test_values_out_of_range_are_refused_by_name(wrong):
    (name,) = wrong
    with pytest.raises(ConfigurationError, match=f"{name}="):
        SearchOptions(**wrong)


def test_all_is_off_by_default_and_fits_every_reward_model():
    off = SearchOptions()
    for comparable in ("global", "group", "depth"):
        off.check(beam_width=5, comparable=comparable)
    assert not off.blends
    idle = {"dead_end", "memory", "tie_break"}
    for field in fields(off):
        assert field.name in idle or not getattr(off, field.name)


@pytest.mark.parametrize(
    ("options", "comparable", "fits"),
    [
        ({"revisits": 1}, "global", True),
        ({"revisits": 1}, "group", False),
        ({"revisits": 1}, "depth", False),
        ({"early_stop": 0.1}, "global", True),
        ({"early_stop": 0.0}, "group", True),
        ({"early_stop": 0.0}, "depth", False),
        ({"vote_weight": 0.1}, "group", False),
        ({"likelihood_weight": 0.1}, "depth", True),
    ],
)
def test_scores_are_compared_only_where_they_can_be(options, comparable, fits):
    made = SearchOptions(**options)
    if fits:
        made.check(beam_width=2, comparable=comparable)
    else:
        with pytest.raises(ConfigurationError, match="comparable within one"):
            made.check(beam_width=2, comparable=comparable)


def test_a_margin_of_one_path_is_refused_for_several():
    SearchOptions(vote_margin=0.1).check(beam_width=1, comparable="group")
    with pytest.raises(ConfigurationError, match="beam_width=1"):
        SearchOptions(vote_margin=0.1).check(beam_width=2, comparable="global")


# Adaptive draws.


@given(st.lists(_maybe, min_size=1, max_size=9), st.integers(0, 40), st.floats(0.01, 9))
def test_a_step_costs_the_same_however_its_draws_are_shared(values, spare, halving):
    total = len(values) + spare
    draws = allot_close(values, total, halving=halving)
    assert sum(draws) == total
    assert min(draws) >= 1


@given(st.lists(_scores, min_size=2, max_size=9), st.integers(0, 40), st.floats(0.1, 9))
def test_a_better_beam_never_gets_fewer_draws(values, spare, halving):
    values = sorted(values, reverse=True)
    draws = allot_close(values, len(values) + spare, halving=halving)
    assert draws == sorted(draws, reverse=True)


@given(st.integers(1, 9), st.integers(1, 5), _maybe)
def test_equal_beams_get_equal_draws(beams, each, value):
    draws = allot_close([value] * beams, beams * each, halving=0.1)
    assert draws == [each] * beams


def test_a_beams_part_halves_with_the_distance():
    assert allot_close([0.9, 0.8, 0.7], 17, halving=0.1) == [9, 5, 3]
    assert allot_close([0.9, None], 4, halving=0.1) == [2, 2]
    assert allot_close([9.0, -9.0], 8, halving=0.001) == [7, 1]
    assert allot_close([], 3, halving=1.0) == []
    with pytest.raises(ValueError, match="1 draws are too few for 2"):
        allot_close([1.0, 1.0], 1, halving=1.0)


# Diverse beams.


@given(_some(), _finished(), st.integers(1, 6), st.integers(1, 3))
def test_diversity_loses_no_slot_and_prefers_other_parents(some, done, width, limit):
    free = keep(some, done, beam_width=width)
    kept = keep(some, done, beam_width=width, per_parent=limit)
    count = len(kept.candidates) + len(kept.finished)
    assert count == len(free.candidates) + len(free.finished)
    used = Counter(c.parent for c in kept.candidates)
    left = [c for c in some if c not in kept.candidates]
    left_done = [f for f in done if f not in kept.finished]
    if max(used.values(), default=0) > limit:
        # Only because nobody else had anything to offer.
        assert not left_done
        assert all(used[c.parent] >= limit for c in left)


@given(_some(least=1), st.integers(1, 6))
def test_diversity_keeps_the_best_of_all_and_the_order(some, width):
    ranked = rank(some)
    kept = spread(ranked, width, per_parent=1)
    assert kept[0] is ranked[0]
    assert kept == [c for c in ranked if c in kept]
    assert spread(ranked, width, per_parent=None) == ranked[:width]


def test_two_children_of_one_beam_are_kept_only_if_asked():
    some = [_candidate(0, 0.9), _candidate(1, 0.8), _candidate(2, 0.1, "q")]
    assert [c.id for c in keep(some, [], beam_width=2).candidates] == ["c0", "c1"]
    apart = keep(some, [], beam_width=2, per_parent=1)
    assert [c.id for c in apart.candidates] == ["c0", "c2"]
    root = keep(some[:2], [], beam_width=2, per_parent=1)
    assert [c.id for c in root.candidates] == ["c0", "c1"]


# The policy's opinion.


@given(_some(), st.floats(0, 2), st.floats(0, 2))
def test_blending_is_the_weighted_sum_and_keeps_the_reward(some, votes, likelihood):
    options = SearchOptions(vote_weight=votes, likelihood_weight=likelihood)
    mixed = blend(some, options)
    assert [c.id for c in mixed] == [c.id for c in some]
    if not options.blends:
        assert mixed == some
        return
    shares: Counter[str] = Counter()
    chances: Counter[str] = Counter()
    for before, after in zip(some, mixed, strict=True):
        parts = after.score.signals
        assert parts["reward"] == before.score.value
        shares[before.parent] += parts["vote_share"]
        chances[before.parent] += parts["likelihood"]
        assert after.score.value == pytest.approx(
            parts["reward"]
            + votes * parts["vote_share"]
            + likelihood * parts["likelihood"]
        )
    assert all(s == pytest.approx(1) for s in [*shares.values(), *chances.values()])


@given(_some(least=2), st.floats(-500, 500))
def test_likelihood_is_relative_to_the_siblings(some, shift):
    options = SearchOptions(likelihood_weight=1.0)
    moved = [
        _candidate(i, c.score.value, c.parent, c.votes, c.logprob + shift)
        for i, c in enumerate(some)
    ]
    for one, other in zip(blend(some, options), blend(moved, options), strict=True):
        assert one.score.value == pytest.approx(other.score.value, abs=1e-6)


def test_a_missing_likelihood_is_an_error_and_not_a_guess():
    some = [_candidate(0, 0.5, logprob=-1.0), _candidate(1, 0.6)]
    known, unknown = blend(some, SearchOptions(likelihood_weight=0.1))
    assert known.score.value == pytest.approx(0.6)
    assert not unknown.score.ok
    assert "no log-probability" in unknown.score.error
    with pytest.raises(ConfigurationError, match="gave none for 1 candidates"):
        blend(some[1:], SearchOptions(likelihood_weight=0.1))
    # Votes need none.
    assert all(c.score.ok for c in blend(some, SearchOptions(vote_weight=0.1)))


def test_what_has_no_score_gets_none_by_blending():
    lost = Candidate(AIMessage("x"), parent="p", score=Score(error="down"))
    (same,) = blend([lost], SearchOptions(vote_weight=1.0))
    assert same.score.error == "down"


def test_the_policys_first_choice_has_the_most_votes_and_came_first():
    some = [
        _candidate(0, 0.1, votes=2),
        _candidate(1, 0.9, votes=3),
        _candidate(2, 0.5, votes=3),
        _candidate(3, 0.5, "q"),
    ]
    assert {p: c.id for p, c in first_choices(some).items()} == {"p": "c1", "q": "c3"}


@given(_some(), st.floats(0, 1))
def test_a_likelihood_breaks_ties_and_nothing_else(some, resolution):
    by_votes = rank(some, resolution=resolution)
    likely = rank(some, resolution=resolution, tie_break="likelihood")
    assert {c.id for c in likely} == {c.id for c in by_votes}
    values = [c.score.value for c in likely]
    for i, value in enumerate(values):
        assert all(later - value <= resolution for later in values[i + 1 :])


def test_the_likelier_of_two_equals_wins_where_asked():
    often = _candidate(0, 0.5, votes=3, logprob=-9.0)
    likely = _candidate(1, 0.5, votes=1, logprob=-1.0)
    unknown = Finished("f", 0.5, votes=9)
    pool = [often, likely, unknown]
    assert rank(pool)[0] is unknown
    assert rank(pool, tie_break="likelihood") == [likely, often, unknown]


# Early stop.


@given(_finished(), st.lists(_maybe, max_size=5), st.floats(0, 3), st.floats(0, 3))
def test_a_smaller_margin_stops_whenever_a_larger_does(done, opened, one, other):
    small, large = sorted((one, other))
    assert clear_lead(done, opened, small) or not clear_lead(done, opened, large)
    if clear_lead(done, opened, small):
        best = max(f.value for f in done)
        assert all(v is not None and best >= v for v in opened)


def ended(finished, opened, options=None, mode="compete", shelf=None):
    return why_ended(
        finished,
        opened,
        beam_width=2,
        mode=mode,
        options=options or SearchOptions(),
        shelf=shelf or Shelf(),
    )


def test_what_ends_a_search():
    done, stop = [Finished("f", 0.8)], SearchOptions(early_stop=0.2)
    assert ended([], [None]) is None
    assert ended(done, [0.1]) is None
    assert ended(done, [0.1], stop) == "early_stop"
    assert ended(done, [0.7], stop) is None
    assert ended(done, [None, 0.1], stop) is None
    assert ended(done, []) == "finished"
    assert ended([], []) == "invalid"
    assert ended(done * 2, [0.9], mode="aside") == "finished"
    assert ended(done, [0.9], mode="aside") is None
    back = SearchOptions(revisits=1)
    better, worse = Shelf((_candidate(0, 0.95),)), Shelf((_candidate(0, 0.85),))
    assert ended(done, [], back, shelf=better) is None
    assert ended(done, [], back, shelf=worse) == "finished"
    assert ended([], [], back, shelf=worse) is None
    assert ended([], [], shelf=worse) == "invalid"


# Revisits.


@given(
    _some(),
    _finished(),
    _some(prefix=100),
    st.integers(1, 4),
    st.integers(0, 2),
    st.integers(0, 2),
    st.floats(0, 2),
)
def test_a_revisit_is_bounded_and_never_keeps_worse(
    scored, done, dropped, width, allowed, used, drop
):
    options = SearchOptions(revisits=allowed, dead_end=drop, memory=3)
    shelf = Shelf(tuple(rank(dropped)[:3]), used)

    def choose(candidates, finished):
        return keep(candidates, finished, beam_width=width)

    plain = choose(scored, done)
    kept, after = revisit(plain, scored, done, shelf, options, choose)
    came_back = {c.id for c in kept.candidates} & {c.id for c in shelf.candidates}
    assert after.used - used == bool(came_back)
    assert after.used <= max(used, allowed)
    assert len(after.candidates) <= max(3, len(shelf.candidates))
    if allowed:
        # What goes on is not remembered, and what is remembered was seen.
        remembered = {c.id for c in after.candidates}
        assert not remembered & {c.id for c in kept.candidates}
        assert remembered <= {c.id for c in (*scored, *shelf.candidates)}
    if not came_back:
        assert kept == plain
        return
    before = [*(c.score.value for c in plain.candidates)]
    before += [f.value for f in plain.finished]
    best = max(c.score.value for c in shelf.candidates)
    assert not before or best - max(before) > drop
    assert kept.candidates[0].score.value == best


def test_without_revisits_nothing_is_remembered():
    some = [_candidate(0, 0.5), _candidate(1, 0.4)]
    kept = Kept((some[0],), ())
    same, shelf = revisit(kept, some, [], Shelf(), SearchOptions(), None)
    assert (same, shelf) == (kept, Shelf())
