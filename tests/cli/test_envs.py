from __future__ import annotations

import pytest

from langchain_agentrm.cli import main
from langchain_agentrm.environments import EnvironmentSpec, registry
from langchain_agentrm.environments.base import Environment, Start
from langchain_agentrm.testing._game import ScriptedFactory
from langchain_agentrm.types import TaskRef, Transition


class Room(Environment):
    def __init__(self, factory):
        super().__init__()
        self.factory = factory

    def _reset(self, task):
        text = f"room {task['seed']} [{self.factory.colour}]"
        return Start(text, "Leave.", self.factory.prompts or "", step_limit=7)

    def _step(self, action):
        return Transition(str(action))


class Rooms:
    name = "rooms-of-this-test"
    spec = EnvironmentSpec(fork="none", replayable=False)

    def __init__(self, colour: str = "dark", prompts: str | None = None):
        self.colour, self.prompts = colour, prompts

    def types(self, group):
        return ["attic"] if group in {"all", "held_in"} else []

    def task(self, type_, seed):
        return TaskRef(env=self.name, type=type_, id=f"{type_}:{seed}", seed=seed)

    def tasks(self, split, types=None, limit=None):
        return [self.task("attic", seed) for seed in range(limit or 3)]

    def make(self):
        return Room(self)


@pytest.fixture(autouse=True)
def rooms(monkeypatch):
    monkeypatch.setattr(registry, "available", lambda: [Rooms.name])
    known = registry.get
    monkeypatch.setattr(
        registry, "get", lambda name: Rooms() if name == Rooms.name else known(name)
    )


def run(*args: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["envs", *args])
    return int(stop.value.code or 0)


def test_list_names_every_environment(capsys):
    assert run("list") == 0
    out = capsys.readouterr().out
    assert Rooms.name in out
    assert "none" in out


def test_describe_shows_types_and_how_a_task_begins(capsys):
    assert run("describe", Rooms.name, "--seed", "4") == 0
    out = capsys.readouterr().out
    assert "not replayable" in out
    assert "held_in: attic" in out
    assert "at most 7 steps" in out
    assert "room 4 [dark]" in out


def test_an_unknown_environment_is_an_error_line(capsys):
    assert run("describe", "atlantis") == 1
    assert "atlantis" in capsys.readouterr().err


def test_describe_lists_options_and_takes_them(capsys):
    given = ("--option", "colour=light=blue", "--prompts", "folder")
    assert run("describe", Rooms.name, *given) == 0
    out = capsys.readouterr().out
    assert "options: colour=dark, prompts=\n" in out
    assert "folder" in out
    assert "room 0 [light=blue]" in out


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--option", "size=3"], ("no option 'size'", "options: colour, prompts")),
        (["--option", "colour"], ("'colour' is no NAME=VALUE",)),
        (["--option", "=red"], ("'=red' is no NAME=VALUE",)),
        (["--option", "prompts=a", "--prompts", "b"], ("given twice: 'a' and 'b'",)),
    ],
)
@pytest.mark.parametrize("command", ["describe", "play"])
def test_an_option_that_cannot_be_is_an_error_line(command, given, said, capsys):
    assert run(command, Rooms.name, *given) == 1
    err = capsys.readouterr().err
    assert all(text in err for text in said), err


def test_options_reach_the_game_that_is_played(monkeypatch, capsys):
    assert play(monkeypatch, given=["--option", "colour=green"]) == 0
    assert "room 3 [green]" in capsys.readouterr().out


def test_run_gives_its_options_to_the_environment(capsys):
    task = ("--env", Rooms.name, "--task", "attic:1")
    with pytest.raises(SystemExit) as stop:
        main(["run", *task, "--option", "walls=4"])
    assert stop.value.code == 1
    assert "no option 'walls'" in capsys.readouterr().err


def play(monkeypatch, *lines, name=Rooms.name, task="attic:3", given=()):
    said = iter(lines)

    def read(*_, **__):
        try:
            return next(said)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr("rich.console.Console.input", read)
    with pytest.raises(SystemExit) as stop:
        main(["envs", "play", name, "--task", task, *given])
    return stop.value.code or 0


def test_a_person_plays_until_the_step_limit(monkeypatch, capsys):
    assert play(monkeypatch, *[f"go {n}" for n in range(9)]) == 0
    out = capsys.readouterr().out
    assert "room 3 [dark]" in out
    assert "go 6" in out
    assert "go 7" not in out
    assert "step limit of 7" in out
    assert "not solved; score 0.00; actions: 7" in out


def test_an_empty_line_is_no_action_and_quit_stops(monkeypatch, capsys):
    assert play(monkeypatch, "", ":actions", "go", ":quit", "never") == 0
    out = capsys.readouterr().out
    assert "no action here" in out
    assert "lists none" in out
    assert "actions: 1" in out
    assert "never" not in out


def test_undo_takes_an_action_back(monkeypatch, capsys):
    registry_get = registry.get
    factory = ScriptedFactory("copy")
    monkeypatch.setattr(
        registry, "get", lambda n: factory if n == "scripted" else registry_get(n)
    )
    task = factory.tasks("test", limit=1)[0]
    name = f"{task['type']}:{task['seed']}"
    lines = ("add 1", "add 1", ":undo", "add 2")
    assert play(monkeypatch, *lines, name="scripted", task=name) == 0
    out = capsys.readouterr().out
    assert "Actions taken: 1." in out
    assert "solved; score 1.00; actions: 2" in out
