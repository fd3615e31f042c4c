"""The parent's side of the vLLM child process: start, ask, and end."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from langchain_agentrm.errors import RewardModelError
from langchain_agentrm.reward_models._vllm.python import VLLMPython, explain, tail

__all__ = ["Engine"]

_CHILD = Path(__file__).with_name("child.py")
_STOP_SECONDS = 10.0


class Engine:
    """A running child; it is over after the first failure.

    Attributes:
        ready: What the child said when its model was loaded.
    """

    def __init__(
        self,
        python: VLLMPython,
        options: Mapping[str, Any],
        log: Path,
        *,
        start_seconds: float,
    ) -> None:
        """Start the child and wait until its model is loaded.

        Args:
            python: The interpreter that holds vLLM.
            options: Options of `vllm.LLM`, plain JSON.
            log: Where what vLLM writes goes.
            start_seconds: How long loading may take.

        Raises:
            RewardModelError: If it ends, fails or takes longer; shows its log's end.
        """
        self._log = log
        environment = python.environment()
        # The engine in the child itself: one process to watch and to end.
        environment.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        with log.open("wb") as out:
            self._process = subprocess.Popen(  # noqa: S603  # the user's own Python
                [python.python, str(_CHILD)],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=out,
                start_new_session=True,
            )
        self._answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        assert self._process.stdin  # noqa: S101  # given above
        assert self._process.stdout  # noqa: S101  # given above
        self._stdin: IO[bytes] = self._process.stdin
        self._reader = threading.Thread(
            target=_pump, args=(self._process.stdout, self._answers), daemon=True
        )
        self._reader.start()
        self._end = weakref.finalize(self, _end, self._process, self._reader)
        try:
            self.ready: Mapping[str, Any] = self._ask(options, start_seconds)["ready"]
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the child can be asked."""
        return self._end.alive and self._process.poll() is None

    def encode(
        self, ids: Sequence[Sequence[int]], task: str, *, seconds: float
    ) -> tuple[list[list[float]], int]:
        """Run texts through the model.

        Args:
            ids: Token ids of each text.
            task: vLLM's pooling task.
            seconds: How long that may take.

        Returns:
            The head's raw outputs for each text, and how many tokens came from the
            cache.

        Raises:
            RewardModelError: If the child fails, ends or takes longer; it is over then.
        """
        try:
            answer = self._ask({"ids": [list(i) for i in ids], "task": task}, seconds)
        except BaseException:
            self.close()
            raise
        return answer["values"], int(answer["cached"])

    def close(self) -> None:
        """End the child and what it started. May be called twice."""
        self._end()

    def _ask(self, message: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        until = time.monotonic() + seconds
        try:
            self._stdin.write(json.dumps(message).encode() + b"\n")
            self._stdin.flush()
            line = self._answers.get(timeout=max(until - time.monotonic(), 0.0))
        except queue.Empty:
            why = f"gave no answer in {seconds:.0f} s"
            raise self._failed(why) from None
        except OSError:
            # Its end is told below, with the exit code.
            line = b""
        if not line:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_SECONDS)
            why = f"ended with exit code {self._process.poll()}"
            raise self._failed(why)
        answer: dict[str, Any] = json.loads(line)
        if error := answer.get("fatal") or answer.get("error"):
            why = f"failed: {error}"
            raise self._failed(why)
        return answer

    def _failed(self, why: str) -> RewardModelError:
        text = self._log.read_text(encoding="utf-8", errors="replace")
        msg = f"The vLLM engine {why}. The end of its log:\n{tail(text)}\n"
        remedy = explain(f"{why}\n{text}") or "It is started again with the next call."
        return RewardModelError(msg, remedy=remedy, retryable=True)


def _pump(source: IO[bytes], answers: queue.SimpleQueue[bytes]) -> None:
    # A thread, since a pipe has no read with a time limit.
    with contextlib.suppress(OSError), source:
        for line in source:
            answers.put(line)
    answers.put(b"")


def _end(process: subprocess.Popen[bytes], reader: threading.Thread) -> None:
    with contextlib.suppress(OSError):
        if process.stdin:
            process.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(0.2)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    # The pipe ends with the last process that holds it; the reader closes it then.
    reader.join(_STOP_SECONDS)
