"""Model-written code in Monty: an interpreter of its own, in worker processes.

Monty (pydantic-monty) runs a subset of Python and has no way to the machine at all: no
files, no network, no processes, no C extensions. Where bubblewrap works the workers run
inside it, so that a fault of the interpreter does not reach the machine either.
"""

from __future__ import annotations

import os
import shlex
import shutil
import string
import tempfile
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.reward_agent.sandbox._broad import guarded
from langchain_agentrm.reward_agent.sandbox._jail import bwrap_path, jail
from langchain_agentrm.reward_agent.sandbox._seccomp import seccomp_filter
from langchain_agentrm.reward_agent.sandbox.types import Fault, Limits, Outcome

if TYPE_CHECKING:
    from pydantic_monty import Monty

__all__ = ["MontySandbox"]

_MODULES = frozenset(
    {
        "base64",
        "bisect",
        "collections",
        "copy",
        "csv",
        "dataclasses",
        "datetime",
        "decimal",
        "functools",
        "itertools",
        "json",
        "math",
        "random",
        "re",
        "string",
        "time",
        "typing",
        "unicodedata",
    }
)
# Monty 1.4 has no module of this name, and checkers want its constants.
_STRING = (
    "ascii_letters",
    "ascii_lowercase",
    "ascii_uppercase",
    "digits",
    "hexdigits",
    "octdigits",
    "printable",
    "punctuation",
    "whitespace",
)
_PATIENCE = 3
_SESSIONS_PER_WORKER = 512
_RECURSION = 200
_SUSPENSIONS = 200
_GRACE = 1.0
_WAIT_FOR_WORKER = 60.0
_MAPPED_KIB = 4 << 20


class MontySandbox:
    """Runs checkers by Monty, each answer in a session of its own.

    Worker processes are kept, so that a check costs about a millisecond; they are
    started with the first check, and again in a forked child. Sleeps return at once,
    the clock is the machine's, and random numbers are the same in every check. What
    Monty lacks of Python is an outcome with `fault="raised"`, also where the code has
    an `except` that is broad enough to hide it.

    Args:
        limits: What one check may use.
        jailed: Run the workers inside bubblewrap too.
        workers: Most processes at once; as many as there are processors if None.

    Raises:
        ConfigurationError: If pydantic-monty is missing, or bubblewrap where asked for.
    """

    modules = _MODULES

    def __init__(
        self,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        *,
        jailed: bool = False,
        workers: int | None = None,
    ) -> None:
        try:
            import pydantic_monty
        except ImportError as error:
            msg = "pydantic-monty is not installed."
            raise ConfigurationError(
                msg, remedy="Run: pip install 'langchain-agentrm[sandbox]'"
            ) from error
        if jailed and bwrap_path() is None:
            msg = "jailed=True needs the program bwrap, which was not found."
            raise ConfigurationError(
                msg, remedy="Install bubblewrap, or give jailed=False."
            )
        self.limits = limits
        self.jailed = jailed
        self.workers = workers
        self.name = "monty in bubblewrap" if jailed else "monty"
        self._monty = pydantic_monty
        self._lock = threading.Lock()
        self._pool: Monty | None = None
        self._pid = 0
        self._closing: weakref.finalize[Any, Any] | None = None

    def check(
        self, code: str, answers: Sequence[str], *, seconds: float | None = None
    ) -> list[Outcome]:
        """Run a checker on each answer.

        Args:
            code: Python that defines `check_following`.
            answers: What is checked.
            seconds: Time for one answer, at most the limit given.

        Returns:
            One outcome each, in order.

        Raises:
            ConfigurationError: If no worker can be started.
        """
        wait = min(self.limits.seconds, seconds or self.limits.seconds)
        pool = self._opened()
        program = guarded(code)
        outcomes: list[Outcome] = []
        ended = 0
        for answer in answers:
            if ended == _PATIENCE:
                fault = outcomes[-1].fault
                outcomes.append(
                    Outcome(
                        None, fault, f"not run: {_PATIENCE} answers ended it before"
                    )
                )
                continue
            outcome = self._one(pool, program, answer, wait)
            outcomes.append(outcome)
            ended += outcome.fault in {"timeout", "crashed"}
        return outcomes

    def close(self) -> None:
        """End the workers; another `check` starts them again."""
        with self._lock:
            if self._closing is not None and self._pid == os.getpid():
                self._closing()
            self._pool = self._closing = None

    def _one(self, pool: Monty, program: str, answer: str, seconds: float) -> Outcome:
        m = self._monty
        printed = m.CollectString(self.limits.output)
        try:
            with pool.checkout(
                script_name="checker.py",
                limits={
                    "max_feed_duration_secs": seconds,
                    "max_turn_duration_secs": seconds,
                    "max_memory": self.limits.memory,
                    "max_recursion_depth": _RECURSION,
                    "max_suspensions": _SUSPENSIONS,
                    "max_total_sleep_secs": 0.0,
                },
                assert_message_annotations=False,
                # By default a sleep waits outside of every limit on time.
                os_policy={"sleep": "zero", "random_start": {"seed": 0}},
                external_modules={
                    "string": m.ExternalModule({k: getattr(string, k) for k in _STRING})
                },
            ) as session:
                session.feed_run(program, print_callback=printed)
                result: object = session.feed_run(
                    "check_following(_answer_)",
                    inputs={"_answer_": answer},
                    print_callback=printed,
                )
        except m.MontyCrashedError as error:
            fault: Fault = (
                "timeout" if getattr(error, "timed_out", False) else "crashed"
            )
            return Outcome(None, fault, _text(error))
        except (m.MontyError, TimeoutError, RuntimeError, ValueError) as error:
            return _raised(error)
        # Not isinstance, and not truth: "False" is true.
        if result is True or result is False:
            return Outcome(result)
        kind = type(result).__name__
        return Outcome(None, "not_bool", f"check_following returned {kind}, not bool")

    def _opened(self) -> Monty:
        with self._lock:
            # Workers belong to the process that started them, not to its forks.
            if self._pool is None or self._pid != os.getpid():
                self._pool, self._closing = self._start()
                self._pid = os.getpid()
            return self._pool

    def _start(self) -> tuple[Monty, weakref.finalize[Any, Any]]:
        folder = _cell() if self.jailed else None
        pool = self._monty.Monty(
            binary_path=None if folder is None else folder / "monty",
            min_processes=1,
            max_processes=self.workers,
            checkout_timeout=_WAIT_FOR_WORKER,
            request_timeout=self.limits.seconds + _GRACE,
            max_checkouts_per_worker=_SESSIONS_PER_WORKER,
            feed_duration_limit_grace=_GRACE,
            turn_duration_limit_grace=_GRACE,
        )
        try:
            pool.__enter__()
        except Exception as error:
            _remove(folder)
            msg = f"{self.name} cannot be started: {_text(error)}."
            raise ConfigurationError(
                msg,
                remedy="Reinstall pydantic-monty, or give another sandbox.",
            ) from error
        return pool, weakref.finalize(self, _end, pool, folder, os.getpid())


