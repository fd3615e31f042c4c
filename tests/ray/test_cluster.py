from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.ray

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": str(ROOT),
    # Makes Ray take the loopback address for this machine's own on Linux too.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}


@pytest.fixture(scope="module")
def report(ray_python, tmp_path_factory):
    """What `on_cluster.py` saw; all tests below read it."""
    folder = tmp_path_factory.mktemp("cluster")
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [ray_python, str(ROOT / "tests/ray/on_cluster.py"), str(folder)],
            env={**os.environ, **ENVIRONMENT},
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            process.wait(300)
        finally:
            _end(process)
    assert process.returncode == 0, (folder / "log").read_text()[-4000:]
    found = json.loads((folder / "report.json").read_text())
    print(json.dumps(found, indent=1))
    return found


def _end(process):
    """End a process and its group, Ray's servers among them."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


def test_a_killed_node_changes_nothing(report):
    seen = report["kill"]
    assert len(seen["killed"]) == 1
    assert seen["killed"][0] in seen["nodes"]
    assert len(seen["nodes"]) == 3
    assert 1 <= seen["again"] <= 4, "the chunk that was lost was played again"
    assert seen["trees"] == 48
    assert seen["same_store"]


def test_samples_are_byte_equal(report):
    ours, local = report["kill"]["samples"]
    assert ours == local
    assert set(ours) == {"train.jsonl", "val.jsonl"}
    ours, local = report["babyai"]["samples"]
    assert ours == local
    assert report["babyai"]["same_store"]


def test_episodes_are_equal(report):
    assert report["babyai"]["same_episodes"]
    assert report["babyai"]["episodes"] == 52


def test_models_are_loaded_once_a_process(report):
    assert len(report["kill"]["loads"]) >= 3
    assert set(report["kill"]["loads"]) == {1}


def test_only_what_a_retry_can_help_is_retried(report):
    found, tries = report["failures"]["retryable"]
    assert found == {"0": 10, "1": 20}
    assert tries == {"tries-1": 3, "tries-2": 3}
    found, tries = report["failures"]["final"]
    assert found["error"] == "PolicyError"
    assert "failed Wait." in found["text"]
    assert set(tries.values()) == {1}


def test_a_job_that_kills_its_workers_is_given_up(report):
    found, deaths = report["failures"]["dying"]
    assert found["error"] == "EnvironmentFailedError"
    assert "2 retries" in found["text"]
    assert deaths == 3


def test_a_job_that_fits_nowhere_is_refused(report):
    assert "'GPU': 5" in report["room"]["gpus"]
    assert "'oracle': 1" in report["room"]["named"]


def test_processes_stay_on_their_gpu(report):
    assert len(report["gpus"]) == 30
    assert all(began == now for _, began, now in report["gpus"])
    assert {now for _, _, now in report["gpus"]} == {"0", "1"}
    pairs = {(pid, now) for pid, _, now in report["gpus"]}
    assert len(pairs) == len({pid for pid, _ in pairs})


def test_the_users_own_connection_is_left_open(report):
    assert report["connected"]


_BUILD = """
import sys
from pathlib import Path
from langchain_agentrm.training.backends import RayBackend
from langchain_agentrm.training.trees import TreesConfig, build_trees
from tests.ray.parts import MakeSlow, NotedFactory
folder = Path(sys.argv[1])
config = TreesConfig(env="count", labeller="mcts", tasks=32, chunk=4, simulations=8)
build_trees(
    config, folder, folder, factory=NotedFactory(folder=folder),
    make_proposer=MakeSlow(folder), backend=RayBackend(workers=2),
    progress=lambda done, total, **_: print(done, flush=True),
)
"""


def test_a_killed_driver_leaves_nobody_behind_and_goes_on(ray_python, tmp_path):
    def build():
        return subprocess.Popen(
            [ray_python, "-c", _BUILD, str(tmp_path)],
            env={**os.environ, **ENVIRONMENT},
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    with build() as first:
        try:
            for line in first.stdout:
                if int(line) >= 2:
                    break
            first.kill()
            workers = [int(p.name.rpartition("-")[2]) for p in tmp_path.glob("loads-*")]
            assert workers
            deadline = time.monotonic() + 30
            while any(_alive(pid) for pid in workers):
                assert time.monotonic() < deadline, "workers outlive their driver"
                time.sleep(0.2)
        finally:
            _end(first)
    with build() as second:
        try:
            out, _ = second.communicate(timeout=90)
        finally:
            _end(second)
    done = [int(line) for line in out.split()]
    assert 2 <= done[0] < 8
    assert done[-1] == 8


def _alive(pid):
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
