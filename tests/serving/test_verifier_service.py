"""The verifier service on a real server: what it answers, refuses and never invents."""

from __future__ import annotations

import json
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import pytest

from langchain_agentrm import FunctionRewardModel
from langchain_agentrm.errors import ConfigurationError, RewardModelError
from langchain_agentrm.reward_agent import Passage, RewardAgent, Verdict
from langchain_agentrm.reward_agent.verifiers.function import FunctionVerifier
from langchain_agentrm.serving._verifier_settings import redacted
from langchain_agentrm.serving.verifier_service import (
    VerifierSettings,
    create_verifier_app,
)
from tests.serving.proxy_upstream import serving, wait_for

ASK = {"instruction": "Sit down.", "answers": ["No.", "Yes, please.", "No."]}


def polite(trajectory):
    return "please" in trajectory.turns[-1].action


def silent(trajectory):
    """A verifier that has nothing to say."""


def cites(trajectory):
    passage = Passage("It is so.", "book.txt:3")
    return Verdict(0.5, "half of it", passages=(passage,))


def down(trajectory):
    msg = "http://user:pa55word@backend/v1 is down"
    raise RewardModelError(msg, retryable=True)


def by_length():
    return FunctionRewardModel(lambda ts: [float(len(t.turns[-1].action)) for t in ts])


@pytest.fixture
def service():
    with ExitStack() as stack:

        def start(*verifiers, preference=None, **settings):
            agent = RewardAgent(preference, verifiers)
            app = create_verifier_app(agent, VerifierSettings(**settings))
            return stack.enter_context(serving(app, timeout_graceful_shutdown=2))

        yield start


def post(url, path, body=ASK, **options):
    return httpx.post(f"{url}{path}", **{"json": body, "timeout": 20, **options})


def test_verdicts_scores_and_the_papers_endpoint(service):
    url = service(polite, cites, preference=by_length())
    told = post(url, "/v1/verify").json()["answers"]
    assert [a["verdicts"]["polite"]["value"] for a in told] == [0.0, 1.0, 0.0]
    assert told[0]["verdicts"]["cites"]["passages"][0]["source"] == "book.txt:3"
    assert told[0]["route"]["names"] == ["polite", "cites"]
    scored = post(url, "/v1/score").json()
    assert [s["value"] for s in scored["scores"]] == [0.0, 1.0, 0.0]
    assert scored["scores"][1]["signals"]["preference"] == 12.0
    assert scored["usage"]["requests"] >= 0
    # The verdicts' mean, as upstream's clients expect it: preference has no part in it.
    assert post(url, "/evaluate/").json() == {"result": [0.25, 0.75, 0.25]}
    assert httpx.get(f"{url}/healthz").json() == {"status": "ok"}


def test_messages_tools_and_tool_calls_are_read(service):
    seen = []

    def note(trajectory):
        seen.append(trajectory)
        return 1.0

    url = service(note)
    call = {"id": "1", "type": "function"}
    call["function"] = {"name": "look", "arguments": '{"at": "it"}'}
    body = {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Look."},
        ],
        "tools": [{"type": "function", "function": {"name": "look"}}],
        "answers": [{"role": "assistant", "content": None, "tool_calls": [call]}],
    }
    assert post(url, "/evaluate/", body).json() == {"result": [1.0]}
    (trajectory,) = seen
    assert (trajectory.instruction, trajectory.goal) == ("Be brief.", "Look.")
    assert "look" in trajectory.turns[-1].action
    assert trajectory.tools


@pytest.mark.parametrize("path", ["/v1/verify", "/v1/score", "/evaluate/"])
def test_nothing_is_made_up(service, path):
    for verifiers in ([silent], [down], [silent, down]):
        answered = post(service(*verifiers), path)
        assert answered.status_code == 503
        assert answered.json()["error"]["code"] == "undecided"
        assert "pa55word" not in answered.text


