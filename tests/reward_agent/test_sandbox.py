"""Each sandbox against every attack, and against CPython on honest code."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.reward_agent.sandbox import (
    BubblewrapSandbox,
    LayeredSandbox,
    Limits,
    MontySandbox,
    best_sandbox,
    self_test,
)
from langchain_agentrm.testing._checkers import HONEST, TEXTS
from langchain_agentrm.testing.sandbox import SandboxConformance

DATA = Path(os.environ.get("AGENTRM_DATA", Path(__file__).parents[3] / "shared/data"))
IFBENCH = DATA / "thu-ifbench" / "data.converted.json"


def monty(**options):
    pytest.importorskip("pydantic_monty", reason="pydantic-monty is not installed")
    return MontySandbox(**options)


def bubblewrap():
    try:
        sandbox = BubblewrapSandbox()
        sandbox.check("def check_following(response):\n    return True\n", ["x"])
    except ConfigurationError as error:
        pytest.skip(str(error))
    return sandbox


class TestMonty(SandboxConformance):
    @pytest.fixture
    def sandbox(self):
        sandbox = monty()
        yield sandbox
        sandbox.close()


class TestMontyInBubblewrap(SandboxConformance):
    @pytest.fixture
    def sandbox(self):
        bubblewrap()
        sandbox = monty(jailed=True)
        yield sandbox
        sandbox.close()


class TestBubblewrap(SandboxConformance):
    @pytest.fixture
    def sandbox(self):
        return bubblewrap()


class TestLayered(SandboxConformance):
    @pytest.fixture
    def sandbox(self):
        sandbox = LayeredSandbox(monty(jailed=True), bubblewrap())
        yield sandbox
        sandbox.close()


def by_cpython(code, answers):
    space = {}
    exec(code, space)  # our own checkers
    return [space["check_following"](answer) for answer in answers]


def real_answers():
    if not IFBENCH.is_file():
        pytest.skip(f"{IFBENCH} is missing")
    rows = json.loads(IFBENCH.read_text(encoding="utf-8"))
    texts = [r[k][1]["content"] for r in rows for k in ("text_chosen", "text_rejected")]
    return texts[::20]


@pytest.fixture(scope="module")
def layered():
    sandbox = LayeredSandbox(monty(jailed=True), bubblewrap())
    yield sandbox
    sandbox.close()


@pytest.mark.parametrize("name", HONEST)
def test_honest_checkers_say_what_cpython_says(name, layered):
    expected = by_cpython(HONEST[name], TEXTS)
    told = [o.passed for o in layered.check(HONEST[name], TEXTS)]
    assert told == expected
    assert len(set(expected)) == 2, "the texts must show both verdicts"


@pytest.mark.parametrize("name", HONEST)
def test_honest_checkers_say_it_of_real_answers(name, layered):
    answers = real_answers()
    told = [o.passed for o in layered.check(HONEST[name], answers)]
    assert told == by_cpython(HONEST[name], answers)


@pytest.mark.parametrize("name", HONEST)
def test_monty_alone_is_right_or_silent(name):
    sandbox = monty()
    expected = by_cpython(HONEST[name], TEXTS)
    told = [o.passed for o in sandbox.check(HONEST[name], TEXTS)]
    sandbox.close()
    assert all(t is None or t == e for t, e in zip(told, expected, strict=True))


def test_a_broad_handler_hides_nothing_that_monty_lacks():
    code = (
        "def check_following(response):\n"
        "    try:\n"
        "        return response.translate(str.maketrans('', '', 'x')) != ''\n"
        "    except Exception:\n        return False\n"
    )
    sandbox = monty()
    (outcome,) = sandbox.check(code, ["abc"])
    sandbox.close()
    assert outcome.passed is None
    assert outcome.fault == "raised"
    assert LayeredSandbox(monty(), bubblewrap()).check(code, ["abc"])[0].passed is True


def test_an_expected_error_is_still_caught():
    code = (
        "def check_following(response):\n"
        "    try:\n        return int(response) > 0\n"
        "    except Exception:\n        return False\n"
    )
    sandbox = monty()
    assert [o.passed for o in sandbox.check(code, ["3", "three"])] == [True, False]
    sandbox.close()


class Naive:
    """Runs code where it must not; only tame code reaches it."""

    name = "naive"
    modules = frozenset()

    def check(self, code, answers, *, seconds=None):
        from langchain_agentrm.reward_agent.sandbox import Outcome

        if "while True" in code or "_exit" in code or "<<" in code:
            return [Outcome(None, "timeout", "not run here")] * len(answers)
        outcomes = []
        for answer in answers:
            space = {}
            try:
                exec(code, space)
                outcomes.append(Outcome(bool(space["check_following"](answer))))
            except Exception as error:  # noqa: BLE001 - a stranger's code
                outcomes.append(Outcome(None, "raised", str(error)))
        return outcomes

    def close(self):
        pass


def test_the_self_test_finds_what_is_open():
    faults = self_test(Naive())
    assert set(faults) == {
        "code could read a file",
        "code could write a file",
        "code could read the environment",
        "code could open a connection",
        "code could return what is merely true",
    }


def test_the_self_test_wants_honest_verdicts():
    class Silent(Naive):
        def check(self, code, answers, *, seconds=None):
            return []

    assert "honest" in self_test(Silent())[0]


def test_the_self_test_names_a_crash():
    class Broken(Naive):
        def check(self, code, answers, *, seconds=None):
            raise OSError("no such worker")

    assert self_test(Broken()) == ("it failed with OSError: no such worker",)


@pytest.fixture
def fresh_choice():
    best_sandbox.cache_clear()
    yield
    best_sandbox.cache_clear()


@pytest.mark.usefixtures("fresh_choice")
def test_the_best_sandbox_is_both_where_both_work():
    bubblewrap()
    monty()
    assert best_sandbox().name == "monty in bubblewrap, then bubblewrap"
    assert best_sandbox() is best_sandbox()


@pytest.mark.usefixtures("fresh_choice")
def test_without_bubblewrap_monty_alone_is_chosen(monkeypatch):
    monty()
    monkeypatch.setenv("PATH", "/nowhere")
    chosen = best_sandbox()
    chosen.close()
    assert chosen.name == "monty"


@pytest.mark.usefixtures("fresh_choice")
def test_without_any_sandbox_it_fails_and_says_what_to_install(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setitem(__import__("sys").modules, "pydantic_monty", None)
    with pytest.raises(ConfigurationError, match="bwrap was not found") as caught:
        best_sandbox()
    assert "pydantic-monty is not installed" in str(caught.value)
    assert "langchain-agentrm[sandbox]" in caught.value.remedy


def test_a_jail_that_cannot_be_made_is_an_error(monkeypatch, tmp_path):
    bubblewrap()
    broken = tmp_path / "bwrap"
    says = "setting up uid map: not permitted"
    broken.write_text(f"#!/bin/sh\necho '{says}' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    sandbox = BubblewrapSandbox()
    with pytest.raises(ConfigurationError, match="setting up uid map"):
        sandbox.check(HONEST["few words"], ["x"])


def test_memory_and_time_are_the_callers_choice():
    small = monty(limits=Limits(seconds=0.2, memory=8 << 20))
    code = "def check_following(response):\n    return len([0] * 4_000_000) > 0\n"
    assert small.check(code, ["x"])[0].fault == "memory"
    loop = "def check_following(response):\n    while True:\n        pass\n"
    assert small.check(loop, ["x"])[0].fault == "timeout"
    small.close()


def test_a_closed_sandbox_opens_again():
    sandbox = monty()
    code = HONEST["few words"]
    assert sandbox.check(code, ["x"])[0].passed is True
    sandbox.close()
    assert sandbox.check(code, ["x"])[0].passed is True
    sandbox.close()


def test_no_process_and_no_file_stays(tmp_path, monkeypatch):
    bubblewrap()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = children()
    sandbox = monty(jailed=True)
    sandbox.check("def check_following(response):\n    while True: pass\n", ["x"])
    assert children() - before
    sandbox.close()
    bubblewrap().check("import time\ntime.sleep(60)\n", ["x"], seconds=0.2)
    assert children() <= before
    assert list(tmp_path.iterdir()) == []


def children():
    """Processes that descend from this one, by id."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    found, fresh = set(), {os.getpid()}
    while fresh:
        fresh = {p for p, parent in parents.items() if parent in fresh} - found
        found |= fresh
    return found
