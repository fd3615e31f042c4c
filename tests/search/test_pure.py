"""Properties of merging, ranking, keeping, allotting and ids."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage

from langchain_agentrm.search import (
    Finished,
    ToolCallGrammar,
    allot,
    apply_grammar,
    derive_seed,
    keep,
    merge,
    node_id,
    rank,
    root_id,
    tool_call_key,
)
from langchain_agentrm.types import Candidate, Score

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
_scores = st.floats(-5, 5).map(lambda x: round(x, 2))


def _candidate(i, score, votes=1, key=None):
    return Candidate(
        AIMessage(str(i)),
        id=f"c{i}",
        key=f"k{i}" if key is None else key,
        votes=votes,
        score=Score(score),
    )


def _said(texts, parent="p"):
    drawn = [Candidate(AIMessage(t)) for t in texts]
    return apply_grammar(drawn, ToolCallGrammar(), parent)


@st.composite
def _entries(draw):
    n = draw(st.integers(0, 8))
    candidates = [
        _candidate(i, draw(_scores), draw(st.integers(1, 4))) for i in range(n)
    ]
    finished = [
        Finished(f"f{i}", draw(_scores), draw(st.integers(1, 4)), f"q{i}")
        for i in range(draw(st.integers(0, 4)))
    ]
    return candidates, finished


@given(st.dictionaries(st.text(max_size=4), _json, max_size=4), st.randoms())
def test_equal_calls_with_other_key_order_have_one_key(args, rng):
    names = list(args)
    rng.shuffle(names)
    other = {n: args[n] for n in names}
    assert tool_call_key([{"name": "f", "args": args}]) == tool_call_key(
        [{"name": "f", "args": other}]
    )


def test_equal_calls_with_other_key_order_merge():
    def call(args):
        calls = [{"name": "search", "args": args, "id": str(random.random())}]
        return Candidate(AIMessage("", tool_calls=calls))

    drawn = apply_grammar(
        [
            call({"q": "a", "n": {"x": 1, "y": 2}}),
            call({"n": {"y": 2, "x": 1}, "q": "a"}),
            call({"q": "a", "n": {"x": 2, "y": 1}}),
        ],
        ToolCallGrammar(),
        "p",
    )
    assert [c.votes for c in merge(drawn)] == [2, 1]


def test_parallel_calls_are_one_action_and_their_order_counts():
    one, two = {"name": "f", "args": {}}, {"name": "g", "args": {}}
    assert tool_call_key([one, two]) != tool_call_key([two, one])
    assert tool_call_key([one, two]) != tool_call_key([one])


@given(st.lists(st.sampled_from(["a", "b", "a ", " b", "A", "", "  "]), max_size=12))
def test_merge_keeps_every_vote_and_no_key_twice(texts):
    drawn = _said(texts)
    distinct = merge(drawn)
    keys = [c.key for c in distinct]
    assert len(set(keys)) == len(keys)
    assert sum(c.votes for c in distinct) == sum(c.error is None for c in drawn)
    first = [c.key for c in drawn if c.error is None]
    assert keys == list(dict.fromkeys(first))


@given(st.lists(st.sampled_from(["a", "b", "c"]), max_size=9))
def test_merging_twice_changes_nothing(texts):
    once = merge(_said(texts))
    assert merge(once) == once


def test_merge_does_not_cross_parents_and_remembers_greedy():
    left, right = _said(["a"], "p"), _said(["a"], "q")
    assert len(merge([*left, *right])) == 2
    sampled = Candidate(AIMessage("a"))
    greedy = Candidate(AIMessage("a"), source="greedy")
    drawn = apply_grammar([sampled, greedy], ToolCallGrammar(), "p")
    assert [(c.votes, c.source) for c in merge(drawn)] == [(2, "greedy")]


def test_what_does_not_parse_or_came_with_an_error_is_marked_and_left_out():
    cut = Candidate(AIMessage("half an act"), error="cut off")
    drawn = apply_grammar([*_said([""]), cut], ToolCallGrammar(), "p")
    assert [c.error for c in drawn] == ["no action in the message", "cut off"]
    assert all(c.parent == "p" and c.action is None for c in drawn)
    assert merge(drawn) == []


@given(_entries(), st.randoms(), st.sampled_from([0.0, 0.05, 1.0]))
def test_rank_does_not_depend_on_the_order_given(entries, rng, resolution):
    pool = [*entries[0], *entries[1]]
    shuffled = list(pool)
    rng.shuffle(shuffled)
    ordered = rank(pool, resolution=resolution)
    assert ordered == rank(shuffled, resolution=resolution)
    assert len(ordered) == len(pool)
    assert {e.id for e in ordered} == {e.id for e in pool}


@given(_entries())
def test_rank_without_resolution_is_by_score_then_votes_then_key(entries):
    ordered = rank(entries[0])
    order = [(-c.score.value, -c.votes, c.key) for c in ordered]
    assert order == sorted(order)


@given(_entries(), st.floats(0, 1))
def test_rank_never_puts_a_clearly_better_one_behind(entries, resolution):
    values = [c.score.value for c in rank(entries[0], resolution=resolution)]
    for i, value in enumerate(values):
        assert all(later - value <= resolution for later in values[i + 1 :])


def test_differences_below_the_resolution_are_ties_that_votes_decide():
    few, many = _candidate(0, 0.50001, votes=1), _candidate(1, 0.5, votes=3)
    assert rank([few, many])[0] is few
    assert rank([few, many], resolution=1e-4)[0] is many


def test_ranking_an_unscored_candidate_is_refused():
    with pytest.raises(ValueError, match="'c9' was ranked without a score"):
        rank([Candidate(AIMessage("x"), id="c9")])


@given(_entries(), st.integers(1, 5))
def test_competing_keeps_exactly_the_best_of_both(entries, width):
    candidates, finished = entries
    kept = keep(candidates, finished, beam_width=width)
    best = rank([*candidates, *finished])[:width]
    assert len(kept.candidates) + len(kept.finished) == min(
        width, len(candidates) + len(finished)
    )
    assert {e.id for e in (*kept.candidates, *kept.finished)} == {e.id for e in best}


@given(_entries(), st.integers(1, 5))
def test_finished_beams_take_no_slot_when_they_stand_aside(entries, width):
    candidates, finished = entries
    kept = keep(candidates, finished, beam_width=width, mode="aside")
    assert len(kept.candidates) == min(width, len(candidates))
    assert len(kept.finished) == len(finished)


def test_finished_beams_compete_for_slots_by_default():
    new = [_candidate(0, 0.2), _candidate(1, 0.1)]
    done = [Finished("f", 0.9)]
    kept = keep(new, done, beam_width=2)
    assert [c.id for c in kept.candidates] == ["c0"]
    assert [f.id for f in kept.finished] == ["f"]


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9))
def test_the_root_draws_w1_times_w2_and_every_later_beam_w2(beams, width, each):
    root = allot(1, beam_width=width, expansions=each, root=True)
    later = allot(beams, beam_width=width, expansions=each, root=False)
    assert (root, later) == (width * each, each)


@given(st.text(), st.text(), st.text(), st.text())
def test_ids_tell_paths_apart(a, b, c, d):
    assert (node_id(a, b) == node_id(c, d)) == ((a, b) == (c, d))
    assert (root_id(a, b) == root_id(c, d)) == ((a, b) == (c, d))


@given(st.lists(st.text(), max_size=4))
def test_root_ids_are_short_hex_and_count_their_parts(parts):
    assert len(root_id(*parts)) == 16
    int(root_id(*parts), 16)
    assert root_id(*parts) != root_id(*parts, "")
    assert root_id("a", "b") != root_id("ab")


def test_ids_and_seeds_are_the_same_in_every_process():
    # Literal values: a change of them breaks every recorded search.
    assert node_id("p", "k") == node_id("p", "k")
    assert derive_seed(0, "n") == derive_seed(0, "n")
    assert json.dumps([root_id("t"), node_id("p", "k"), derive_seed(1, "n", 2)]) == (
        PINNED
    )


@given(st.integers(), st.text(), st.integers(-1, 50))
def test_seeds_fit_31_bits(run, node, draw):
    assert 0 <= derive_seed(run, node, draw) < 2**31


PINNED = '["99fc5ad7172a2f18", "990a9b076eb0e771", 1086995716]'


def test_entries_without_a_score_rank_last_and_end_the_ranking():
    # A finished beam of a step without scores stands at -inf; two of them once hung.
    lost = [Finished("f", float("-inf")), Finished("g", float("-inf"), votes=2)]
    assert [e.id for e in rank([*lost, _candidate(0, -9.0)])] == ["c0", "g", "f"]
