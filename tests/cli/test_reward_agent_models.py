"""`agentrm reward-agent` with chat models, scripted, over HTTP."""

from __future__ import annotations

import json

import pytest
from langchain_core.tools import tool

from langchain_agentrm.cli._agent_parts import AgentWords, build_agent
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.reward_agent import best_sandbox
from langchain_agentrm.serving.verifier_service import (
    VerifierSettings,
    create_verifier_app,
)
from tests.cli.test_reward_agent import agentrm
from tests.evaluation.preference_files import converted, written

GOOD, BAD = "Rome has seven hills, it is said.", "Rome has nine hills, it is said."


@tool
def search(query: str) -> str:
    """Search a small world."""
    return "Rome was built on seven hills."


@pytest.fixture
def pairs(tmp_path):
    rows = [converted(i, f"{GOOD} {i}", f"{BAD} {i}") for i in range(3)]
    for row in rows:
        for side in ("text_chosen", "text_rejected"):
            asked = f"How many hills has Rome, question {row['id']}?"
            row[side][0] = {"role": "user", "content": asked}
    return written(tmp_path / "pairs.jsonl", rows)


def text_of(body):
    return "\n".join(str(message["content"]) for message in body["messages"])


def accuracy(out):
    return json.loads(out.read_text())[-1]["accuracy"]


@pytest.fixture
def model(openai_server):
    return ("--llm", "openai:m", "--llm-url", openai_server.url)


def factual(body, _):
    """Answer the questions of verifier, judge and router, each in its form."""
    text = text_of(body)
    first_is_good = text.rfind("seven hills, it") < text.rfind("nine hills, it")
    if '"differences"' in text:
        return '{"differences": ["How many hills has Rome?"]}'
    if '"queries"' in text:
        return '{"queries": ["number of hills of Rome"]}'
    if '"answer_1"' in text:
        # Whoever was asked to search must have found it.
        assert "seven hills." in text
        grades = (9, 2) if first_is_good else (2, 9)
        return json.dumps(
            {"reason": "seven", "answer_1": grades[0], "answer_2": grades[1]}
        )
    if '"checks"' in text:
        return '{"checks": ["factuality"]}'
    return "Rome was built on seven hills."


@pytest.mark.parametrize(
    "evidence",
    ["parametric", "bm25", "tool:tests.cli.test_reward_agent_models:search"],
)
def test_factuality_with_each_source_of_evidence(
    pairs, model, openai_server, tmp_path, evidence
):
    folder = tmp_path / "library"
    folder.mkdir()
    (folder / "rome.txt").write_text("Rome was built on seven hills.")
    openai_server.script.answer = factual
    out = tmp_path / "out.json"
    source = f"bm25:{folder}" if evidence == "bm25" else evidence
    options = ("--verifiers", "factuality", "--evidence", source, "--both-orders")
    assert agentrm("bench", pairs, *options, *model, "--json", out) == 0
    assert accuracy(out) == 1.0
    rows = json.loads(out.read_text())
    assert (rows[-1]["checked"], rows[-1]["failed"]) == (1.0, 0)


def test_the_router_may_be_a_model(pairs, model, openai_server, tmp_path):
    openai_server.script.answer = factual
    out = tmp_path / "out.json"
    options = ("--verifiers", "rules,factuality", "--router", "llm", "--json", out)
    assert agentrm("bench", pairs, *options, *model, "--threads", 3) == 0
    assert accuracy(out) == 1.0
    assert any('"checks"' in text_of(body) for body in openai_server.requests)


def test_the_judger_may_be_a_model(pairs, model, openai_server, tmp_path):
    def second(body, _):
        return "2"

    out = tmp_path / "out.json"
    options = ("--verifiers", "", "--preference", "longer", "--judger", "llm")
    openai_server.script.answer = second
    assert agentrm("bench", pairs, *options, *model, "--json", out) == 0
    # It goes by place alone: asked in both orders, it decides nothing.
    assert json.loads(out.read_text())[-1]["decided"] == 0.0
    assert len(openai_server.requests) == 6


def test_a_judge_may_be_the_preference(pairs, openai_server, tmp_path):
    def seven(body, _):
        text = text_of(body)
        return "1" if text.rfind("seven") < text.rfind("nine") else "2"

    openai_server.script.answer = seven
    out = tmp_path / "out.json"
    judge = ("--preference", "judge:pairwise:openai:m")
    served = ("--preference-url", openai_server.url)
    options = ("--verifiers", "", *judge, *served, "--json", out)
    assert agentrm("bench", pairs, *options) == 0
    assert accuracy(out) == 1.0


def writes_checkers(body, _):
    """The public method's planner and coder, which find one constraint."""
    text = text_of(body)
    replies = {
        "Step: plan": "[[A]]",
        "Step: constraints": "HillChecker: names the number seven",
        "Step: verifiable": "yes",
        "Step: code": "def check_following(response):\n    return 'seven' in response",
    }
    return next(reply for step, reply in replies.items() if step in text)


def test_the_public_codes_rules_can_be_run(pairs, model, openai_server, tmp_path):
    sandbox_or_skip()
    openai_server.script.answer = writes_checkers
    out = tmp_path / "out.json"
    assert agentrm("bench", pairs, "--upstream", *model, "--json", out) == 0
    assert accuracy(out) == 1.0


def test_code_is_served_only_where_it_is_allowed(openai_server):
    sandbox_or_skip()
    agent = build_agent(
        AgentWords(verifiers=("code",), llm="openai:m", llm_url=openai_server.url)
    )
    with pytest.raises(ConfigurationError, match="--allow-code"):
        create_verifier_app(agent)
    create_verifier_app(agent, VerifierSettings(allow_code=True))


def sandbox_or_skip():
    try:
        best_sandbox()
    except ConfigurationError as error:
        pytest.skip(f"no sandbox works here: {error}")


def test_a_judger_that_cannot_be_read_has_failed(pairs, model, openai_server, capsys):
    openai_server.script.answer = lambda body, _: "I like both."
    options = ("--verifiers", "", "--preference", "longer", "--judger", "llm")
    assert agentrm("bench", pairs, *options, *model) == 1
    assert "3 of 3 pairs failed" in capsys.readouterr().err
