"""Keeps a server process up: waits for its health, restarts it, leaves nothing."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from langchain_agentrm.errors import RewardModelError

__all__ = ["Patience", "Supervisor", "healthy"]

_GUARD = Path(__file__).with_name("_guard.py")
_POLL_SECONDS = 0.2
_PROBE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait, and how often to try again.

    Attributes:
        start: Seconds until the server must answer its health check.
        stop: Seconds between asking it to stop and killing it.
        backoff: Seconds before the first restart, doubled for each further one.
        longest: Bound of the wait before a restart.
        stable: A death after so many healthy seconds starts the count anew.
        deaths: So many deaths in a row, each within `stable` seconds, are the end.
    """

    start: float = 600.0
    stop: float = 20.0
    backoff: float = 1.0
    longest: float = 30.0
    stable: float = 60.0
    deaths: int = 4


def healthy(host: str, port: int, *, seconds: float = _PROBE_SECONDS) -> bool:
    """Whether `GET /health` answers 200."""
    connection = http.client.HTTPConnection(host, port, timeout=seconds)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


class Supervisor:
    """Runs a server's command until told to stop.

    A thread watches the process. When it dies it is started again after a pause, on the
    same port, until too many deaths follow each other quickly.

    Attributes:
        log: File with all that the server wrote, all its starts after one another.
        restarts: How often it was started again.
        failure: Why it was given up; None while it is not.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        probe: Callable[[], bool],
        log: Path,
        *,
        patience: Patience | None = None,
        explain: Callable[[str], str] = lambda _: "",
        on_event: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Take note of what to run; nothing starts yet.

        Args:
            command: The server's command line.
            environment: Its whole environment.
            probe: Tells whether it is healthy.
            log: Where its output goes; appended.
            patience: How long to wait, and how often to try again.
            explain: From the server's output to a remedy.
            on_event: Told in a sentence what happens to the server.
        """
        self.log = log
        self.restarts = 0
        self.failure: RewardModelError | None = None
        self._command = list(command)
        self._environment = dict(environment)
        self._probe = probe
        self._patience = patience or Patience()
        self._explain = explain
        self._on_event = on_event
        self._process: subprocess.Popen[bytes] | None = None
        self._from = 0
        self._stopping = threading.Event()
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    @property
    def pid(self) -> int | None:
        """Id of the process group that holds the server, while it runs."""
        process = self._process
        return process.pid if process and process.poll() is None else None

    def start(self) -> None:
        """Start the server, wait until it is healthy, and watch it from then on.

        Raises:
            RewardModelError: If it ends, or is not healthy in time; shows its log.
        """
        self._launch()
        try:
            self._await_health()
        except BaseException:
            self._kill_group()
            self._over.set()
            raise
        self._watcher.start()

    def stop(self) -> None:
        """Stop the server and every process it started. May be called twice."""
        self._stopping.set()
        with self._lock:
            # Whatever is being launched is there by now, and nothing is after this.
            process = self._process
        if process and process.stdin:
            # The guard sees the end of its input and asks the server to stop.
            with contextlib.suppress(OSError):
                process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(self._patience.stop + 1)
        self._kill_group()
        if self._watcher.is_alive():
            self._watcher.join()
        self._over.set()

    def wait(self, seconds: float | None = None) -> None:
        """Block until the server is stopped or given up.

        Args:
            seconds: Longest wait; forever if None.

        Raises:
            RewardModelError: If it was given up.
        """
        self._over.wait(seconds)
        if self.failure:
            raise self.failure

    def tail(self, characters: int = 1500) -> str:
        """The end of what the present start of the server wrote."""
        with self.log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            first = max(self._from, size - characters)
            file.seek(first)
            text = file.read().decode("utf-8", "replace")
        return (text if first == self._from else text.partition("\n")[2]).strip()

    def _launch(self) -> None:
        command = [sys.executable, "-I", str(_GUARD), str(self._patience.stop)]
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self._lock, self.log.open("ab") as out:
            if self._stopping.is_set():
                return
            self._from = out.seek(0, os.SEEK_END)
            self._process = subprocess.Popen(  # noqa: S603  # what the caller gave
                [*command, *self._command],
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def _await_health(self) -> None:
        process = self._process
        until = time.monotonic() + self._patience.start
        while process and not self._stopping.is_set():
            if (code := process.poll()) is not None:
                why = f"ended with exit code {code} before it was healthy"
                raise self._failed(why)
            if self._probe():
                return
            if time.monotonic() > until:
                why = f"is not healthy after {self._patience.start:.0f} s"
                raise self._failed(why)
            time.sleep(_POLL_SECONDS)

    def _watch(self) -> None:
        deaths = 0
        while not self._stopping.is_set():
            since = time.monotonic()
            code = self._process.wait() if self._process else 0
            self._kill_group()
            if self._stopping.is_set():
                break
            deaths = 0 if time.monotonic() - since > self._patience.stable else deaths
            deaths = self._restart(deaths + 1, f"ended with exit code {code}")
            if self.failure:
                break
        self._over.set()

    def _restart(self, deaths: int, why: str) -> int:
        # Until it is healthy again; gives back the deaths in a row so far.
        while not self._stopping.is_set():
            if deaths >= self._patience.deaths:
                self.failure = self._failed(f"{why}, {deaths} times in a row")
                self._on_event(str(self.failure))
                return deaths
            pause = min(
                self._patience.backoff * 2 ** (deaths - 1), self._patience.longest
            )
            self._on_event(f"The server {why}; it is started again in {pause:g} s.")
            if self._stopping.wait(pause):
                return deaths
            self._launch()
            self.restarts += 1
            try:
                self._await_health()
            except RewardModelError as error:
                self._kill_group()
                why = "did not come up again"
                self._on_event(str(error))
                deaths += 1
            else:
                if not self._stopping.is_set():
                    self._on_event("The server is healthy again.")
                return deaths
        return deaths

    def _kill_group(self) -> None:
        process = self._process
        if process is None:
            return
        # The guard leads the group, so that engine processes which outlived the server
        # end too.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdin:
            with contextlib.suppress(OSError):
                process.stdin.close()

    def _failed(self, why: str) -> RewardModelError:
        text = self.tail()
        msg = f"The server {why}. The end of its log {str(self.log)!r}:\n{text}\n"
        remedy = self._explain(self.tail(100_000)) or "The log names the cause."
        return RewardModelError(msg, remedy=remedy)
