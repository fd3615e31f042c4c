"""Trying a sandbox before trusting it, and choosing one."""

from __future__ import annotations

import os
import secrets
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.reward_agent.sandbox.bubblewrap import BubblewrapSandbox
from langchain_agentrm.reward_agent.sandbox.layered import LayeredSandbox
from langchain_agentrm.reward_agent.sandbox.monty import MontySandbox
from langchain_agentrm.reward_agent.sandbox.types import Sandbox

__all__ = ["best_sandbox", "self_test"]

_SECONDS = 0.5
_START_SECONDS = 5.0
_VARIABLE = "AGENTRM_SANDBOX_CANARY"

_HONEST = """
import re
def check_following(response):
    return len(re.findall(r"\\w+", response)) == 2
"""


def self_test(sandbox: Sandbox) -> tuple[str, ...]:
    """Try to break out of a sandbox with harmless canaries.

    Takes about a second. The code tried reads and writes a file, reads a variable of
    the environment, connects to a port on loopback, starts a process, takes a gibibyte
    of memory, never ends, ends the process, prints a verdict and returns something that
    is merely true.

    Args:
        sandbox: What is tried.

    Returns:
        What went wrong, one sentence each; nothing if the sandbox held and worked.
    """
    try:
        outcomes = sandbox.check(_HONEST, ["two words", "one"])
        if [o.passed for o in outcomes] != [True, False]:
            return (f"an honest checker gave {outcomes}",)
        return tuple(dict.fromkeys(_breaches(sandbox)))
    except Exception as error:  # noqa: BLE001 - whatever it is, the sandbox is unusable
        return (f"it failed with {type(error).__name__}: {error}",)


def _breaches(sandbox: Sandbox) -> Iterator[str]:
    with _canaries() as (folder, secret, listener):
        for what, code in _payloads(folder, secret, listener):
            began = time.monotonic()
            outcome = sandbox.check(code, ["an answer"], seconds=_SECONDS)[0]
            took = time.monotonic() - began
            if outcome.passed:
                yield f"code could {what}"
            if took > _SECONDS + _START_SECONDS:
                yield f"code that tried to {what} ran for {took:.1f} s"
        if (folder / "written").exists():
            yield "code could write a file"
        if listener is not None and _reached(listener):
            yield "code could open a connection"


def _payloads(
    folder: Path, secret: str, listener: socket.socket | None
) -> Iterator[tuple[str, str]]:
    bodies = {
        "read a file": f"with open({str(folder / 'secret')!r}) as file:\n"
        f"    return {secret!r} in file.read()",
        "write a file": f"with open({str(folder / 'written')!r}, 'w') as file:\n"
        "    file.write('x')\nreturn True",
        "read the environment": "import os\n"
        f"return os.environ.get({_VARIABLE!r}) == {secret!r}",
        "start a process": "import os\npid = os.fork()\n"
        "if pid == 0:\n    os._exit(0)\nreturn True",
        "take a gibibyte": "return len('a' * (1 << 30)) > 0",
        "run without end": "while True:\n    pass",
        "end its process": "import os\nos._exit(0)",
        "print a verdict": 'print(\'{"passed": true, "fault": "", "error": ""}\')\n'
        "raise ValueError",
        "return what is merely true": "return 'False'",
    }
    if listener is not None:
        port = listener.getsockname()[1]
        bodies["open a connection"] = (
            "import socket\n"
            f"socket.create_connection(('127.0.0.1', {port}), 1).close()\nreturn True"
        )
    for what, body in bodies.items():
        lines = "".join(f"    {line}\n" for line in body.splitlines())
        yield what, f"def check_following(response):\n{lines}"


@contextmanager
def _canaries() -> Iterator[tuple[Path, str, socket.socket | None]]:
    secret = secrets.token_hex(8)
    os.environ[_VARIABLE] = secret
    listener = _listener()
    try:
        with tempfile.TemporaryDirectory(prefix="agentrm-canary-") as name:
            folder = Path(name)
            (folder / "secret").write_text(secret)
            yield folder, secret, listener
    finally:
        os.environ.pop(_VARIABLE, None)
        if listener is not None:
            listener.close()


def _listener() -> socket.socket | None:
    try:
        listener = socket.socket()
    except OSError:
        # A machine without a network has nothing to be reached by.
        return None
    try:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.setblocking(False)
    except OSError:
        listener.close()
        return None
    return listener


def _reached(listener: socket.socket) -> bool:
    try:
        connection, _ = listener.accept()
    except BlockingIOError:
        return False
    connection.close()
    return True


@lru_cache(maxsize=1)
def best_sandbox() -> Sandbox:
    """Choose the best sandbox of this machine; each was tried before it is chosen.

    Monty inside bubblewrap, and bubblewrap alone for code that Monty cannot run, where
    both work; else the one that works. The choice is made once a process.

    Returns:
        A sandbox that passed `self_test`.

    Raises:
        ConfigurationError: If none did; it says what each one lacks.
    """
    reasons: list[str] = []
    bubblewrap = _tried(BubblewrapSandbox, reasons)
    monty: Sandbox | None = None
    if bubblewrap is not None:
        monty = _tried(lambda: MontySandbox(jailed=True), reasons)
    if monty is None:
        monty = _tried(MontySandbox, reasons)
    if monty is not None and bubblewrap is not None:
        return LayeredSandbox(monty, bubblewrap)
    chosen = monty or bubblewrap
    if chosen is None:
        msg = f"No sandbox works here: {' '.join(reasons)}"
        raise ConfigurationError(
            msg,
            remedy="Run: pip install 'langchain-agentrm[sandbox]'. On Linux install "
            "bubblewrap too.",
        )
    return chosen


def _tried(make: Callable[[], Sandbox], reasons: list[str]) -> Sandbox | None:
    try:
        sandbox = make()
    except ConfigurationError as error:
        reasons.append(str(error))
        return None
    faults = self_test(sandbox)
    if not faults:
        return sandbox
    sandbox.close()
    reasons.append(f"{sandbox.name} failed its self-test: {'; '.join(faults)}.")
    return None
