"""The recorded search as a tree and as a page."""

from __future__ import annotations

from html import escape

import pytest

from langchain_agentrm import create_beam_search, create_best_of_n
from langchain_agentrm.testing.scripted import ScriptedPolicy, ScriptedRewardModel
from langchain_agentrm.trace import build, to_html
from tests.search.doubles import a_task, game


def events_of(make, policy=None, reward_model=None, **options):
    parts = game()
    graph = make(policy or parts[0], reward_model or parts[1], parts[2], **options)
    task = a_task(parts[2], type_="count_far")
    return list(graph.compile().stream({"task": task}, stream_mode="custom"))


def walk(nodes):
    for node in nodes:
        yield node
        yield from walk(node.children)


@pytest.mark.parametrize("make", [create_beam_search, create_best_of_n])
def test_the_tree_holds_every_candidate_and_marks_the_winners_path(make):
    events = events_of(make)
    tree = build(events)
    nodes = list(walk(tree.roots))
    told = [c for e in events if e["event"] == "agentrm.step" for c in e["candidates"]]
    assert {n.id for n in nodes} == {c["id"] for c in told}
    assert len(nodes) == len(told)
    assert all(n.ran for n in nodes if n.kept)
    assert not any(n.ran for n in nodes if not n.kept)
    path = sorted((n for n in nodes if n.id in tree.winner), key=lambda n: n.step)
    assert [n.action for n in path] == tree.result["actions"]
    assert tree.ended == events[-1]["ended"]


def test_the_page_holds_every_kept_action_and_marks_the_winner():
    events = events_of(create_beam_search)
    tree = build(events)
    page = to_html(tree)
    kept = [n for n in walk(tree.roots) if n.kept]
    assert page.count('<li class="kept') == len(kept)
    assert page.count('<li class="kept win"') == len(tree.winner) > 1
    assert page.count('<li class="dropped"') == len(list(walk(tree.roots))) - len(kept)
    for node in kept:
        assert escape(node.action) in page
    assert "<script" not in page
    assert "http" not in page


def test_markup_of_model_and_environment_is_text():
    policy = ScriptedPolicy(answers=["<script>alert('x')</script>", "<b>&"])
    events = events_of(
        create_beam_search, policy, ScriptedRewardModel(lambda t: 0.5), max_steps=2
    )
    page = to_html(build(events), title="<i>t</i>")
    assert "<script" not in page
    assert "<i>t" not in page
    assert "&lt;script&gt;alert(&#x27;x&#x27;)" in page
    assert "&lt;b&gt;&amp;" in page


def test_a_new_start_begins_a_new_tree_and_other_events_are_left_out():
    events = events_of(create_beam_search, max_steps=1)
    once = build([{"event": "mine"}, *events])
    assert build([*events, *events]) == once
    assert build([]).roots == []
