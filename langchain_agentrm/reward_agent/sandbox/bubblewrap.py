"""Model-written code under CPython, in a jail made by bubblewrap."""

from __future__ import annotations

import json
import math
import os
import secrets
import select
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.reward_agent.sandbox._jail import (
    bwrap_path,
    jail,
    python_in_jail,
)
from langchain_agentrm.reward_agent.sandbox._seccomp import seccomp_filter
from langchain_agentrm.reward_agent.sandbox.types import Fault, Limits, Outcome

__all__ = ["BubblewrapSandbox"]

_MODULES = frozenset(
    {
        "ast",
        "base64",
        "bisect",
        "calendar",
        "collections",
        "copy",
        "csv",
        "dataclasses",
        "datetime",
        "decimal",
        "difflib",
        "enum",
        "fractions",
        "functools",
        "heapq",
        "html",
        "io",
        "itertools",
        "json",
        "keyword",
        "math",
        "numbers",
        "operator",
        "random",
        "re",
        "statistics",
        "string",
        "textwrap",
        "time",
        "types",
        "typing",
        "unicodedata",
        "urllib.parse",
        "xml.etree.ElementTree",
    }
)
_PATIENCE = 3
_START_SECONDS = 10.0
_LONGEST_LINE = 4096
_KILLED_BY_CPU_LIMIT = 128 + 24


class BubblewrapSandbox:
    """Runs checkers by CPython in a jail of its own for each call.

    The jail has no network, no processes but the one, no files but the standard
    library, no environment, and limits on memory, processor time and file size; system
    calls that no checker needs are refused by the kernel. Each answer gets the checker
    in a fresh namespace; a call's answers share one process until one of them ends it.
    A checker that ends three of them is given up.

    Works on Linux where unprivileged user namespaces are allowed. Not as root with
    its capabilities dropped, which is how some containers run.

    Args:
        limits: What one check may use.

    Raises:
        ConfigurationError: If bubblewrap is not installed.
    """

    name = "bubblewrap"
    modules = _MODULES

    def __init__(self, limits: Limits = Limits()) -> None:  # noqa: B008 - frozen
        found = bwrap_path()
        if found is None:
            msg = "The program bwrap was not found."
            raise ConfigurationError(
                msg,
                remedy="Install bubblewrap (Linux: apt-get install bubblewrap), or "
                "use MontySandbox.",
            )
        self.limits = limits
        self._bwrap = found
        runner = Path(__file__).with_name("_runner.py").read_text(encoding="utf-8")
        self._program = python_in_jail(runner)
        self._filter = seccomp_filter()

    def check(
        self, code: str, answers: Sequence[str], *, seconds: float | None = None
    ) -> list[Outcome]:
        """Run a checker on each answer.

        Args:
            code: Python that defines `check_following`.
            answers: What is checked.
            seconds: Time for one answer, instead of the limit given.

        Returns:
            One outcome each, in order.

        Raises:
            ConfigurationError: If the jail cannot be made here.
        """
        wait = self.limits.seconds if seconds is None else seconds
        outcomes: list[Outcome] = []
        ended = 0
        while len(outcomes) < len(answers):
            if ended == _PATIENCE:
                last = outcomes[-1]
                rest = Outcome(
                    None, last.fault, f"not run: {_PATIENCE} answers ended it before"
                )
                return outcomes + [rest] * (len(answers) - len(outcomes))
            got, whole = self._process(code, answers[len(outcomes) :], wait)
            outcomes += got
            ended += not whole
        return outcomes

    def close(self) -> None:
        """Do nothing: no process outlives a call."""

    def _process(
        self, code: str, answers: Sequence[str], seconds: float
    ) -> tuple[list[Outcome], bool]:
        """Start one process; its last outcome is why it ended, if it ended early."""
        nonce = secrets.token_hex(16)
        job = {
            "nonce": nonce,
            "code": code,
            "answers": list(answers),
            "memory": self.limits.memory,
            "cpu": math.ceil(seconds * len(answers)) + 1,
        }
        with ExitStack() as stack:
            stdin = _file(stack, json.dumps(job).encode())
            stderr = _file(stack, b"")
            seccomp = _file(stack, self._filter) if self._filter is not None else None
            program, readable, environment = self._program
            command = jail(
                self._bwrap,
                program,
                readable=readable,
                environment=environment,
                seccomp_fd=None if seccomp is None else seccomp.fileno(),
            )
            process = stack.enter_context(
                subprocess.Popen(  # noqa: S603 - the command is ours
                    command,
                    stdin=stdin,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    env={},
                    cwd="/",
                    pass_fds=() if seccomp is None else (seccomp.fileno(),),
                    start_new_session=True,
                )
            )
            try:
                lines = _Lines(process, nonce)
                if lines.read(_START_SECONDS) is None:
                    process.kill()
                    process.wait()
                    stderr.seek(0)
                    raise _unusable(stderr.read(400).decode("utf-8", "replace"))
                outcomes: list[Outcome] = []
                for _ in answers:
                    line = lines.read(seconds)
                    if line is None:
                        return [*outcomes, _early(process, lines, seconds)], False
                    outcomes.append(_outcome(line))
                return outcomes, True
            finally:
                process.kill()


class _Lines:
    """Reads lines that begin with a nonce, each within a time, none without bound."""

    def __init__(self, process: subprocess.Popen[bytes], nonce: str) -> None:
        assert process.stdout is not None  # noqa: S101 - for type checkers
        self._fd = process.stdout.fileno()
        self._nonce = nonce.encode()
        self._rest = b""
        self.late = False

    def read(self, seconds: float) -> bytes | None:
        """Return the next line without its nonce; None at the end or when late."""
        until = time.monotonic() + seconds
        while b"\n" not in self._rest:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self._fd], [], [], left)[0]:
                self.late = True
                return None
            part = os.read(self._fd, _LONGEST_LINE)
            self._rest += part
            if not part or len(self._rest) > 2 * _LONGEST_LINE:
                return None
        line, _, self._rest = self._rest.partition(b"\n")
        return line[len(self._nonce) :] if line.startswith(self._nonce) else None


def _file(stack: ExitStack, content: bytes) -> IO[bytes]:
    file = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - it does
    file.write(content)
    file.seek(0)
    return file


def _outcome(line: bytes) -> Outcome:
    try:
        told = json.loads(line)
        passed, fault, error = told["passed"], told["fault"], told["error"]
    except (ValueError, KeyError, TypeError):
        return Outcome(None, "crashed", "the verdict line is not of our form")
    if passed is True or passed is False:
        return Outcome(passed)
    known: dict[object, Fault] = {
        "memory": "memory",
        "not_bool": "not_bool",
        "raised": "raised",
    }
    return Outcome(None, known.get(fault, "crashed"), str(error)[:300])


def _early(process: subprocess.Popen[bytes], lines: _Lines, seconds: float) -> Outcome:
    process_ended = not lines.late
    if not process_ended:
        return Outcome(None, "timeout", f"no verdict within {seconds:g} s")
    process.kill()
    code = process.wait()
    if code == _KILLED_BY_CPU_LIMIT:
        return Outcome(None, "timeout", "it used up its processor time")
    return Outcome(None, "crashed", f"the process ended without a verdict ({code})")


def _unusable(told: str) -> ConfigurationError:
    said = " ".join(told.split()) or "it did not start in time"
    msg = f"bubblewrap cannot make a jail here: {said}."
    return ConfigurationError(
        msg,
        remedy="Allow unprivileged user namespaces, run as an ordinary user, or use "
        "MontySandbox.",
    )
