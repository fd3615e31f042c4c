"""The graphs that `langgraph.json` names: in process, and under `langgraph dev`."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from tests.examples.processes import PATIENCE, ROOT, model_server

SETTINGS = json.loads((ROOT / "langgraph.json").read_text())
TASK = {"env": "corridor", "type": "straight", "id": "straight:0", "seed": 0}
ASKED = {"messages": [{"role": "user", "content": "What is a reward?"}]}


def load(name, url, monkeypatch):
    """Load a graph as the server does: by the path in `langgraph.json`."""
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    path, _, attribute = SETTINGS["graphs"][name]["path"].partition(":")
    spec = importlib.util.spec_from_file_location("studio_graphs", ROOT / path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "studio_graphs", module)
    spec.loader.exec_module(module)
    return getattr(module, attribute)


# In a process of its own: a chat model keeps its connections as long as it lives.
_BOTH = """
import asyncio, json, sys
from pytest import MonkeyPatch
from tests.examples.test_studio import ASKED, TASK, load
from tests.examples.test_studio import checked_agent, checked_search

async def both():
    for name, given, check in (
        ("search", {"task": TASK}, checked_search),
        ("agent", ASKED, checked_agent),
    ):
        graph = load(name, sys.argv[1], MonkeyPatch())
        assert graph.checkpointer is None
        check(graph.invoke(given))
        check(await graph.ainvoke(given))

asyncio.run(both())
print("both")
"""


def checked_search(out):
    assert out["result"]["success"]
    assert out["result"]["actions"] == ["right", "right"]


def checked_agent(out):
    said = [m if isinstance(m, dict) else m.model_dump() for m in out["messages"]]
    assert [m["type"] for m in said[:3]] == ["human", "ai", "tool"]
    assert said[-1]["type"] == "ai"
    assert said[-1]["response_metadata"]["agentrm"]["score"] == 1.0


def test_both_take_json_sync_and_async(tmp_path):
    with model_server() as url:
        done = subprocess.run(
            [sys.executable, "-c", _BOTH, url],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    assert done.stdout == "both\n", done.stderr


@pytest.mark.parametrize("name", ["search", "agent"])
def test_their_schemas_can_be_shown_as_forms(monkeypatch, name):
    graph = load(name, "http://127.0.0.1:9/v1", monkeypatch)
    shown = graph.get_input_jsonschema()["properties"]
    assert set(shown) == ({"task"} if name == "search" else {"messages"})
    json.dumps(graph.get_output_jsonschema())
    assert graph.get_graph().draw_mermaid()


def _get(url):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=2) as reply:
        return reply.status


def _free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


async def _drive(url):
    """Do what Studio does: forms, a thread, a streamed run, its history, a fork."""
    from langgraph_sdk import get_client

    async with get_client(url=url) as client:
        await _use(client)


async def _use(client):
    named = {a["graph_id"] for a in await client.assistants.search()}
    assert named == set(SETTINGS["graphs"])
    thread = (await client.threads.create())["thread_id"]
    told = [
        part.data["event"]
        async for part in client.runs.stream(
            thread, "search", input={"task": TASK}, stream_mode=["custom", "updates"]
        )
        if part.event == "custom"
    ]
    assert told[0] == "agentrm.start"
    assert told[-1] == "agentrm.end"
    checked_search((await client.threads.get_state(thread))["values"])
    history = await client.threads.get_history(thread, limit=50)
    spot = next(
        s
        for s in history
        if s["next"] == ["select"] and s["values"]["search"]["step"] == 1
    )
    assert spot["values"]["nodes"]
    again = await client.runs.wait(
        thread, "search", input=None, checkpoint=spot["checkpoint"]
    )
    checked_search(again)
    thread = (await client.threads.create())["thread_id"]
    checked_agent(await client.runs.wait(thread, "agent", input=ASKED))


def test_both_run_under_langgraph_dev(tmp_path):
    command = os.environ.get("LANGGRAPH_CLI") or shutil.which("langgraph")
    if command is None:
        pytest.skip("langgraph-cli[inmem] is not installed")
    port, log = _free_port(), tmp_path / "log"
    # The server keeps its state beside its settings, so those are copied.
    settings = {**SETTINGS, "dependencies": [str(ROOT)], "graphs": {}}
    for name, graph in SETTINGS["graphs"].items():
        path = str(ROOT / graph["path"])
        settings["graphs"][name] = {**graph, "path": path}
    (tmp_path / "langgraph.json").write_text(json.dumps(settings))
    with model_server() as model, log.open("w") as out:
        process = subprocess.Popen(
            [command, "dev", "--no-browser", "--no-reload", "--port", str(port)],
            cwd=tmp_path,
            env={
                **os.environ,
                "OPENAI_BASE_URL": model,
                "LANGSMITH_TRACING": "false",
                "LANGGRAPH_CLI_NO_ANALYTICS": "1",
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
        try:
            until = time.monotonic() + PATIENCE
            while True:
                try:
                    _get(f"http://127.0.0.1:{port}/ok")
                    break
                except OSError:
                    assert process.poll() is None, log.read_text()
                    assert time.monotonic() < until, log.read_text()
                    time.sleep(0.3)
            asyncio.run(_drive(f"http://127.0.0.1:{port}"))
        except Exception as error:
            raise AssertionError(log.read_text()[-4000:]) from error
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)
