from __future__ import annotations

import asyncio

import pytest
from langchain_core.messages import AIMessage

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.reward_agent import (
    AlwaysRouter,
    FunctionVerifier,
    LLMRouter,
    RuleRouter,
    force,
)
from langchain_agentrm.testing.scripted import ScriptedPolicy
from langchain_agentrm.trajectory import Trajectory, Turn


def check(name, word="", purpose=None):
    return FunctionVerifier(
        lambda t: 1.0,
        name=name,
        purpose=purpose or f"Checks {name}.",
        applies=lambda t: word in t.goal,
    )


def asks(*requests):
    return [Trajectory((Turn("", "a"),), goal=r, group=r) for r in requests]


def names(batch):
    return [route.names for route in batch.items]


CHECKS = [check("rules", "words"), check("facts", "who"), check("form")]


def test_the_rule_asks_each_verifier():
    batch = RuleRouter().route(asks("who", "in words", "hi"), CHECKS)
    assert names(batch) == [("facts", "form"), ("rules", "form"), ("form",)]
    assert all("apply" in route.reason for route in batch.items)


def test_a_verifier_that_fails_to_say_is_run():
    def broken(trajectory):
        raise ValueError("no")

    verifier = FunctionVerifier(lambda t: 1.0, name="odd", applies=broken)
    assert names(RuleRouter().route(asks("hi"), [verifier])) == [("odd",)]


def test_always_and_forced():
    assert names(AlwaysRouter().route(asks("hi"), CHECKS)) == [
        ("rules", "facts", "form")
    ]
    assert names(force(["facts"]).route(asks("hi", "x"), CHECKS)) == [("facts",)] * 2
    with pytest.raises(ConfigurationError, match="'facts'"):
        force("facts")


def test_a_model_chooses_among_those_that_apply():
    llm = ScriptedPolicy(answers=['Sure:\n```json\n{"checks": ["form", "facts"]}\n```'])
    batch = LLMRouter(llm).route(asks("who is it?"), CHECKS)
    assert names(batch) == [("facts", "form")], "in the order of the verifiers"
    assert batch.items[0].error is None
    assert batch.usage.requests == 1
    system, human = llm.requests[0]["messages"]
    assert "facts: Checks facts." in system.text
    assert "rules" not in system.text
    assert "who is it?" in human.text


def test_choosing_none_is_a_choice():
    batch = LLMRouter(ScriptedPolicy(answers=['{"checks": []}'])).route(
        asks("hi"), CHECKS
    )
    assert names(batch) == [()]
    assert batch.items[0].error is None


def test_each_request_is_asked_about_once():
    llm = ScriptedPolicy(answers=['{"checks": ["form"]}'])
    router = LLMRouter(llm, remembered=2)
    router.route(asks("a", "b", "a"), CHECKS)
    router.route(asks("b", "a"), CHECKS)
    assert llm.calls == 2
    router.route(asks("c"), CHECKS)
    assert router.route(asks("a"), CHECKS).usage.requests == 0
    assert router.route(asks("b"), CHECKS).usage.requests == 1, "the oldest is dropped"
    other = [check("form", purpose="Something else.")]
    assert router.route(asks("a"), other).usage.requests == 1, "other checks, other ask"


def test_where_nothing_applies_nothing_is_asked():
    llm = ScriptedPolicy(answers=["x"])
    batch = LLMRouter(llm).route(asks("hi"), CHECKS[:2])
    assert names(batch) == [()]
    assert llm.calls == 0


@pytest.mark.parametrize(
    "answer",
    [
        "facts",
        "",
        "[[A]]",
        '["facts"]',
        '{"checks": "facts"}',
        '{"checks": ["fact"]}',
        '{"checks": [1]}',
        AIMessage(
            '{"checks": ["form"]}', response_metadata={"finish_reason": "length"}
        ),
    ],
)
def test_what_cannot_be_read_falls_back_is_marked_and_is_not_kept(answer):
    llm = ScriptedPolicy(answers=[answer])
    router = LLMRouter(llm)
    for _ in range(2):
        (route,) = router.route(asks("who"), CHECKS).items
        assert route.names == ("facts", "form")
        assert "no usable choice" in route.error
    assert llm.calls == 2


def test_a_model_that_is_down_falls_back():
    router = LLMRouter(ScriptedPolicy(answers=[""], error=ConnectionError("gone")))
    (route,) = router.route(asks("who"), CHECKS).items
    assert route.names == ("facts", "form")
    assert "ConnectionError: gone" in route.error


def test_async_routes_alike():
    for router in (
        RuleRouter(),
        AlwaysRouter(),
        force(["form"]),
        LLMRouter(ScriptedPolicy(answers=['{"checks": ["form"]}'])),
    ):
        twin = asyncio.run(router.aroute(asks("who", "words"), CHECKS))
        assert names(twin) == names(router.route(asks("who", "words"), CHECKS))


def test_what_is_no_chat_model_is_refused():
    with pytest.raises(ConfigurationError, match="int"):
        LLMRouter(3)
