"""Jobs for a backend's tests, in a module that a worker process imports quickly."""

from __future__ import annotations

import functools
import os
import time
from pathlib import Path

from langchain_agentrm.errors import PolicyError
from langchain_agentrm.training.backends import LocalBackend


class Work:
    """A job: waits for seconds or for another job, then answers, fails or dies."""

    def __init__(self, folder: Path) -> None:
        (folder / f"setup-{os.getpid()}-{time.monotonic_ns()}").touch()
        self.folder = folder

    def __call__(self, job):
        kind, wait = job
        (self.folder / f"begun-{kind}").touch()
        if isinstance(wait, str):
            deadline = time.monotonic() + 60
            while not (self.folder / wait).exists():
                assert time.monotonic() < deadline
                time.sleep(0.01)
        else:
            time.sleep(wait)
        if kind == "raise":
            msg = "no answer"
            raise PolicyError(msg, remedy="Wait.")
        if kind == "die":
            os._exit(1)
        (self.folder / f"done-{kind}").touch()
        return kind, os.getpid()


def run(folder, workers, jobs):
    return LocalBackend(workers).run(functools.partial(Work, folder), jobs)
