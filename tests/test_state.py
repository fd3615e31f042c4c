"""The state's reducer and the messages made of nodes."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from langchain_agentrm.state import StepPayload, merge_nodes, node_messages, observe

_nodes = st.dictionaries(st.sampled_from("abcdef"), st.integers())
_updates = st.dictionaries(st.sampled_from("abcdef"), st.integers() | st.none())


def node(**fields):
    base = {
        "id": "n", "parent": "r", "depth": 1, "key": "k", "action": "go", "text": "go",
        "content": "go", "tool_calls": [], "score": 0.5, "votes": 1, "status": "open",
        "observation": "", "digest": "", "progress": 0.0, "success": False,
        "episode_score": 0.0,
    }  # fmt: skip
    return {**base, **fields}


@given(_nodes, _updates)
def test_an_update_adds_replaces_and_removes(left, right):
    merged = merge_nodes(left, [right])
    assert None not in merged.values()
    for key in "abcdef":
        expected = right[key] if key in right else left.get(key)
        assert merged.get(key) == expected


@given(_nodes, _updates, _updates)
def test_updates_of_different_nodes_commute(left, one, other):
    other = {k: v for k, v in other.items() if k not in one}
    assert merge_nodes(left, [one, other]) == merge_nodes(left, [other, one])


@given(_nodes, st.lists(_updates, max_size=4), st.lists(_updates, max_size=4))
def test_updates_give_the_same_nodes_in_any_batches(left, ones, others):
    # A checkpoint is read back by replaying updates in larger batches than they came.
    one_by_one = left
    for update in [*ones, *others]:
        one_by_one = merge_nodes(one_by_one, [update])
    in_two = merge_nodes(merge_nodes(left, ones), others)
    assert one_by_one == in_two == merge_nodes(left, [*ones, *others])


def test_nothing_merged_with_nothing_is_empty():
    assert merge_nodes(None, [None]) == merge_nodes({}, []) == {}


@given(_nodes, _updates)
def test_merging_leaves_its_arguments_alone(left, right):
    before = (dict(left), dict(right))
    merge_nodes(left, [right])
    assert (left, right) == before


def test_every_tool_call_of_a_node_is_answered_under_its_own_id():
    calls = [{"name": "f", "args": {}}, {"name": "g", "args": {"x": 1}}]
    said, *answers = node_messages(node(tool_calls=calls, observation="seen"))
    assert [c["id"] for c in said.tool_calls] == ["n-0", "n-1"]
    assert [a.tool_call_id for a in answers] == ["n-0", "n-1"]
    assert said.id == "n"


def test_a_text_action_is_answered_as_a_human_message():
    kinds = [m.type for m in node_messages(node(observation="seen"))]
    assert kinds == ["ai", "human"]


def test_observe_is_plain_json_and_finishes_only_when_done():
    payload = StepPayload(search="s", task=None, node=node(), actions=[], digests=[])
    update = observe(payload, "seen", success=True, score=1.0, progress=0.5)
    assert json.loads(json.dumps(update)) == update
    assert update["nodes"]["n"]["status"] == "open"
    done = observe(payload, "seen", done=True)["nodes"]["n"]
    assert (done["status"], done["observation"]) == ("finished", "seen")
    assert payload["node"]["status"] == "open"
