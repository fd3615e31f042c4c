"""Verifiers of text actions and of a path's progress."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_agentrm.errors import ConfigurationError, UnknownTaskError
from langchain_agentrm.reward_agent import (
    ActionFormatVerifier,
    AdmissibleActionVerifier,
    NoProgressVerifier,
    RepeatedActionVerifier,
)
from langchain_agentrm.testing.scripted import ScriptedFactory
from langchain_agentrm.testing.verifier import VerifierConformance
from langchain_agentrm.trajectory import Trajectory, Turn
from langchain_agentrm.types import TaskRef


def path(*turns, **fields):
    return Trajectory(tuple(Turn(*turn) for turn in turns), group="g", **fields)


def one(verifier, trajectory):
    (verdict,) = verifier.verify([trajectory]).items
    return verdict


class TestAdmissible(VerifierConformance):
    @pytest.fixture
    def verifier(self):
        return AdmissibleActionVerifier()

    @pytest.fixture
    def trajectories(self):
        return [
            path(("a door", action), admissible=("open door", "wait"))
            for action in ("open door", "eat door", "wait", "Open  Door")
        ]


class TestFormat(VerifierConformance):
    @pytest.fixture
    def verifier(self):
        return ActionFormatVerifier(r"\w+ \w+")


class TestRepeated(VerifierConformance):
    @pytest.fixture
    def verifier(self):
        return RepeatedActionVerifier()


class TestNoProgress(VerifierConformance):
    @pytest.fixture
    def verifier(self):
        return NoProgressVerifier()


def test_admissible_compares_in_plain_form_where_no_environment_is_known():
    verifier = AdmissibleActionVerifier(also=["help me"])
    listed = ("open door 1", "wait")
    said = {
        "OPEN  door 1": 1.0,
        "open door 2": 0.0,
        "Help me": 1.0,
        "": 0.0,
    }
    for action, value in said.items():
        verdict = one(verifier, path(("", action), admissible=listed))
        assert verdict.value == value, action
        assert verdict.findings[0].passed is bool(value)
        assert repr(action) in verdict.reason


def test_admissible_compares_as_the_tasks_environment_does():
    task = TaskRef(env="babyai", type="GoToObjS4", id="x", seed=1)
    listed = ("go to red ball 1",)
    final = path(("", "go to red ball 1."), admissible=listed, task=task)
    assert one(AdmissibleActionVerifier(), final).value == 1.0
    assert one(AdmissibleActionVerifier(str.strip), final).value == 0.0
    own = path(
        ("", "go to red ball 1."), admissible=listed, task={**task, "env": "my own"}
    )
    assert one(AdmissibleActionVerifier(), own).value == 0.0
    assert one(AdmissibleActionVerifier("babyai"), own).value == 1.0
    with pytest.raises(UnknownTaskError, match="nowhere"):
        AdmissibleActionVerifier("nowhere")


def test_admissible_abstains_without_a_list_and_for_tool_calls():
    verifier = AdmissibleActionVerifier()
    unknown = one(verifier, path(("", "wait")))
    assert unknown.abstains
    assert unknown.error is None
    assert not verifier.applies(path(("", "wait")))
    call = path(
        ("", "wait()"), admissible=("wait",), calls=({"name": "wait", "args": {}},)
    )
    assert one(verifier, call).abstains


@pytest.mark.parametrize(
    "grammar",
    [
        r"(add|take) [1-3]",
        re.compile(r"(add|take) [1-3]"),
        lambda text: text in {"add 1", "take 3"},
    ],
    ids=["text", "pattern", "function"],
)
def test_format_by_expression_or_function(grammar):
    verifier = ActionFormatVerifier(grammar)
    assert one(verifier, path(("", "add 1"))).value == 1.0
    assert one(verifier, path(("", "add 1 and more"))).value == 0.0
    assert one(verifier, path(("", "please add 1"))).value == 0.0


def test_format_by_an_environments_grammar():
    verifier = ActionFormatVerifier(ScriptedFactory())
    assert one(verifier, path(("", "Action: add 1"))).value == 1.0
    assert one(verifier, path(("", "  "))).value == 0.0


def test_format_abstains_where_the_grammar_cannot_tell_and_shows_its_failure():
    assert one(ActionFormatVerifier(lambda _: None), path(("", "x"))).abstains

    def broken(text):
        raise RuntimeError(text)

    verdict = one(ActionFormatVerifier(broken), path(("", "x")))
    assert verdict.abstains
    assert verdict.error == "RuntimeError: x"
    with pytest.raises(ConfigurationError, match="regular expression"):
        ActionFormatVerifier("(")


def test_repeated_needs_the_same_action_on_the_same_observation():
    verifier = RepeatedActionVerifier()
    assert one(verifier, path(("wall", "north"))).value == 1.0
    assert one(verifier, path(("wall", "north"), ("wall", "south"))).value == 1.0
    assert one(verifier, path(("wall", "north"), ("door", "north"))).value == 1.0
    again = one(verifier, path(("wall", "north"), ("door", "in"), (" wall ", "NORTH")))
    assert again.value == 0.0
    assert "1 times" in again.reason


def test_repeated_counts_up_to_times_and_compares_what_it_is_told_to():
    twice = path(("wall", "north"), ("wall", "north"))
    thrice = path(("wall", "north"), ("wall", "north"), ("wall", "north"))
    patient = RepeatedActionVerifier(times=2)
    assert one(patient, twice).value == 1.0
    assert one(patient, thrice).value == 0.0
    clock = path(("wall, step 1", "north"), ("wall, step 2", "north"))
    assert one(RepeatedActionVerifier(), clock).value == 1.0
    blind = RepeatedActionVerifier(state=lambda seen: seen.split(",")[0])
    assert one(blind, clock).value == 0.0
    with pytest.raises(ConfigurationError, match="times=0"):
        RepeatedActionVerifier(times=0)


def test_no_progress_sees_standing_still_and_going_round():
    verifier = NoProgressVerifier(patience=3)
    still = path(*[("wall", way) for way in "nesw"])
    assert one(verifier, still).value == 0.0
    assert one(verifier, path(*[("wall", way) for way in "nes"])).value == 1.0
    circle = path(*[(seen, "on") for seen in "abcabc"])
    assert one(verifier, circle).value == 0.0
    out = path(*[(seen, "on") for seen in "abcabcd"])
    assert one(verifier, out).value == 1.0
    with pytest.raises(ConfigurationError, match="patience=0"):
        NoProgressVerifier(0)


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xy")), max_size=8),
    st.integers(1, 3),
)
def test_a_verdict_needs_that_many_earlier_turns(turns, limit):
    repeated = one(RepeatedActionVerifier(times=limit), path(*turns))
    stuck = one(NoProgressVerifier(limit), path(*turns))
    assert repeated.abstains is stuck.abstains is (not turns)
    if turns:
        assert (repeated.value == 0) == (turns[:-1].count(turns[-1]) >= limit)
        seen = [o for o, _ in turns]
        stale = [o in seen[:i] for i, o in enumerate(seen)][-limit:]
        assert (stuck.value == 0) == (len(stale) == limit and all(stale))
