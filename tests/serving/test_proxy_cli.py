"""`agentrm serve proxy` as a process: it connects, answers, and drains."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager

import httpx
import pytest

from langchain_agentrm.cli import main
from langchain_agentrm.testing.mini_checkpoint import write_mini_checkpoint
from tests.serving.proxy_clients import post
from tests.serving.proxy_upstream import wait_for


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_mini_checkpoint(tmp_path_factory.mktemp("rm"), "reward")


@contextmanager
def running(*options, **environment):
    """Start the command; gives the process, its address and what it printed."""
    program = "from langchain_agentrm.cli import main; main()"
    command = [sys.executable, "-c", program, "serve", "proxy"]
    process = subprocess.Popen(
        [*command, *map(str, options), "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
    )
    try:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("Ctrl-C"):
                break
        printed = "".join(lines)
        url = re.search(r"on (http://\S+)/v1", printed)
        assert url, printed
        yield process, url[1], printed
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_it_answers_says_how_and_drains_on_sigterm(folder, chat_server, upstream):
    options = ("--upstream", chat_server[1], "--reward-model", folder, "--n", 3)
    with running(*options, AGENTRM_PROXY_TOKEN="t0ken") as (process, url, printed):
        assert "best of 3" in printed
        assert 'os.environ["AGENTRM_PROXY_TOKEN"]' in printed
        assert "t0ken" not in printed
        headers = {"authorization": "Bearer t0ken"}
        assert post(url).status_code == 401
        extra = {"agentrm": {"return_scores": True}}
        report = post(url, extra, headers=headers).json()["agentrm"]
        assert report["fallback"] == ""
        assert len({c["score"] for c in report["candidates"]}) == 3
        upstream.latency = 1.0
        late = {}

        def ask():
            late["plain"] = post(url, headers=headers)

        def stream():
            late["stream"] = post(url, {"stream": True}, headers=headers)

        threads = [threading.Thread(target=f) for f in (ask, stream)]
        for thread in threads:
            thread.start()
        wait_for(lambda: upstream.open == 2)
        process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join(10)
        assert late["plain"].status_code == 200
        assert late["stream"].text.endswith("data: [DONE]\n\n")
        assert process.wait(10) == 0
        with pytest.raises(httpx.ConnectError):
            post(url)


def test_what_outlasts_the_drain_is_cut_off_upstream_too(chat_server, upstream):
    # A judge, since it starts without torch.
    judge = ("--reward-model", "judge:openai:m", "--reward-url", f"{chat_server[1]}/v1")
    options = ("--upstream", chat_server[1], *judge, "--drain-seconds", 1)
    with running(*options, OPENAI_API_KEY="none") as (process, url, _):
        upstream.latency = 30
        ends = []

        def ask():
            try:
                ends.append(post(url).status_code)
            except httpx.HTTPError:
                ends.append(None)

        thread = threading.Thread(target=ask)
        thread.start()
        wait_for(lambda: upstream.open == 1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
        wait_for(lambda: upstream.open == 0)
        thread.join(10)
        assert ends in ([None], [500])


def agentrm(*args) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["serve", "proxy", *map(str, args)])
    return int(stop.value.code or 0)


def test_mistakes_are_told_before_it_starts(folder, capsys, monkeypatch):
    given = ("--upstream", "http://127.0.0.1:9", "--reward-model", folder)
    assert agentrm(*given, "--host", "0.0.0.0") == 1
    assert "AGENTRM_PROXY_TOKEN" in capsys.readouterr().err
    assert agentrm(*given, "--token-env", "NOT_SET_HERE") == 1
    assert "NOT_SET_HERE is empty" in capsys.readouterr().err
    assert agentrm(*given, "--upstream-key-env", "NOT_SET_HERE") == 1
    assert "NOT_SET_HERE is empty" in capsys.readouterr().err
    assert agentrm("--upstream", "nowhere", "--reward-model", folder) == 1
    assert "no HTTP address" in capsys.readouterr().err
    assert agentrm("--upstream", "http://h", "--reward-model", "no/such/thing") == 1
    assert "neither a checkpoint folder" in capsys.readouterr().err
    assert agentrm(*given, "--n", 0) == 1
    assert "n=0" in capsys.readouterr().err


def test_a_port_that_is_taken_is_told(folder, chat_server, capsys):
    port = chat_server[1].rpartition(":")[2]
    given = ("--upstream", "http://127.0.0.1:9", "--reward-model", folder)
    assert agentrm(*given, "--port", port) == 1
    assert f"127.0.0.1:{port}" in capsys.readouterr().err


def test_serving_a_reward_model_needs_no_fastapi():
    code = (
        "import sys; import langchain_agentrm.cli.serve; "
        "print([m for m in ('fastapi', 'uvicorn', 'httpx', 'torch') "
        "if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
