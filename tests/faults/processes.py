"""Running a module of this folder in a process of its own, which may kill itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATIENCE = 120.0
"""Seconds after which a process hangs, even on a busy machine."""


def start(module, **job):
    """Start `python -m tests.faults.<module>` on a job that it reads as JSON."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-m", f"tests.faults.{module}", json.dumps(job)],
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    """Wait for a process; give what it printed, as JSON."""
    try:
        out, err = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    assert process.returncode == 0, err
    return json.loads(out.splitlines()[-1])


def perish(process):
    """Wait for a process that kills itself."""
    try:
        out, err = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    assert process.returncode == -signal.SIGKILL, (
        f"exit {process.returncode}\n{out}\n{err}"
    )


def die():
    """End this process as a power cut would: nothing is flushed or closed."""
    os.kill(os.getpid(), signal.SIGKILL)


def append(file_name, **line):
    """Write one line, on disk when this returns."""
    data = json.dumps(line).encode() + b"\n"
    file = os.open(file_name, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, data)
        os.fsync(file)
    finally:
        os.close(file)


def lines(path):
    """What was appended so far."""
    if not Path(path).exists():
        return []
    return [json.loads(line) for line in Path(path).read_text().splitlines()]
