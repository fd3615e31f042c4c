from __future__ import annotations

import sys
from types import ModuleType

import pytest
import typer

from langchain_agentrm import __version__
from langchain_agentrm.cli import main
from langchain_agentrm.cli.main import _COMMANDS
from langchain_agentrm.errors import ConfigurationError


@pytest.fixture
def demo(monkeypatch):
    """Puts a function in the place of the demo command."""

    def put(function):
        module = ModuleType("langchain_agentrm.cli.demo")
        module.app = typer.Typer(add_completion=False)
        module.app.command()(function)
        monkeypatch.setitem(sys.modules, module.__name__, module)

    monkeypatch.delenv("AGENTRM_DEBUG", raising=False)
    return put


def run(*args: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(list(args))
    return int(stop.value.code or 0)


def test_version(capsys):
    assert run("--version") == 0
    assert capsys.readouterr().out.split() == ["agentrm", __version__]


@pytest.mark.parametrize("name", _COMMANDS)
def test_every_command_is_listed_and_has_help(name, capsys):
    assert run("--help") == 0
    assert name in capsys.readouterr().out
    assert run(name, "--help") == 0
    out = capsys.readouterr().out
    assert f"agentrm {name}" in out
    assert "--install-completion" not in out, "declare it with add_completion=False"


def test_arguments_reach_a_lazy_command(demo, capsys):
    def command(task: str, n: int = 1) -> None:
        typer.echo(f"{task} {n}")

    demo(command)
    assert run("demo", "door", "--n", "3") == 0
    assert capsys.readouterr().out == "door 3\n"


def fail_with(error):
    def command() -> None:
        raise error

    return command


def test_an_error_is_one_line_with_its_remedy(demo, capsys):
    msg = "W1=0 [is] not a width."
    demo(fail_with(ConfigurationError(msg, remedy="Give 1.")))
    assert run("demo") == 1
    captured = capsys.readouterr()
    assert captured.err == f"error: {msg} Give 1.\n"
    assert not captured.out


def test_debugging_shows_the_traceback(demo, monkeypatch):
    demo(fail_with(ConfigurationError("no.")))
    monkeypatch.setenv("AGENTRM_DEBUG", "1")
    with pytest.raises(ConfigurationError):
        main(["demo"])


def test_a_missing_extra_is_named(demo, capsys):
    demo(fail_with(ModuleNotFoundError("No module named 'torch'", name="torch.nn")))
    assert run("demo") == 1
    assert "pip install 'langchain-agentrm[local]'" in capsys.readouterr().err


def test_a_bug_is_not_dressed_up(demo):
    demo(fail_with(ModuleNotFoundError("No module named 'oops'", name="oops")))
    with pytest.raises(ModuleNotFoundError):
        main(["demo"])


def test_a_misspelt_command_is_corrected(capsys):
    assert run("demmo") == 2
    assert "demo" in capsys.readouterr().err
