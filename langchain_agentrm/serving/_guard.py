"""Runs a command and ends it, engine processes included, when its owner is gone.

    python _guard.py GRACE_SECONDS COMMAND...

Run as the leader of a process group. Its standard input is a pipe that the owner holds
open: at its end, wanted or because the owner was killed, the command is asked to stop
and, after the grace, the whole group is killed. Needs the standard library only.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

__all__ = ["main"]


def _end_with_owner(
    child: subprocess.Popen[bytes], grace: float, gone: threading.Event
) -> None:
    while os.read(0, 1024):
        pass
    gone.set()
    child.terminate()
    try:
        child.wait(grace)
    except subprocess.TimeoutExpired:
        os.killpg(0, signal.SIGKILL)
    # Engine processes that outlived their server.
    os.killpg(0, signal.SIGKILL)


def main(args: list[str]) -> int:
    """Run the command until it ends or the owner does.

    Args:
        args: Seconds of grace, then the command.

    Returns:
        The command's exit code; below zero if a signal ended it.
    """
    child = subprocess.Popen(args[1:], stdin=subprocess.DEVNULL)  # noqa: S603
    gone = threading.Event()
    watch = threading.Thread(
        target=_end_with_owner, args=(child, float(args[0]), gone), daemon=True
    )
    watch.start()
    code = child.wait()
    if gone.is_set():
        watch.join()
    return code


if __name__ == "__main__":
    code = main(sys.argv[1:])
    # The shell's form for a signal, since an exit code cannot be negative.
    os._exit(code if code >= 0 else 128 - code)