def test_a_part_that_is_down_gives_no_score(service):
    url = service(polite, down)
    for path in ("/v1/score", "/evaluate/"):
        assert post(url, path).status_code == 503
    # Verdicts stand side by side, so that the failed one can be told from the others.
    (first, *_) = post(url, "/v1/verify").json()["answers"]
    assert first["verdicts"]["polite"]["value"] == 0.0
    assert first["verdicts"]["down"]["value"] is None
    assert "RewardModelError" in first["verdicts"]["down"]["error"]
    assert "pa55word" not in json.dumps(first)

    def gone(_):
        msg = "no route to host"
        raise RewardModelError(msg, retryable=True)

    url = service(silent, preference=FunctionRewardModel(gone))
    answered = post(url, "/v1/score")
    assert answered.status_code == 503
    assert answered.headers["retry-after"] == "1"
    assert "no route to host" in answered.text


BAD = {
    "is no JSON": b"{",
    "Send a JSON object": b"[]",
    "instruction=None": b'{"answers": ["a"]}',
    "instruction=' '": b'{"instruction": " ", "answers": ["a"]}',
    "not both": b'{"instruction": "a", "messages": [1], "answers": ["a"]}',
    "messages=[]": b'{"messages": [], "answers": ["a"]}',
    "messages[0] is no object": b'{"messages": [1], "answers": ["a"]}',
    "No human message": b'{"messages": [{"role": "system", "content": "s"}],'
    b' "answers": ["a"]}',
    "answers=[]": b'{"instruction": "a", "answers": []}',
    "an answer=1": b'{"instruction": "a", "answers": [1]}',
    "tools=1": b'{"instruction": "a", "answers": ["a"], "tools": 1}',
    "4 answers are more": b'{"instruction": "a", "answers": ["a", "b", "c", "d"]}',
}


@pytest.mark.parametrize("fault", BAD)
def test_what_cannot_be_read_is_refused(service, fault):
    url = service(polite, max_answers=3)
    headers = {"content-type": "application/json"}
    options = {"content": BAD[fault], "json": None, "headers": headers}
    answered = post(url, "/v1/score", **options)
    assert answered.status_code == 400
    assert fault in answered.json()["error"]["message"]


def test_limits_of_body_type_and_path(service):
    url = service(polite, max_body=200)
    assert post(url, "/v1/score").status_code == 200
    long = {"instruction": "x" * 300, "answers": ["a"]}
    assert post(url, "/v1/score", long).status_code == 413
    parts = (b"x" * 50 for _ in range(10))
    json_type = {"content-type": "application/json"}
    streamed = post(url, "/v1/score", json=None, content=parts, headers=json_type)
    assert streamed.status_code == 413
    plain = {"content": b"{}", "json": None, "headers": {"content-type": "text/plain"}}
    assert post(url, "/v1/score", **plain).status_code == 415
    assert post(url, "/v1/other").status_code == 404
    assert httpx.get(f"{url}/v1/score").status_code == 405


def test_only_so_many_requests_are_in_work(service):
    go = threading.Event()
    inside = threading.Semaphore(0)

    def slow(trajectory):
        inside.release()
        return 1.0 if go.wait(10) else None

    url = service(slow, max_concurrency=2)
    with ThreadPoolExecutor(2) as pool:
        busy = [pool.submit(post, url, "/v1/score") for _ in range(2)]
        assert inside.acquire(timeout=5)
        assert inside.acquire(timeout=5)
        # The event loop is free all the while.
        assert httpx.get(f"{url}/healthz").status_code == 200
        refused = post(url, "/v1/score")
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        go.set()
        assert {b.result().status_code for b in busy} == {200}
    assert post(url, "/v1/score").status_code == 200