def _end(pool: Monty, folder: Path | None, pid: int) -> None:
    if pid == os.getpid():
        pool.__exit__(None, None, None)
        _remove(folder)


def _remove(folder: Path | None) -> None:
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def _cell() -> Path:
    """Write a program that starts the worker inside bubblewrap."""
    from pydantic_monty._binary import find_monty_binary

    bwrap = bwrap_path()
    if bwrap is None:  # pragma: no cover - checked when the sandbox was made
        msg = "The program bwrap has gone."
        raise ConfigurationError(msg, remedy="Install bubblewrap.")
    binary = os.path.realpath(find_monty_binary())
    folder = Path(tempfile.mkdtemp(prefix="agentrm-monty-"))
    filtering = seccomp_filter(threads=True)
    command = jail(
        bwrap,
        [binary],
        readable=[binary],
        environment={},
        seccomp_fd=None if filtering is None else 9,
    )
    opened = ""
    if filtering is not None:
        (folder / "filter").write_bytes(filtering)
        opened = f" 9< {shlex.quote(str(folder / 'filter'))}"
    script = folder / "monty"
    script.write_text(
        "#!/bin/sh\n"
        f"ulimit -c 0\nulimit -f 0\nulimit -v {_MAPPED_KIB}\n"
        f'exec {shlex.join(command)} "$@"{opened}\n'
    )
    script.chmod(0o700)
    return folder


def _raised(error: Exception) -> Outcome:
    """Tell what the code raised from what its limits raised."""
    inner = getattr(error, "exception", None)
    cause = inner() if callable(inner) else error
    fault: Fault = "raised"
    if isinstance(cause, TimeoutError):
        fault = "timeout"
    elif isinstance(cause, MemoryError):
        fault = "memory"
    return Outcome(None, fault, _text(error))


def _text(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1].strip().rstrip(".")[:300]
