"""Running the examples as their READMEs say: each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
PATIENCE = 120.0
"""Seconds after which a process hangs, even on a busy machine."""


@contextmanager
def model_server():
    """Start the examples' model server; give its base URL."""
    process = subprocess.Popen(
        [sys.executable, EXAMPLES / "model_server.py", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def requests(url):
    """How many requests the server has answered."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url.removesuffix("/v1") + "/requests", timeout=10) as reply:
        return json.load(reply)["requests"]


def run(example, *arguments, cwd):
    """Run an example's script; give what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / example, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
