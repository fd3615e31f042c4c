"""Each environment, from one pip command in an empty virtual environment."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.installs

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
EPISODES = 20
NO_LIMIT = {"step_limit": 1000}
# What lifts the step limit. The experts of the other three know none, or end far below
# theirs: a tool task takes 4 actions of 30, BabyAI's end is said by the agent.
OPTIONS = {
    "alfworld": NO_LIMIT,
    "babyai": {},
    "maze": NO_LIMIT,
    "pddl": NO_LIMIT,
    "scienceworld": {},
    "tools": {},
    "webshop": NO_LIMIT,
}
DATA = ("ALFWORLD_DATA", "TOOLS_DATA", "WEBSHOP_DATA")
"""What would make an expert play other tasks than those of the table."""


def documented(name):
    """Solved and played episodes of the table in docs/environments.md."""
    page = (ROOT / "docs" / "environments.md").read_text(encoding="utf-8")
    row = re.search(rf"^\| {name} \|.* (\d+)/(\d+) \|", page, re.MULTILINE)
    assert row is not None, f"docs/environments.md has no expert of {name}"
    return int(row[1]), int(row[2])


@pytest.fixture
def outside(shell_proxies):
    """The shell's variables, without what leads back to this repository's Python."""
    hidden = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", *DATA}
    kept = {name: value for name, value in os.environ.items() if name not in hidden}
    return {**kept, **shell_proxies}


@pytest.fixture
def install(tmp_path, outside, record_property):
    """Make an environment, give it one pip command, and return how to run in it."""

    def run(*command, seconds):
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env=outside,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def install(name):
        folder = tmp_path / "fresh"
        run(sys.executable, "-m", "venv", str(folder), seconds=300)
        python = str(folder / "bin" / "python")
        began = time.perf_counter()
        run(
            *(python, "-m", "pip", "install", "--quiet"),
            *("-c", str(ROOT / "constraints.txt")),
            *(str(ROOT), str(ROOT / "integrations" / name)),
            seconds=1200,
        )
        seconds = time.perf_counter() - began
        print(f"{name}: installed in {seconds:.0f} s", end="; ")

        def play(script, *args):
            began = time.perf_counter()
            out = run(python, str(HERE / script), *map(str, args), seconds=600)
            report = json.loads(out.splitlines()[-1])
            assert all(file.startswith(str(folder)) for file in report["files"])
            print(
                f"{report['solved']} of {report['episodes']} episodes solved, "
                f"{report['actions']} actions, {time.perf_counter() - began:.1f} s"
            )
            return report

        return play

    yield install
    # Half a gigabyte for Jericho: pytest would keep it for three more runs.
    shutil.rmtree(tmp_path / "fresh", ignore_errors=True)


def needs(*commands):
    """Skip, with the reason, where a program of the README's system packages is not."""
    missing = [command for command in commands if shutil.which(command) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not found; the README names the package")


@pytest.mark.parametrize("name", OPTIONS)
def test_expert_episodes_after_one_pip_command(name, install):
    if name == "scienceworld":
        needs("java")
    play = install(name)
    report = play("_episodes.py", name, EPISODES, json.dumps(OPTIONS[name]))
    assert (report["solved"], report["episodes"]) == documented(name)


def test_jericho_after_one_pip_command(install):
    needs("gcc", "make")
    if not os.environ.get("JERICHO_GAMES"):
        pytest.skip("JERICHO_GAMES names no folder; the README says what may be in it")
    play = install("jericho")
    report = play("_walkthroughs.py", EPISODES)
    if not report["episodes"]:
        pytest.skip("JERICHO_GAMES holds no game with a walkthrough, nor Zork I")
    assert (report["solved"], report["episodes"]) == (EPISODES, EPISODES)
