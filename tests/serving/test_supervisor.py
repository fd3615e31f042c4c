"""The supervisor over a small fake server: no vLLM is needed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from langchain_agentrm.errors import RewardModelError
from langchain_agentrm.reward_models._vllm.python import explain
from langchain_agentrm.serving._supervisor import Patience, Supervisor, healthy
from langchain_agentrm.serving.vllm import free_port

FAKE = Path(__file__).with_name("fake_server.py")
FAST = Patience(start=20, stop=1, backoff=0.05, longest=0.1, stable=60, deaths=3)


def eventually(condition, seconds=20.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come to that"
        time.sleep(0.02)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A dead process that nobody waited for is not alive.
    status = Path(f"/proc/{pid}/stat")
    return (
        not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"
    )


class Fake:
    def __init__(self, folder):
        self.folder = folder
        self.port = free_port()
        self.counter = folder / "starts"
        self.events = []
        self.made = []

    def command(self, *options):
        return [sys.executable, str(FAKE), str(self.port), str(self.counter), *options]

    def __call__(self, *options, patience=FAST):
        supervisor = Supervisor(
            self.command(*options),
            dict(os.environ),
            lambda: healthy("127.0.0.1", self.port, seconds=1),
            self.folder / "logs" / "server.log",
            patience=patience,
            explain=explain,
            on_event=self.events.append,
        )
        self.made.append(supervisor)
        return supervisor

    @property
    def starts(self):
        return len(self.counter.read_text().splitlines())

    def server_pid(self):
        """The fake server itself: the child of the guard."""
        group = self.made[-1].pid
        out = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(group)],
            capture_output=True,
            text=True,
            check=False,
        )
        return int(out.stdout.split()[0])


@pytest.fixture
def fake(tmp_path):
    made = Fake(tmp_path)
    yield made
    for supervisor in made.made:
        supervisor.stop()


def test_it_waits_for_health_and_stops_cleanly(fake):
    supervisor = fake("--healthy-after", "0.5")
    supervisor.start()
    assert healthy("127.0.0.1", fake.port)
    group = supervisor.pid
    supervisor.stop()
    assert not healthy("127.0.0.1", fake.port)
    assert not alive(group)
    assert supervisor.pid is None
    assert (fake.starts, supervisor.restarts) == (1, 0)
    supervisor.stop()
    supervisor.wait()


def test_a_death_before_health_is_an_error_with_log_and_remedy(fake):
    supervisor = fake("--dies-first", "1")
    with pytest.raises(RewardModelError) as caught:
        supervisor.start()
    text = str(caught.value)
    assert "exit code 7" in text
    assert "fake server, start 1" in text
    assert "pip uninstall" in text
    assert fake.starts == 1


def test_health_that_never_comes_is_an_error(fake):
    patience = Patience(start=0.5, stop=1)
    supervisor = fake("--healthy-after", "60", patience=patience)
    with pytest.raises(RewardModelError, match="not healthy after"):
        supervisor.start()
    assert supervisor.pid is None


def test_a_killed_server_is_started_again_on_its_port(fake):
    supervisor = fake()
    supervisor.start()
    os.kill(fake.server_pid(), signal.SIGKILL)
    eventually(lambda: supervisor.restarts == 1 and healthy("127.0.0.1", fake.port))
    assert fake.starts == 2
    eventually(lambda: fake.events[-1] == "The server is healthy again.")
    assert "ended with exit code 137" in fake.events[0]
    assert supervisor.failure is None


def test_a_killed_guard_takes_the_server_with_it(fake):
    supervisor = fake()
    supervisor.start()
    server = fake.server_pid()
    os.kill(supervisor.pid, signal.SIGKILL)
    eventually(lambda: supervisor.restarts == 1 and healthy("127.0.0.1", fake.port))
    assert not alive(server)


def test_quick_deaths_end_in_an_error(fake):
    supervisor = fake("--die-after", "0.3")
    supervisor.start()
    with pytest.raises(RewardModelError, match="3 times in a row") as caught:
        supervisor.wait(20)
    assert "fake server, start 3" in str(caught.value)
    assert "start 2" not in str(caught.value)
    assert fake.starts == 3


def test_slow_deaths_do_not(fake):
    patience = Patience(start=20, stop=1, backoff=0.05, stable=0.1, deaths=2)
    supervisor = fake("--die-after", "0.5", patience=patience)
    supervisor.start()
    eventually(lambda: supervisor.restarts >= 3)
    assert supervisor.failure is None


def test_a_server_that_ignores_the_request_is_killed(fake):
    supervisor = fake("--stubborn")
    supervisor.start()
    server = fake.server_pid()
    since = time.monotonic()
    supervisor.stop()
    assert 0.9 < time.monotonic() - since < 10
    assert not alive(server)


def test_no_engine_process_is_left(fake, tmp_path):
    note = tmp_path / "engine.pid"
    supervisor = fake("--child", str(note))
    supervisor.start()
    engines = [int(note.read_text())]
    assert alive(engines[0])
    os.kill(fake.server_pid(), signal.SIGKILL)
    eventually(lambda: supervisor.restarts == 1 and healthy("127.0.0.1", fake.port))
    engines.append(int(note.read_text()))
    assert not alive(engines[0])
    supervisor.stop()
    eventually(lambda: not alive(engines[1]))


def test_stopping_interrupts_a_wait_for_a_restart(fake):
    patience = Patience(start=20, stop=1, backoff=60, longest=60, deaths=5)
    supervisor = fake(patience=patience)
    supervisor.start()
    os.kill(fake.server_pid(), signal.SIGKILL)
    eventually(lambda: fake.events)
    since = time.monotonic()
    supervisor.stop()
    assert time.monotonic() - since < 10
    assert supervisor.restarts == 0


def test_nothing_is_left_when_the_owner_is_killed(fake, tmp_path):
    note = tmp_path / "engine.pid"
    script = textwrap.dedent(
        f"""
        import os, time
        from pathlib import Path
        from langchain_agentrm.serving._supervisor import (
            Patience, Supervisor, healthy,
        )
        supervisor = Supervisor(
            {fake.command("--child", str(note))!r},
            dict(os.environ),
            lambda: healthy("127.0.0.1", {fake.port}, seconds=1),
            Path({str(tmp_path / "server.log")!r}),
            patience=Patience(start=20, stop=1),
        )
        supervisor.start()
        print(supervisor.pid, flush=True)
        time.sleep(600)
        """
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    )
    guard = int(owner.stdout.readline())
    engine = int(note.read_text())
    owner.kill()
    owner.wait()
    owner.stdout.close()
    eventually(lambda: not alive(guard) and not alive(engine))
    assert not healthy("127.0.0.1", fake.port)
