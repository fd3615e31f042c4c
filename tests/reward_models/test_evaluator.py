from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime

import pytest
from langchain_core.messages import (
    AIMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langsmith.evaluation.evaluator import run_evaluator
from langsmith.schemas import Example, Run

from langchain_agentrm.errors import ConfigurationError, RewardModelError
from langchain_agentrm.reward_models.evaluator import as_async_evaluator, as_evaluator
from langchain_agentrm.testing.scripted import ScriptedRewardModel

ASK = HumanMessage("What is 6 times 7?")


@pytest.fixture
def model():
    return ScriptedRewardModel({"42": 0.75})


def read(model):
    (trajectory,) = model.batches[-1]
    return trajectory


@pytest.mark.parametrize(
    "inputs",
    [
        "What is 6 times 7?",
        ASK,
        [ASK],
        {"messages": [ASK]},
        {"question": "What is 6 times 7?"},
        {"messages": [{"role": "user", "content": "What is 6 times 7?"}]},
        {"role": "user", "content": "What is 6 times 7?"},
    ],
)
@pytest.mark.parametrize(
    "outputs",
    [
        "42",
        AIMessage("42"),
        [AIMessage("42")],
        {"messages": [AIMessage("42")]},
        {"answer": "42"},
        {"messages": [ASK, AIMessage("42")]},
        [{"role": "assistant", "content": "42"}],
    ],
)
def test_every_form_reads_as_the_same_trajectory(model, inputs, outputs):
    result = as_evaluator(model)(inputs=inputs, outputs=outputs)
    assert result["key"] == "agentrm"
    assert result["score"] == 0.75
    assert result["comment"] is None
    assert read(model).goal == "What is 6 times 7?"
    assert [t.action for t in read(model).turns] == ["42"]


def test_a_run_with_tools_is_read_up_to_its_last_answer(model):
    call = {"name": "times", "args": {"a": 6, "b": 7}, "id": "1"}
    outputs = {
        "messages": [
            SystemMessage("Use tools."),
            ASK,
            AIMessage("", tool_calls=[call]),
            ToolMessage("42", tool_call_id="1"),
            AIMessage("42"),
            ToolMessage("unread", tool_call_id="2"),
        ]
    }
    as_evaluator(model)(inputs=None, outputs=outputs)
    path = read(model)
    assert path.instruction == "Use tools."
    assert [t.action for t in path.turns] == ['times({"a": 6, "b": 7})', "42"]
    assert path.turns[-1].observation == "42"


def test_the_instruction_of_the_reward_model_replaces_the_prompt(model):
    outputs = [SystemMessage("long policy prompt"), ASK, AIMessage("42")]
    as_evaluator(model, instruction="You grade sums.")(outputs=outputs)
    assert read(model).instruction == "You grade sums."


@pytest.mark.parametrize("repeats", [True, False])
def test_outputs_may_repeat_the_inputs_or_go_on_from_them(model, repeats):
    asked = [SystemMessage("Be brief."), ASK]
    made = [AIMessage("Hm."), AIMessage("42")]
    as_evaluator(model)(inputs=asked, outputs=[*asked, *made] if repeats else made)
    assert read(model).instruction == "Be brief."
    assert [t.action for t in read(model).turns] == ["Hm.", "42"]


def test_keys_can_be_named(model):
    evaluator = as_evaluator(model, input_key="q", output_key="a", feedback_key="rm")
    result = evaluator(
        inputs={"q": "What is 6 times 7?", "x": 1}, outputs={"a": "42", "cost": 2}
    )
    assert (result["key"], result["score"]) == ("rm", 0.75)


def test_the_twin_answers_alike(model):
    asked = {"inputs": "What?", "outputs": "42", "reference_outputs": "42", "more": 1}
    twin = asyncio.run(as_async_evaluator(model)(**asked))
    assert twin == as_evaluator(model)(**asked)
    assert twin["metadata"]["comparable"] == "global"
    assert twin["metadata"]["input_tokens"] == 0


def test_no_score_is_none_with_a_reason(model):
    result = as_evaluator(model)(inputs="What?", outputs="43")
    assert result["score"] is None
    assert "'43'" in result["comment"]


def test_a_reward_model_that_is_down_raises(model):
    model.error = RewardModelError("down")
    with pytest.raises(RewardModelError, match="down"):
        as_evaluator(model)(inputs="What?", outputs="42")


@pytest.mark.parametrize(
    ("inputs", "outputs", "named"),
    [
        (None, "42", "user's request"),
        ({}, "42", "user's request"),
        ("What?", None, "no AI message"),
        ("What?", [], "no AI message"),
        ("What?", [HumanMessage("42")], "no AI message"),
        ("What?", {"a": 1, "b": 2}, "output_key"),
        ({"a": 1, "b": 2}, "42", "input_key"),
        ("What?", 42, "outputs are a int"),
        ("What?", [object()], "outputs are no messages"),
    ],
)
def test_what_cannot_be_read_is_named(model, inputs, outputs, named):
    with pytest.raises(ConfigurationError, match=named):
        as_evaluator(model)(inputs=inputs, outputs=outputs)
    assert model.calls == 0


@pytest.mark.parametrize("make", [as_evaluator, as_async_evaluator])
def test_scores_of_a_group_are_refused(make):
    with pytest.raises(ConfigurationError, match="pointwise"):
        make(ScriptedRewardModel({}, comparable="group"))


def example():
    started = datetime(2026, 1, 1, tzinfo=UTC)
    run = Run(
        id=uuid.uuid4(),
        name="agent",
        run_type="chain",
        start_time=started,
        trace_id=uuid.uuid4(),
        inputs={"question": "What is 6 times 7?"},
        outputs={"messages": [ASK, AIMessage("42")]},
    )
    return run, Example(
        id=uuid.uuid4(),
        inputs={"question": "What is 6 times 7?"},
        outputs={"answer": "42"},
        dataset_id=uuid.uuid4(),
        created_at=started,
    )


def test_langsmith_takes_it_as_it_is(model, monkeypatch):
    monkeypatch.setenv("LANGSMITH_TRACING", "false")
    result = run_evaluator(as_evaluator(model)).evaluate_run(*example())
    assert (result.key, result.score) == ("agentrm", 0.75)


async def test_langsmith_takes_the_twin(model, monkeypatch):
    monkeypatch.setenv("LANGSMITH_TRACING", "false")
    result = await run_evaluator(as_async_evaluator(model)).aevaluate_run(*example())
    assert (result.key, result.score) == ("agentrm", 0.75)
