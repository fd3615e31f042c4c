"""Tool calls against the tools that were offered."""

from __future__ import annotations

import sys

import pytest
from langchain_core.tools import tool
from langchain_core.utils.function_calling import convert_to_openai_tool

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.reward_agent import RewardAgent, ToolCallVerifier
from langchain_agentrm.reward_models import FunctionRewardModel
from langchain_agentrm.testing.verifier import VerifierConformance
from langchain_agentrm.trajectory import Trajectory, Turn


@tool
def book(city: str, nights: int = 1) -> str:
    """Book a room."""
    return f"{city} {nights}"


OPENAI = convert_to_openai_tool(book)
ANTHROPIC = {
    "name": "book",
    "description": "Book a room.",
    "input_schema": OPENAI["function"]["parameters"],
}


def path(*calls, tools=(OPENAI,), text=""):
    said = text or str(calls)
    return Trajectory((Turn("", said),), group="g", tools=tools, calls=calls)


def call(name="book", **args):
    return {"name": name, "args": args}


def one(trajectory, **options):
    (verdict,) = ToolCallVerifier(**options).verify([trajectory]).items
    return verdict


class TestConformance(VerifierConformance):
    @pytest.fixture
    def verifier(self):
        return ToolCallVerifier()

    @pytest.fixture
    def trajectories(self):
        return [
            path(call(city="Rome")),
            path(call(city="Rome", nights=2)),
            path(call(city=3)),
            path(call("sing")),
        ]


@pytest.mark.parametrize("form", [OPENAI, ANTHROPIC], ids=["openai", "anthropic"])
@pytest.mark.parametrize(
    ("args", "value", "told"),
    [
        ({"city": "Rome"}, 1.0, "all calls"),
        ({"city": "Rome", "nights": 2}, 1.0, "all calls"),
        ({"nights": 2}, 0.0, "'city' is a required property"),
        ({"city": "Rome", "nights": "two"}, 0.0, "$.nights"),
        ({}, 0.0, "city"),
    ],
)
def test_arguments_are_held_to_the_schema(form, args, value, told):
    verdict = one(path(call(**args), tools=(form,)))
    assert verdict.value == value
    assert told in verdict.reason


def test_one_bad_call_among_parallel_ones_is_enough():
    verdict = one(path(call(city="Rome"), call(city=1)))
    assert verdict.value == 0.0
    assert [f.passed for f in verdict.findings] == [True, False]


def test_a_tool_that_was_not_offered_and_a_call_that_cannot_be_read():
    unknown = one(path(call("sing", song="x")))
    assert unknown.value == 0.0
    assert "offered: book" in unknown.reason
    broken = {"name": "book", "args": '{"city": ', "error": "no JSON"}
    verdict = one(path(broken))
    assert verdict.value == 0.0
    assert "no JSON" in verdict.reason


def test_abstains_without_tools_or_calls():
    assert one(path(call(city="x"), tools=())).abstains
    plain = one(path(text="Rome it is."))
    assert plain.abstains
    assert plain.error is None
    assert one(path(text="Rome it is."), answer=1.0).value == 1.0
    with pytest.raises(ConfigurationError, match="answer=2"):
        ToolCallVerifier(answer=2)


def test_strict_refuses_arguments_that_the_schema_does_not_name():
    extra = path(call(city="Rome", stars=5))
    assert one(extra).value == 1.0
    verdict = one(extra, strict=True)
    assert verdict.value == 0.0
    assert "stars" in verdict.reason


def test_a_wrong_schema_is_an_abstention_that_says_so():
    wrong = {"name": "book", "description": "", "parameters": {"type": "strin"}}
    verdict = one(path(call(city="x"), tools=(wrong,)))
    assert verdict.abstains
    assert "schema of 'book' is wrong" in verdict.error


def test_schemas_elsewhere_are_not_fetched():
    # Sockets are shut in tests, so a fetch would show as another error.
    far = {"$ref": "http://127.0.0.1:9/schema.json"}
    away = {
        "name": "book",
        "description": "",
        "parameters": {"type": "object", "properties": {"city": far}},
    }
    verdict = one(path(call(city="x"), tools=(away,)))
    assert verdict.abstains
    assert "Unresolvable" in verdict.error


def test_references_within_a_schema_work():
    inner = {
        "name": "book",
        "description": "",
        "parameters": {
            "type": "object",
            "properties": {"city": {"$ref": "#/$defs/city"}},
            "$defs": {"city": {"enum": ["Rome", "Oslo"]}},
        },
    }
    assert one(path(call(city="Oslo"), tools=(inner,))).value == 1.0
    assert one(path(call(city="Bonn"), tools=(inner,))).value == 0.0


def test_a_providers_own_tool_leaves_unknown_names_open():
    server_side = {"type": "web_search"}
    verdict = one(path(call("find"), tools=(OPENAI, server_side)))
    assert verdict.abstains
    assert one(path(call(city=1), tools=(OPENAI, server_side))).value == 0.0


def test_names_the_extra_where_jsonschema_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    with pytest.raises(ConfigurationError, match=r"langchain-agentrm\[reward-agent\]"):
        ToolCallVerifier()


def test_a_valid_call_wins_against_a_preferred_wrong_one():
    long = FunctionRewardModel(lambda some: [len(str(t.calls)) for t in some])
    group = [path(call(city="Rome")), path(call(town="Rome", nights="a great many"))]
    assert [s.value for s in long.score(group).items] == sorted(
        s.value for s in long.score(group).items
    )
    scores = [
        s.value for s in RewardAgent(long, [ToolCallVerifier()]).score(group).items
    ]
    assert scores[0] > scores[1]