def test_a_request_that_takes_too_long_keeps_its_slot_until_it_ends(service):
    go = threading.Event()

    def slow(trajectory):
        return 1.0 if go.wait(10) else None

    url = service(slow, max_concurrency=1, seconds=0.2)
    began = time.monotonic()
    assert post(url, "/v1/score").status_code == 504
    assert time.monotonic() - began < 5
    assert post(url, "/v1/score").status_code == 429
    go.set()
    wait_for(lambda: post(url, "/v1/score").status_code == 200)


def test_a_token_is_asked_for_before_anything_is_read(service):
    url = service(polite, token="s3cret-token")
    for headers in ({}, {"authorization": "Bearer nope"}):
        refused = post(url, "/evaluate/", headers=headers)
        assert refused.status_code == 401
        assert "service's token" in refused.text
        assert refused.headers["x-request-id"]
    headers = {"authorization": "Bearer s3cret-token"}
    assert post(url, "/evaluate/", headers=headers).status_code == 200
    assert httpx.get(f"{url}/healthz").status_code == 200


def test_without_a_token_only_this_machine_may_ask(service):
    url = service(polite)
    refused = post(url, "/v1/score", headers={"host": "evil.example"})
    assert refused.status_code == 403
    assert "AGENTRM_VERIFIER_TOKEN" in refused.text


def test_every_answer_has_an_id_and_the_log_no_secret(service, caplog, monkeypatch):
    monkeypatch.setenv("MY_BACKEND_KEY", "sk-1234567890")

    def leaks(trajectory):
        msg = "wrong key sk-1234567890 (s3cret-token)"
        raise ValueError(msg)

    url = service(leaks, token="s3cret-token")
    headers = {"authorization": "Bearer s3cret-token", "x-request-id": "mine-1"}
    with caplog.at_level(logging.DEBUG, logger="langchain_agentrm"):
        answered = post(url, "/v1/score", headers=headers)
    assert answered.status_code == 503
    assert answered.headers["x-request-id"] == "mine-1"
    assert "wrong key *** (***)" in answered.text
    wait_for(lambda: "mine-1" in caplog.text)
    assert "'/v1/score' 503" in caplog.text
    assert "sk-1234567890" not in caplog.text + answered.text
    assert "s3cret-token" not in caplog.text + answered.text
    assert "Sit down." not in caplog.text
    headers["x-request-id"] = "no good id; drop"
    made = post(url, "/v1/score", headers=headers).headers["x-request-id"]
    assert made.isalnum()


def test_secrets_are_known_by_their_variables(monkeypatch):
    monkeypatch.setenv("KEYBOARD", "qwertyuiop")
    monkeypatch.setenv("SHORT_KEY", "short")
    monkeypatch.setenv("A_TOKEN", "qwertz12")
    text = "qwertyuiop short qwertz12 http://me:pw@host/x"
    assert redacted(text) == "qwertyuiop short *** http://***@host/x"
    assert "s3cret" not in repr(VerifierSettings(token="s3cret"))


class _Box:
    """A sandbox that fails its self-test, or a verifier that has one."""

    name = "box"
    modules = frozenset()

    def check(self, code, answers, *, seconds=None):
        msg = "it does not start"
        raise ConfigurationError(msg)

    def close(self):
        """Nothing to end."""


def test_code_needs_permission_and_a_sandbox_that_holds():
    verifier = FunctionVerifier(polite)
    agent = RewardAgent(None, [verifier])
    create_verifier_app(agent)
    verifier.sandbox = _Box()
    with pytest.raises(ConfigurationError, match="Allow it with --allow-code"):
        create_verifier_app(agent)
    with pytest.raises(ConfigurationError, match="'box' does not hold"):
        create_verifier_app(agent, VerifierSettings(allow_code=True))


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_body": 0},
        {"max_answers": 0},
        {"max_concurrency": 0},
        {"seconds": 0.0},
        {"seconds": float("inf")},
        {"token": " "},
    ],
)
def test_settings_that_cannot_work_are_refused(wrong):
    with pytest.raises(ConfigurationError):
        VerifierSettings(**wrong)
