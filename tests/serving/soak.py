"""The proxy under load with faults: every answer right or a clear error, no leak.

The upstream fails one request in twenty, one client in twenty leaves. What an answer
must be follows from its prompt, so that answers that got mixed up are seen.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import sys
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from langchain_agentrm.serving.proxy import ProxySettings, create_app
from tests.serving.proxy_upstream import ChatServer, by_number, error, serving, wait_for

if TYPE_CHECKING:
    from fastapi import FastAPI

_N = 4
_LATENCY = 0.02


@dataclass
class Outcome:
    """What a soak saw.

    Attributes:
        answers: How requests ended: `right`, `failed` (the upstream's error, as it
            said it), `left`, and anything else, which is a fault.
        injected: Failures that the upstream was made to answer.
        tasks: Tasks of the proxy's loop before and after.
        sockets: Open sockets of this process before and after.
        resident: Resident memory in MiB after a warm-up and after the run.
        seconds: Time of the run.
        metrics: The proxy's counters at the end.
    """

    answers: Counter[str] = field(default_factory=Counter)
    injected: int = 0
    tasks: tuple[int, int] = (0, 0)
    sockets: tuple[int, int] = (0, 0)
    resident: tuple[float, float] = (0.0, 0.0)
    seconds: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict)


class _Watched:
    """An app that knows its loop, so that the tasks in it can be counted."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app
        self.loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.loop = asyncio.get_running_loop()
        await self.app(scope, receive, send)

    def tasks(self) -> int:
        assert self.loop is not None
        done = threading.Event()
        found: list[int] = []

        def look() -> None:
            found.append(len(asyncio.all_tasks(self.loop)))
            done.set()

        self.loop.call_soon_threadsafe(look)
        assert done.wait(5)
        return found[0]


def soak(requests: int, clients: int = 32, share: float = 0.05) -> Outcome:
    """Run it.

    Args:
        requests: How many.
        clients: How many at once.
        share: Share of upstream failures, and of clients that leave.

    Returns:
        What was seen.
    """
    outcome = Outcome()
    server = ChatServer(latency=_LATENCY)
    server.answer = lambda body, i: f"{i} for {body['messages'][0]['content']}"

    def fail(body: dict[str, Any]) -> Any:
        if random.Random(body["messages"][0]["content"]).random() >= share:
            return None
        outcome.injected += 1
        return error(503, "soaked", headers={"retry-after": "1"})

    server.fail = fail
    # What the server remembers would look like a leak of the proxy's.
    server.bodies = deque(maxlen=1)  # type: ignore[assignment]
    server.headers = deque(maxlen=1)  # type: ignore[assignment]
    with serving(server.app()) as behind:
        watched = _Watched(
            create_app(
                f"{behind}/v1", by_number(), ProxySettings(n=_N, keep_alive=0.01)
            )
        )
        with serving(watched) as url:
            asyncio.run(_clients(url, 2 * clients, clients, share, Counter(), "warm"))
            _settled(url, server)
            outcome.injected = 0
            before = (watched.tasks(), _sockets(), _resident())
            began = time.perf_counter()
            asyncio.run(
                _clients(url, requests, clients, share, outcome.answers, "soak")
            )
            outcome.seconds = time.perf_counter() - began
            _settled(url, server)
            after = (watched.tasks(), _sockets(), _resident())
            outcome.metrics = _metrics(url)
    outcome.tasks, outcome.sockets, outcome.resident = zip(before, after, strict=True)
    return outcome


async def _clients(
    url: str, requests: int, clients: int, share: float, seen: Counter[str], word: str
) -> None:
    numbers = iter(range(requests))

    async def one() -> None:
        async with httpx.AsyncClient(base_url=url, timeout=30) as client:
            for number in numbers:
                seen[await _ask(client, f"{word}-{number}", share)] += 1

    await asyncio.gather(*(one() for _ in range(clients)))


async def _ask(client: httpx.AsyncClient, word: str, share: float) -> str:
    rng = random.Random(f"client {word}")
    leaves, stream = rng.random() < share, rng.random() < 0.5
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": word}],
        "stream": stream,
    }
    call = client.post("/v1/chat/completions", json=body)
    if leaves:
        try:
            async with asyncio.timeout(rng.random() * _LATENCY):
                await call
        except TimeoutError:
            return "left"
        return "too late to leave"
    reply = await call
    if reply.status_code != 200:
        fine = (
            reply.status_code == 503
            and reply.headers.get("retry-after") == "1"
            and reply.json()["error"]["message"] == "soaked"
        )
        return "failed" if fine else f"status {reply.status_code}: {reply.text}"
    said = _said(reply.text) if stream else _content(reply.json())
    if said == "soaked":
        return "failed"
    return "right" if said == f"{_N - 1} for {word}" else f"wrong: {said}"


def _content(body: dict[str, Any]) -> str:
    return str(body["choices"][0]["message"]["content"])


def _said(stream: str) -> str:
    events = [line[6:] for line in stream.splitlines() if line.startswith("data: ")]
    if '"error"' in events[-1]:
        return str(json.loads(events[-1])["error"]["message"])
    if events.pop() != "[DONE]":
        return "no end"
    deltas = [json.loads(e)["choices"][0]["delta"] for e in events]
    return "".join(d.get("content") or "" for d in deltas)


def _settled(url: str, server: ChatServer) -> None:
    """Wait until nothing is in work and idle connections have been let go."""
    wait_for(lambda: server.open == 0 and not _metrics(url)["in_flight"], 20)
    gc.collect()


def _metrics(url: str) -> dict[str, float]:
    # A client of its own: its connection is closed when it has read.
    lines = httpx.get(f"{url}/metrics").text.splitlines()
    pairs = [line.rsplit(" ", 1) for line in lines if not line.startswith("#")]
    return {name.removeprefix("agentrm_proxy_"): float(v) for name, v in pairs}


def _sockets() -> int:
    folder = Path("/proc/self/fd")
    count = 0
    for entry in folder.iterdir() if folder.exists() else ():
        try:
            count += str(entry.readlink()).startswith("socket:")
        except OSError:  # closed since it was listed
            continue
    return count


def _resident() -> float:
    stat = Path("/proc/self/statm")
    if not stat.exists():
        return 0.0
    return int(stat.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    print(soak(int(sys.argv[1]) if len(sys.argv) > 1 else 200))
