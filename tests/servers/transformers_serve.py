"""`transformers serve` over a checkpoint, in a process of its own on loopback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx
from langchain_openai import ChatOpenAI

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

START_SECONDS = 180.0
ANSWER_SECONDS = 60.0
_KILL_SECONDS = 10.0


class CannotServeError(RuntimeError):
    """The server did not come up; says why, with the end of its log."""


class TransformersServe:
    """A running server.

    Attributes:
        path: The checkpoint, which is also the model's name.
        url: Base URL of its OpenAI-compatible API.
    """

    def __init__(self, path: Path, url: str, log: Path) -> None:
        self.path = path
        self.url = url
        self._log = log

    @property
    def log(self) -> str:
        """What the server wrote so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def chat(self, **options) -> ChatOpenAI:
        """Make a chat model on this server; retries are left out to show faults."""
        # A kept connection would outlive the test that made it.
        none_kept = httpx.Limits(max_keepalive_connections=0)
        return ChatOpenAI(
            model=str(self.path),
            base_url=self.url,
            api_key="unused",
            use_responses_api=False,
            max_retries=0,
            timeout=ANSWER_SECONDS,
            http_client=httpx.Client(trust_env=False, limits=none_kept),
            http_async_client=httpx.AsyncClient(trust_env=False, limits=none_kept),
            **options,
        )


@contextmanager
def transformers_serve(checkpoint: Path, folder: Path) -> Iterator[TransformersServe]:
    """Serve a checkpoint in float32 on one CPU core; killed at the end.

    Args:
        checkpoint: The policy's folder.
        folder: For the log.

    Yields:
        The server, which has answered its health check.

    Raises:
        CannotServeError: If it ended, or was not up in time.
    """
    port = _free_port()
    log = folder / "serve.log"
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve"]
    command += [str(checkpoint), "--host", "127.0.0.1", "--port", str(port)]
    command += ["--device", "cpu", "--dtype", "float32"]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
    server = TransformersServe(checkpoint, f"http://127.0.0.1:{port}/v1", log)
    try:
        _await(process, port, server)
        yield server
    finally:
        process.kill()
        process.wait(_KILL_SECONDS)


def _await(process: subprocess.Popen, port: int, server: TransformersServe) -> None:
    until = time.monotonic() + START_SECONDS
    with httpx.Client(trust_env=False, timeout=5) as client:
        while time.monotonic() < until:
            if process.poll() is not None:
                msg = f"exit {process.returncode}: {server.log[-600:]}"
                raise CannotServeError(msg)
            try:
                if client.get(f"http://127.0.0.1:{port}/health").is_success:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.2)
    msg = f"not up after {START_SECONDS:.0f} s: {server.log[-600:]}"
    raise CannotServeError(msg)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
