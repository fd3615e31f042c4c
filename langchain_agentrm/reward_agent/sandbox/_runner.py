"""What runs inside bubblewrap: reads a job, calls the checker, writes verdicts.

Its text is handed to another interpreter; nothing here is ever imported by this one,
and it needs the standard library only.
"""

from __future__ import annotations

import io
import json
import os
import resource
import sys
from typing import Any


class _Nothing(io.TextIOBase):
    """Takes what is printed, and keeps none of it."""

    def write(self, text: str) -> int:
        return len(text)


def _limit(what: int, value: int) -> None:
    resource.setrlimit(what, (value, value))


def _report(error: BaseException) -> tuple[str, str]:
    fault = "memory" if isinstance(error, MemoryError) else "raised"
    try:
        text = str(error)
    except BaseException:  # noqa: BLE001 - its own code may run here
        text = ""
    return fault, f"{type(error).__name__}: {text}"[:300]


def _run(program: Any, answer: str) -> dict[str, Any]:
    space: dict[str, Any] = {"__name__": "checker"}
    passed, fault, error = None, "", ""
    try:
        exec(program, space)  # noqa: S102 - this is the sandbox
        result = space["check_following"](answer)
        # Not isinstance, and not truth: "False" is true.
        if result is True or result is False:
            passed = result
        else:
            fault = "not_bool"
            error = f"check_following returned {type(result).__name__}, not bool"
    except BaseException as raised:  # noqa: BLE001 - SystemExit is no verdict either
        fault, error = _report(raised)
    return {"passed": passed, "fault": fault, "error": error}


def main() -> None:
    """Read one job from standard input and write a line for each answer."""
    job = json.loads(sys.stdin.buffer.read())
    nonce = job["nonce"]
    out = os.dup(1)
    os.close(1)
    os.close(0)
    os.close(2)
    sys.stdout = sys.stderr = _Nothing()
    sys.stdin = io.StringIO()
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NPROC, 0)
    _limit(resource.RLIMIT_NOFILE, 32)
    _limit(resource.RLIMIT_CPU, job["cpu"])
    _limit(resource.RLIMIT_AS, job["memory"])
    # From here on, what goes wrong is the checker's fault and not the sandbox's.
    os.write(out, f"{nonce}\n".encode())
    program: Any = None
    refused: dict[str, Any] | None = None
    try:
        program = compile(job["code"], "checker.py", "exec", dont_inherit=True)
    except BaseException as raised:  # noqa: BLE001 - a parser can fail in many ways
        fault, error = _report(raised)
        refused = {"passed": None, "fault": fault, "error": error}
    for answer in job["answers"]:
        if "random" in job["code"]:
            import random

            random.seed(0)
        line = refused or _run(program, answer)
        os.write(out, (nonce + json.dumps(line) + "\n").encode())


if __name__ == "__main__":
    main()
