"""The radix tree: every distinct token once, whatever is asked, split or forgotten."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_agentrm._token_tree import Node, TokenTree

TEXT = st.lists(st.integers(0, 3), min_size=1, max_size=12)
CALLS = st.lists(st.lists(TEXT, min_size=1, max_size=5), min_size=1, max_size=6)


def encode(tree: TokenTree, ends: list[Node], next_slot: int) -> int:
    for run in tree.pending(ends):
        run.slots = list(range(next_slot, next_slot + len(run.ids)))
        next_slot += len(run.ids)
    return next_slot


def text_of(end: Node) -> list[int]:
    return [token for run in end.path() for token in run.ids]


@given(CALLS)
def test_holds_every_distinct_beginning_once(calls) -> None:
    tree = TokenTree()
    for texts in calls:
        tree.start()
        ends = [tree.insert(text) for text in texts]
        assert [text_of(end) for end in ends] == texts
        assert [end.end for end in ends] == [len(text) for text in texts]
    beginnings = {
        tuple(text[:n])
        for texts in calls
        for text in texts
        for n in range(1, len(text) + 1)
    }
    assert len(tree) == len(beginnings)


@given(CALLS)
def test_a_slot_belongs_to_one_beginning_for_ever(calls) -> None:
    tree, free, slot_of = TokenTree(), 1, {}
    for texts in calls:
        tree.start()
        ends = [tree.insert(text) for text in texts]
        free = encode(tree, ends, free)
        for text, end in zip(texts, ends, strict=True):
            slots = [slot for run in end.path() for slot in run.slots]
            for n, slot in enumerate(slots, start=1):
                assert slot_of.setdefault(slot, tuple(text[:n])) == tuple(text[:n])
    assert len(slot_of) == len(tree)


@given(CALLS, st.integers(1, 30))
def test_forgetting_frees_what_leaves_and_spares_the_present_call(calls, count) -> None:
    tree, free = TokenTree(), 1
    for texts in calls:
        tree.start()
        ends = [tree.insert(text) for text in texts]
        free = encode(tree, ends, free)
    before = len(tree)
    freed = tree.evict(count)
    assert len(set(freed)) == len(freed)
    assert len(tree) == before - len(freed)
    assert [text_of(end) for end in ends] == calls[-1]
    assert tree.pending([tree.insert(text) for text in calls[-1]]) == []


def test_forgets_the_least_recently_used_first_and_ends_before_beginnings() -> None:
    tree, free = TokenTree(), 1
    for text in ([1, 2, 3], [1, 2, 4], [9, 9]):
        tree.start()
        free = encode(tree, [tree.insert(text)], free)
    tree.start()
    assert len(tree.evict(1)) == 1
    assert tree.pending([tree.insert([1, 2, 4])]) == []
    assert [run.ids for run in tree.pending([tree.insert([1, 2, 3])])] == [(3,)]


def test_pending_runs_come_parents_first_and_once() -> None:
    tree = TokenTree()
    ends = [tree.insert(text) for text in ([1, 2, 3], [1, 2, 4], [1, 2])]
    runs = tree.pending(ends)
    assert [run.ids for run in runs] == [(1, 2), (3,), (4,)]


def test_removing_twice_frees_nothing_more() -> None:
    tree = TokenTree()
    end = tree.insert([1, 2])
    encode(tree, [end], 1)
    assert tree.remove(end) == [1, 2]
    assert tree.remove(end) == []
    assert len(tree) == 0


def test_cannot_cut_a_run_at_its_edge() -> None:
    tree = TokenTree()
    with pytest.raises(ValueError, match="cannot be cut after 2"):
        tree.split(tree.insert([1, 2]), 2)
