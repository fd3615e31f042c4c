"""The proxy's parts alone: whatever comes in, what goes out is sound."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_agentrm.serving._proxy_messages import answer, conversation, fault
from langchain_agentrm.serving._proxy_metrics import Metrics
from langchain_agentrm.serving._proxy_settings import api_base, shown
from langchain_agentrm.serving._proxy_upstream import _sum
from langchain_agentrm.serving._proxy_wire import UpstreamError, decode, encode

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
    ),
    max_leaves=8,
)
FUNCTIONS = st.fixed_dictionaries({}, optional={"name": VALUES, "arguments": VALUES})
CALLS = VALUES | st.fixed_dictionaries({"function": VALUES | FUNCTIONS})
MESSAGES = st.fixed_dictionaries(
    {},
    optional={
        "content": VALUES,
        "refusal": VALUES,
        "tool_calls": VALUES | st.lists(CALLS, max_size=3),
        "function_call": VALUES | FUNCTIONS,
    },
)
ROLES = st.sampled_from(["user", "assistant", "system", "developer", "tool", "odd"])


@given(MESSAGES, VALUES)
def test_any_answer_is_read_and_judged(message, reason):
    said = answer(message)
    why = fault(said, reason)
    calls = message.get("tool_calls")
    if isinstance(calls, list) and calls:
        assert len(said.tool_calls) + len(said.invalid_tool_calls) >= len(calls)
    if said.invalid_tool_calls or not (said.tool_calls or str(said.text).strip()):
        assert why


@given(st.lists(st.tuples(ROLES, MESSAGES), max_size=4))
def test_any_conversation_is_read(parts):
    messages = [{**message, "role": role} for role, message in parts]
    assert len(conversation(messages)) == len(messages)


@pytest.mark.parametrize(
    ("arguments", "good"),
    [
        ('{"a": 1}', True),
        ("", True),
        (None, True),
        ({"a": 1}, True),
        ("[1]", False),
        ('"a"', False),
        ("{", False),
        ("[" * 100_000, False),
        (3, False),
    ],
)
def test_arguments_must_be_an_object(arguments, good):
    call = {"function": {"name": "f", "arguments": arguments}}
    said = answer({"tool_calls": [call]})
    assert bool(said.tool_calls) is good
    assert (fault(said, "tool_calls") is None) is good


def test_custom_tools_old_calls_and_refusals_are_answers():
    custom = {"type": "custom", "custom": {"name": "sql", "input": "select 1"}}
    assert answer({"tool_calls": [custom]}).tool_calls[0]["args"] == {
        "input": "select 1"
    }
    old = {"function_call": {"name": "f", "arguments": "{}"}}
    assert answer(old).tool_calls[0]["name"] == "f"
    said = answer({"content": None, "refusal": "I cannot."})
    assert said.text == "I cannot."
    assert fault(said, "stop") is None
    parts = [{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "b"}]
    assert answer({"content": parts}).text == "a\nb"


@given(VALUES)
def test_json_survives(value):
    assert decode(encode(value)) == value


@pytest.mark.parametrize("text", ["\ud800", "é", "\U0001f600", "\x00"])
def test_any_character_survives(text):
    assert decode(encode({"text": text})) == {"text": text}


def test_usages_add_up_field_by_field():
    one = {"prompt_tokens": 1, "details": {"a": 1, "b": None}, "tier": "x"}
    two = {"prompt_tokens": 2, "details": {"a": 2, "b": 3}, "cost": 0.5}
    assert _sum([one, two]) == {
        "prompt_tokens": 3,
        "details": {"a": 3, "b": 3},
        "tier": "x",
        "cost": 0.5,
    }
    assert one["prompt_tokens"] == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"error": {"message": "m", "param": "n"}}', "m"),
        (b'{"detail": "d"}', None),
        (b'{"error": "text"}', "text"),
        (b'["x"]', "['x']"),
        (b"plain \xff", "plain \ufffd"),
        (b"", "no text"),
        (b'{"error": {}}', '{"error": {}}'),
    ],
)
def test_every_error_body_becomes_an_object_for_a_stream(content, message):
    error = UpstreamError(500, content, {}).error
    assert error.get("message") == message
    assert json.loads(encode(error)) == error


def test_addresses():
    assert api_base("http://h:1") == "http://h:1/v1"
    assert api_base("http://h:1/") == "http://h:1/v1"
    assert api_base("https://h/openai/v2/") == "https://h/openai/v2"
    assert shown("http://u:p@h:1/v1?key=1") == "http://h:1/v1"


def test_metrics_are_prometheus_text():
    metrics = Metrics()
    metrics.count("requests_total", status="200")
    metrics.count("requests_total", status="200")
    metrics.count("tokens_total", 5, kind="prompt")
    for seconds in (0.005, 0.01, 0.2, 1000.0):
        metrics.time("request_seconds", seconds)
    lines = metrics.text().splitlines()
    sample = re.compile(r'agentrm_proxy_\w+(\{\w+="[^"]*"\})? -?[0-9.]+')
    assert all(line.startswith("# ") or sample.fullmatch(line) for line in lines)
    assert 'agentrm_proxy_requests_total{status="200"} 2' in lines
    buckets = [
        int(line.split()[-1]) for line in lines if "request_seconds_bucket" in line
    ]
    assert buckets == [2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 4]
    assert "agentrm_proxy_request_seconds_count 4" in lines
    typed = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(typed) == len(set(typed))
