from __future__ import annotations

import builtins
import functools
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from langchain_agentrm import training
from langchain_agentrm.cli.train import app
from langchain_agentrm.errors import (
    CheckpointError,
    ConfigurationError,
    EnvironmentFailedError,
    PolicyError,
)
from langchain_agentrm.evaluation import runner
from langchain_agentrm.training._policy import check_digest
from langchain_agentrm.training.backends import LocalBackend, RayBackend, make_backend
from tests.training.jobs import run

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("workers", [0, 1])
def test_few_workers_are_this_process(tmp_path, workers):
    found = list(run(tmp_path, workers, [("a", 0), ("b", 0)]))
    assert found == [(0, ("a", os.getpid())), (1, ("b", os.getpid()))]
    assert len(list(tmp_path.glob("setup-*"))) == 1


def test_results_come_as_they_are_ready_and_models_load_once_a_process(tmp_path):
    jobs = [("last", "done-d"), ("b", 0), ("c", 0), ("d", 0)]
    found = list(run(tmp_path, 2, jobs))
    assert sorted((i, kind) for i, (kind, _) in found) == list(
        enumerate(["last", "b", "c", "d"])
    )
    assert found[-1][0] == 0
    pids = {pid for _, (_, pid) in found}
    assert os.getpid() not in pids
    assert len(pids) == len(list(tmp_path.glob("setup-*"))) == 2


def test_what_a_job_raises_comes_after_what_was_finished(tmp_path):
    later = [(f"later{i}", 0.3) for i in range(12)]
    jobs = [("raise", "begun-slow"), ("slow", 0.6), *later]
    seen = []
    with pytest.raises(PolicyError, match=r"no answer Wait\.") as error:
        seen.extend(kind for _, (kind, _) in run(tmp_path, 2, jobs))
    assert error.value.remedy == "Wait."
    done = {path.name.removeprefix("done-") for path in tmp_path.glob("done-*")}
    assert "slow" in seen
    assert done == set(seen), "nothing that was finished is lost"
    assert len(done) < 12, "what had not begun is not begun any more"


def test_a_worker_that_dies_is_named_with_the_remedy(tmp_path):
    with pytest.raises(EnvironmentFailedError, match=r"of 2 died.*it goes on"):
        list(run(tmp_path, 2, [("die", 0.0), ("b", 0.2)]))


def test_what_setup_raises_reaches_the_caller(tmp_path):
    missing = functools.partial(check_digest, tmp_path / "none", "00")
    with pytest.raises(CheckpointError, match=r"none on .* is not there"):
        list(LocalBackend(2).run(missing, [1, 2]))


def test_no_jobs_start_nothing(tmp_path):
    assert list(run(tmp_path, 2, [])) == []
    assert list(RayBackend(address="192.0.2.1:1").run(lambda: int, [])) == []
    assert list(tmp_path.iterdir()) == []


_SCRIPT = """
import functools, sys
from pathlib import Path
from tests.training.jobs import run
if __name__ == "__main__":
    list(run(Path(sys.argv[1]), 2, [("a", 60), ("b", 60)]))
"""


def test_workers_end_with_a_killed_parent(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(_SCRIPT)
    logs = tmp_path / "logs"
    logs.mkdir()
    process = subprocess.Popen(
        [sys.executable, str(script), str(logs)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        deadline = time.monotonic() + 60
        while len(pids := list(logs.glob("setup-*"))) < 2:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    deadline = time.monotonic() + 15
    while any(_alive(path.name.split("-")[1]) for path in pids):
        assert time.monotonic() < deadline, "workers outlive their parent"
        time.sleep(0.1)


def _alive(pid):
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_backends_from_plain_words():
    assert make_backend() == LocalBackend(2)
    assert make_backend("local", workers=5) == LocalBackend(5)
    assert make_backend("ray") == RayBackend()
    made = make_backend("ray", workers=5, ray_address="h:1", num_cpus=2, num_gpus=0.5)
    assert made == RayBackend("h:1", workers=5, num_cpus=2, num_gpus=0.5)
    assert training.RayBackend is RayBackend


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"name": "slurm"}, r"'slurm'.*local, ray"),
        ({"ray_address": "h:1"}, r"takes no ray_address='h:1'"),
        ({"num_gpus": 1}, r"takes no num_gpus=1"),
        ({"workers": -1}, r"workers=-1"),
        ({"name": "ray", "workers": 0}, r"workers=0"),
        ({"name": "ray", "num_gpus": -1}, r"GPU=-1|num_gpus=-1"),
    ],
)
def test_what_cannot_work_is_refused(options, text):
    with pytest.raises(ConfigurationError, match=text):
        make_backend(**options)


def test_the_commands_refuse_it_too(tmp_path):
    command = ["trees", "--policy", str(tmp_path), "--out", str(tmp_path)]
    with pytest.raises(ConfigurationError, match="slurm"):
        app([*command, "--backend", "slurm"], standalone_mode=False)
    shown = CliRunner().invoke(app, ["trees", "--help"], env={"COLUMNS": "200"})
    for option in ("--backend", "--ray-address", "--workers", "--job-gpus"):
        assert option in shown.output


def test_without_ray_the_extra_is_named(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "ray":
            msg = "No module named 'ray'"
            raise ImportError(msg)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigurationError, match=r"langchain-agentrm\[ray\]"):
        list(RayBackend().run(lambda: int, [1]))


class FakeRay:
    """A Ray that is connected to nothing; `ray.init` would knock for minutes."""

    def is_initialized(self):
        return False

    def init(self, **_):
        raise AssertionError("asked before the address was tried")


def test_an_address_where_nobody_answers_is_refused_soon(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", FakeRay())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", address)
        with pytest.raises(ConfigurationError, match=f"{address}.*ray start --head"):
            list(RayBackend().run(lambda: int, [1]))


def test_another_model_under_the_same_path_is_refused(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"one")
    plan = runner.Plan("any", [], ["greedy"], str(tmp_path), f"vllm:{tmp_path}")
    (digests,) = [runner._digests(plan)]
    (tmp_path / "model.safetensors").write_bytes(b"two")
    with pytest.raises(CheckpointError, match="same models under the same path"):
        runner._setup(plan, digests)


def test_folders_are_named_from_the_root(tmp_path, monkeypatch):
    (tmp_path / "policy").mkdir()
    monkeypatch.chdir(tmp_path)
    plan = runner.Plan("any", [], ["greedy"], "policy", "vllm:policy")
    moved = runner._absolute(plan)
    assert moved.policy == str(tmp_path / "policy")
    assert moved.reward_model == f"vllm:{tmp_path / 'policy'}"
    words = runner.Plan("any", [], ["greedy"], "openai:m", "org/model")
    assert runner._absolute(words) == words
