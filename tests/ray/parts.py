"""What workers on a cluster load, and how they tell where they were."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from langchain_agentrm.errors import PolicyError
from tests.training.game import CountFactory, CountGame, RandomPolicy


def note(folder: Path, kind: str, text: str) -> None:
    """Write down something that a worker did; each process has a file of its own."""
    with (folder / f"{kind}-{os.getpid()}").open("a") as stream:
        stream.write(f"{text}\n")


def notes(folder: Path, kind: str) -> dict[str, list[str]]:
    """What was written down, by process."""
    return {
        path.name.rpartition("-")[2]: path.read_text().split()
        for path in folder.glob(f"{kind}-*")
    }


def last_to_note(folder: Path, kind: str) -> str:
    """The process that was the last to write something down."""
    paths = folder.glob(f"{kind}-*")
    return max(paths, key=lambda p: p.stat().st_mtime_ns).name.rpartition("-")[2]


class NotedGame(CountGame):
    """The counting game, saying which task was begun by which process."""

    folder: Path

    def _reset(self, task):
        note(self.folder, "begun", task["id"])
        return super()._reset(task)

    def _copy(self):
        twin = super()._copy()
        twin.__class__ = NotedGame
        twin.folder = self.folder
        return twin


@dataclass
class NotedFactory(CountFactory):
    folder: Path = Path()

    def make(self):
        game = NotedGame()
        game.folder = self.folder
        return game


class SlowPolicy(RandomPolicy):
    """Slow enough that a node can be killed while it plays."""

    def propose(self, requests):
        time.sleep(0.2)
        return super().propose(requests)


@dataclass
class MakeSlow:
    """Loads the policy, saying on which node."""

    folder: Path

    def __call__(self):
        import ray

        node = ray.get_runtime_context().get_node_id()
        note(self.folder, "loads", node)
        return SlowPolicy()


@dataclass
class Flaky:
    """Work that fails at first; each try is written down."""

    folder: Path
    retryable: bool

    def __call__(self):
        return self.work

    def work(self, job):
        tries = self.folder / f"tries-{job}"
        with tries.open("a") as stream:
            stream.write("x")
        if len(tries.read_text()) < 3:
            msg = f"job {job} failed"
            raise PolicyError(msg, remedy="Wait.", retryable=self.retryable)
        return job * 10


@dataclass
class Dying:
    """Work whose process dies in the middle, always at one job."""

    folder: Path

    def __call__(self):
        return self.work

    def work(self, job):
        if job == 1:
            with (self.folder / "deaths").open("a") as stream:
                stream.write("x")
            os._exit(3)
        return job


@dataclass
class OnGpu:
    """Work that says which GPU its process was given, and which it began with."""

    def __call__(self):
        self.began = os.environ["CUDA_VISIBLE_DEVICES"]
        return self.work

    def work(self, job):
        time.sleep(0.2)
        return os.getpid(), self.began, os.environ["CUDA_VISIBLE_DEVICES"]
