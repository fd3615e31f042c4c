"""The verifiers that go by rules, with and without a model."""

from __future__ import annotations

import asyncio
import json

import pytest
from langchain_core.messages import AIMessage

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.reward_agent.rules import dsl
from langchain_agentrm.reward_agent.verifiers.llm_rules import LLMRuleVerifier
from langchain_agentrm.reward_agent.verifiers.rules import RuleVerifier
from langchain_agentrm.testing.scripted import ScriptedPolicy
from langchain_agentrm.testing.verifier import VerifierConformance
from langchain_agentrm.trajectory import Trajectory, Turn

REQUEST = "Name an oak in at most 3 words. Use the keyword 'red'."
RULES = [
    {"kind": "count", "unit": "words", "relation": "at_most", "n": 3},
    {"kind": "keyword", "text": "red"},
]


def path(answer, request=REQUEST):
    return Trajectory((Turn("", answer),), goal=request, group="g")


def model(*answers):
    return ScriptedPolicy(answers=list(answers))


class TestRuleVerifier(VerifierConformance):
    @pytest.fixture
    def verifier(self):
        return RuleVerifier()


class TestLLMRuleVerifier(VerifierConformance):
    @pytest.fixture
    def verifier(self):
        return LLMRuleVerifier(
            ScriptedPolicy(answers=lambda messages, rng: json.dumps({"rules": RULES}))
        )


def test_value_is_the_share_of_rules_kept():
    items = (
        RuleVerifier()
        .verify([path("Northern red oak"), path("oak"), path("a b c d")])
        .items
    )
    assert [v.value for v in items] == [1.0, 0.5, 0.0]
    assert [f.passed for f in items[1].findings] == [False, True]
    assert "red" in items[1].reason


def test_rules_may_come_from_elsewhere_and_are_kept():
    asked = []

    def rules(request):
        asked.append(request)
        return [dsl.Keyword(text="elm")]

    verifier = RuleVerifier(rules=rules)
    assert verifier.verify([path("elm"), path("oak")]).items[0].value == 1
    assert verifier.applies(path("elm"))
    assert asked == [REQUEST]


def test_unknown_rules_alone_abstain():
    verifier = RuleVerifier(rules=lambda request: [dsl.Unknown(why="no such kind")])
    (verdict,) = verifier.verify([path("x")]).items
    assert verdict.abstains
    assert "no such kind" in verdict.reason


@pytest.mark.parametrize(
    "make",
    [
        lambda: RuleVerifier(profile="strict"),
        lambda: LLMRuleVerifier(model("x"), profile="strict"),
        lambda: LLMRuleVerifier("gpt"),
        lambda: LLMRuleVerifier(model("x"), cache_size=0),
    ],
)
def test_bad_options_are_refused(make):
    with pytest.raises(ConfigurationError):
        make()


def test_a_model_is_asked_once_a_request():
    llm = model("Here:\n```json\n" + json.dumps({"rules": RULES}) + "\n```")
    verifier = LLMRuleVerifier(llm)
    first = verifier.verify([path("red oak"), path("oak")])
    assert [v.value for v in first.items] == [1.0, 0.5]
    assert first.usage.requests == 1
    assert asyncio.run(verifier.averify([path("red")])).usage.requests == 0


def test_items_that_are_no_rule_are_findings():
    llm = model(json.dumps({"rules": [*RULES, {"kind": "smell"}]}))
    (verdict,) = LLMRuleVerifier(llm).verify([path("red oak")]).items
    assert verdict.value == 1.0
    assert [f.passed for f in verdict.findings] == [True, True, None]


def test_an_unreadable_answer_is_asked_for_once_more():
    llm = model("I would rather not.", json.dumps({"rules": RULES}))
    batch = LLMRuleVerifier(llm).verify([path("red oak")])
    assert batch.items[0].value == 1.0
    assert batch.usage.requests == 2


def test_twice_unreadable_abstains_with_the_error():
    verifier = LLMRuleVerifier(model("no", "no", json.dumps({"rules": RULES})))
    batch = verifier.verify([path("red oak")])
    assert batch.items[0].abstains
    assert "cannot be read" in batch.items[0].error
    assert verifier.verify([path("red oak")]).items[0].value == 1.0


def test_a_failed_request_abstains_with_the_error():
    llm = model(AIMessage("x"))
    llm.error = RuntimeError("server down")
    (verdict,) = LLMRuleVerifier(llm).verify([path("red oak")]).items
    assert verdict.abstains
    assert "server down" in verdict.error


def test_no_rules_abstains_and_then_does_not_apply():
    verifier = LLMRuleVerifier(model('{"rules": []}'))
    assert verifier.applies(path("x"))
    (verdict,) = verifier.verify([path("x")]).items
    assert verdict.abstains
    assert verdict.error is None
    assert not verifier.applies(path("x"))
