"""Bubblewrap's command line: a program with nothing of this machine around it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

__all__ = ["bwrap_path", "jail", "python_in_jail"]

# Where a dynamic linker looks without its cache. Only libraries: no shell, no tools.
_LIBRARIES = ("/lib", "/lib64", "/lib32", "/usr/lib", "/usr/lib64", "/usr/lib32")


def bwrap_path() -> str | None:
    """Find the `bwrap` program; None where it is not installed."""
    return shutil.which("bwrap") if sys.platform == "linux" else None


@lru_cache(maxsize=1)
def _locks_namespaces(bwrap: str) -> bool:
    """Tell whether this bubblewrap can forbid further namespaces (0.8 and later)."""
    told = subprocess.run(  # noqa: S603 - its own path, fixed arguments
        [bwrap, "--help"], capture_output=True, text=True, check=False
    )
    return "--disable-userns" in told.stdout + told.stderr


def jail(
    bwrap: str,
    program: Sequence[str],
    *,
    readable: Sequence[str],
    environment: dict[str, str],
    seccomp_fd: int | None,
) -> list[str]:
    """Write the command that runs a program in a jail.

    It has namespaces of its own for everything (network included), no capabilities, an
    empty environment, and a root folder that is read-only and holds libraries and what
    is `readable`; neither `/proc` nor `/dev` nor `/etc` nor `/tmp` is there.

    Args:
        bwrap: Path of bubblewrap.
        program: What is run.
        readable: Files and folders that it may read, at their own places.
        environment: All its variables.
        seccomp_fd: Where bubblewrap reads the filter of system calls, if there is one.

    Returns:
        The command.
    """
    command = [
        bwrap,
        "--unshare-all",
        "--die-with-parent",
        "--new-session",
        "--clearenv",
        "--cap-drop",
        "ALL",
        "--hostname",
        "sandbox",
    ]
    if _locks_namespaces(bwrap):
        command += ["--unshare-user", "--disable-userns"]
    for place in _LIBRARIES:
        path = Path(place)
        if path.is_symlink():
            command += ["--symlink", str(path.readlink()), place]
        elif path.is_dir():
            command += ["--ro-bind", place, place]
    for place in readable:
        command += ["--ro-bind", place, place]
    for name, value in environment.items():
        command += ["--setenv", name, value]
    command += ["--chdir", "/", "--remount-ro", "/"]
    if seccomp_fd is not None:
        command += ["--seccomp", str(seccomp_fd)]
    return [*command, "--", *program]


def python_in_jail(script: str) -> tuple[list[str], list[str], dict[str, str]]:
    """Say how this interpreter runs a script in a jail.

    Args:
        script: Its text.

    Returns:
        The program, what it must be able to read, and its environment. Neither the
        packages that are installed nor the current folder are on its path.
    """
    executable = os.path.realpath(sys.executable)
    library = str(Path(sys.base_prefix) / "lib")
    readable = [executable]
    if not any(Path(library).is_relative_to(p) for p in _LIBRARIES):
        readable.append(library)
    program = [executable, "-P", "-s", "-S", "-B", "-c", script]
    # Hashes of texts order sets: a verdict must not depend on a draw.
    return (
        program,
        readable,
        {"PYTHONHASHSEED": "0", "PYTHONUTF8": "1", "LD_LIBRARY_PATH": library},
    )
