"""One supervised vLLM over the shipped reward model answers as the model in process."""

from __future__ import annotations

import base64
import json
import os
import signal
import struct
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from langchain_agentrm._checkpoint import load_tokenizer
from langchain_agentrm._tokens import ChatTokens
from langchain_agentrm.embedded import embedded_models
from langchain_agentrm.errors import CheckpointError, ConfigurationError
from langchain_agentrm.reward_models import AgentRM
from langchain_agentrm.reward_models.vllm import VLLMRewardModel
from langchain_agentrm.serving import sample_trajectories
from langchain_agentrm.serving.vllm import VLLMServer
from langchain_agentrm.testing.mini_checkpoint import write_mini_checkpoint
from langchain_agentrm.testing.reward_model import RewardModelConformance
from langchain_agentrm.trajectory import render
from tests.vllm.checkpoints import with_nan_token

pytestmark = pytest.mark.vllm

TOLERANCE = 1e-4
_LOOPBACK = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ask(server, body, *, raw=True):
    """POST /pooling; status and answer."""
    request = urllib.request.Request(
        f"{server.url}/pooling",
        json.dumps(
            {"model": server.name, "use_activation": False, **body}
            if raw
            else {"model": server.name, **body}
        ).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with _LOOPBACK.open(request, timeout=120) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def values(answer):
    rows = sorted(answer["data"], key=lambda row: row["index"])
    return [struct.unpack("<f", base64.b64decode(row["data"]))[0] for row in rows]


def metric(server, name):
    with _LOOPBACK.open(f"{server.url}/metrics", timeout=60) as answer:
        lines = answer.read().decode().splitlines()
    found = [line for line in lines if line.startswith(f"vllm:{name}{{")]
    return sum(float(line.rpartition(" ")[2]) for line in found)


@pytest.fixture(scope="module")
def shipped():
    return embedded_models("babyai").reward_model


@pytest.fixture(scope="module")
def local(shipped):
    return AgentRM(shipped, device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def samples():
    return sample_trajectories()


@pytest.fixture(scope="module")
def texts(shipped, samples):
    tokens = ChatTokens(load_tokenizer(shipped))
    return [list(tokens.chat(render(t), generation_prompt=False)) for t in samples]


@pytest.fixture(scope="module")
def poison(shipped, texts):
    """A token that no text has; the served copy's embedding of it is NaN."""
    used = {token for ids in texts for token in ids}
    size = json.loads((shipped / "config.json").read_text())["vocab_size"]
    return max(set(range(size)) - used)


@pytest.fixture(scope="module")
def server(vllm_python, shipped, poison, tmp_path_factory):
    folder = tmp_path_factory.mktemp("vllm")
    copy = with_nan_token(shipped, folder / "reward_model", poison)
    with VLLMServer(
        copy, vllm_python=vllm_python, api_key="key", log=folder / "vllm.log"
    ) as up:
        yield up


@pytest.fixture(scope="module")
def client(server, shipped):
    return VLLMRewardModel(server.url, tokenizer=shipped, api_key="key")


def test_the_key_is_on_no_command_line(server):
    # Other users of the machine can read command lines.
    out = subprocess.run(
        ["ps", "-A", "-ww", "-o", "args="], capture_output=True, text=True, check=True
    )
    started = [line for line in out.stdout.splitlines() if str(server.port) in line]
    assert started
    assert not [line for line in started if "--api-key" in line]


def test_ids_cold_and_cached_equal_the_model_in_process(server, local, samples, texts):
    expected = [score.value for score in local.score(samples).items]
    assert max(expected) - min(expected) > 100 * TOLERANCE
    for _ in range(2):
        before = metric(server, "prefix_cache_hits_total")
        status, answer = ask(server, {"input": texts, "encoding_format": "base64"})
        assert status == 200
        got = values(answer)
        assert max(abs(a - b) for a, b in zip(got, expected, strict=True)) < TOLERANCE
        assert answer["usage"]["prompt_tokens"] == sum(map(len, texts))
    # All whole blocks but a text's last one come from the cache the second time.
    hits = metric(server, "prefix_cache_hits_total") - before
    assert hits > 0.7 * sum(map(len, texts))


def test_raw_values_are_what_the_server_gives_by_itself(server, texts):
    # A client that leaves the activation to the server must not read a sigmoid.
    _, plain = ask(server, {"input": texts[:2]}, raw=False)
    _, raw = ask(server, {"input": texts[:2]})
    expected = [d["data"][0] for d in raw["data"]]
    assert [d["data"][0] for d in plain["data"]] == pytest.approx(expected, abs=1e-4)


def test_scores_are_open_without_the_key_and_so_stay_on_loopback(server, texts):
    status, _ = ask(server, {"input": texts[:1]})
    assert status == 200
    with pytest.raises(urllib.error.HTTPError) as caught:
        _LOOPBACK.open(f"{server.url}/v1/models", timeout=60)
    with caught.value as error:
        assert error.code == 401
    with pytest.raises(ConfigurationError, match="not loopback"):
        VLLMServer(server.path, vllm_python=server.python.python, host="0.0.0.0")


class TestConformance(RewardModelConformance):
    @pytest.fixture
    def reward_model(self, client):
        return client


def test_the_client_scores_as_the_model_in_process(client, local, samples):
    expected = local.score(samples).items
    got = client.score(samples)
    assert all(score.ok for score in got.items)
    apart = [abs(a.value - b.value) for a, b in zip(got.items, expected, strict=True)]
    assert max(apart) < TOLERANCE


def engines(server):
    """Engine processes of the server, by its process group."""
    out = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,pgid=,args="],
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [line.split(None, 2) for line in out.stdout.splitlines()]
    return [
        int(row[0])
        for row in rows
        if int(row[1]) == server.group and "EngineCore" in row[2]
    ]


def test_a_killed_engine_comes_back_and_no_score_is_lost(
    server, client, local, samples
):
    before = server.restarts
    finished = client.score(samples[:8]).items
    (engine,) = engines(server)
    os.kill(engine, signal.SIGKILL)
    until = time.monotonic() + 300
    while server.restarts == before or not server.healthy():
        assert time.monotonic() < until, "it did not come back"
        time.sleep(0.5)
    assert server.restarts == before + 1
    assert len(engines(server)) == 1
    after = client.score(samples[:8]).items
    expected = local.score(samples[:8]).items
    for old, new, exact in zip(finished, after, expected, strict=True):
        assert abs(old.value - exact.value) < TOLERANCE
        assert abs(new.value - exact.value) < TOLERANCE


# Last of those that score: slots of the cache that held NaN can give another NaN when a
# later text gets them.
def test_one_nan_fails_no_other_text(server, local, samples, texts, poison):
    expected = [score.value for score in local.score(samples[:3]).items]
    bad = [*texts[1][:-1], poison, texts[1][-1]]
    body = {"input": [texts[0], bad, *texts[1:3]], "encoding_format": "base64"}
    status, answer = ask(server, body)
    assert status == 200
    got = values(answer)
    assert got[1] != got[1]
    rest = [got[0], *got[2:]]
    assert max(abs(a - b) for a, b in zip(rest, expected, strict=True)) < TOLERANCE
    # As JSON numbers, the same batch is lost.
    status, answer = ask(server, {"input": [texts[0], bad]})
    assert status == 400
    assert "not JSON compliant" in answer["error"]["message"]


def test_a_plain_language_model_is_refused(vllm_python, tmp_path):
    # vLLM itself would start and answer from memory that nobody wrote to.
    policy = write_mini_checkpoint(tmp_path / "policy", "policy", hidden=128)
    with pytest.raises(CheckpointError, match=r"score\.weight|language model"):
        VLLMServer(policy, vllm_python=vllm_python)
