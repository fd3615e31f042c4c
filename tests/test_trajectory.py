"""What a reward model reads, and what is cut from it."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.trajectory import (
    Trajectory,
    Turn,
    conversation_prefix,
    describe,
    drop_oldest,
    render,
)

_lengths = st.lists(st.integers(0, 50), max_size=30)


def _call(name, args, ident="1"):
    return AIMessage("", tool_calls=[{"name": name, "args": args, "id": ident}])


@given(_lengths, st.integers(1, 200))
def test_what_is_left_fits_unless_the_first_turn_alone_does_not(lengths, limit):
    dropped = drop_oldest(lengths, limit)
    assert 0 <= dropped <= max(0, len(lengths) - 1)
    left = sum(lengths[:1]) + sum(lengths[1 + dropped :])
    assert left <= limit or dropped == len(lengths) - 1 or not lengths[1 + dropped :]


@given(_lengths, st.integers(1, 200))
def test_nothing_is_dropped_while_all_fits(lengths, limit):
    if sum(lengths) <= limit:
        assert drop_oldest(lengths, limit) == 0


@given(_lengths, st.integers(0, 50), st.integers(1, 200))
def test_a_turn_more_never_brings_back_a_dropped_one(lengths, more, limit):
    assert drop_oldest([*lengths, more], limit) >= drop_oldest(lengths, limit)


def test_turns_go_in_blocks_so_that_the_prefix_stays_for_many_steps():
    cuts = [drop_oldest([10] * n, 100) for n in range(1, 41)]
    changes = sum(a != b for a, b in itertools.pairwise(cuts))
    assert cuts[-1] >= 30
    assert changes <= 8


def test_a_conversation_splits_at_its_last_human_message():
    messages = [
        SystemMessage("Be brief."),
        HumanMessage("old"),
        AIMessage("answer"),
        HumanMessage("new"),
        _call("look", {"b": 1, "a": 2}),
        ToolMessage("seen", tool_call_id="1"),
    ]
    prefix, observation = conversation_prefix(messages)
    assert (prefix.goal, prefix.instruction) == ("new", "Be brief.")
    assert prefix.turns == (Turn("", 'look({"a": 2, "b": 1})'),)
    assert observation == "seen"


def test_from_messages_ends_with_the_candidate_and_takes_fields():
    made = Trajectory.from_messages(
        [HumanMessage("Go")], AIMessage("left"), search_id="s", goal="other"
    )
    assert made.turns == (Turn("", "left"),)
    assert (made.goal, made.search_id) == ("other", "s")


def test_no_human_message_is_refused():
    with pytest.raises(ConfigurationError, match="No human message among the 1"):
        conversation_prefix([SystemMessage("x")])


def test_describe_writes_text_and_calls_in_one_form():
    message = AIMessage(
        " think ", tool_calls=[{"name": "f", "args": {"ü": 1}, "id": "9"}]
    )
    assert describe(message) == 'think\nf({"ü": 1})'


def test_render_ends_with_the_action_and_drops_whole_middle_turns():
    turns = tuple(Turn(f"o{i}", f"a{i}") for i in range(4))
    trajectory = Trajectory(turns=turns, goal="G", instruction="I")
    full = render(trajectory)
    assert [m["content"] for m in full] == [
        "I", "G\no0", "a0", "o1", "a1", "o2", "a2", "o3", "a3",
    ]  # fmt: skip
    cut = render(trajectory, keep_from=2)
    assert [m["content"] for m in cut] == ["I", "G\no0", "a0", "o3", "a3"]
    assert render(trajectory, keep_from=99)[-1] == {
        "role": "assistant",
        "content": "a3",
    }
