"""`agentrm envs`: which environments are installed, what is in one, and playing it."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from langchain_agentrm.cli._environment import Options, Prompts, find_environment
from langchain_agentrm.cli._play import Game
from langchain_agentrm.cli.run import find_task
from langchain_agentrm.environments import registry
from langchain_agentrm.environments._options import options_of

__all__ = ["app"]

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def _envs() -> None:
    """List the installed environments, describe one, or play it."""


@app.command("list")
def list_() -> None:
    """List the environments that are installed."""
    names = registry.available()
    if not names:
        typer.echo("No environment is installed; each is a distribution of its own.")
        return
    table = Table("name", "forks by", "replayable", "task types")
    for name in names:
        factory = registry.get(name)
        types = factory.types("all")
        spec = factory.spec
        table.add_row(name, spec.fork, str(spec.replayable), str(len(types)))
    Console().print(table)


@app.command()
def describe(
    name: Annotated[str, typer.Argument(help="Name of the environment.")],
    task_type: Annotated[
        str | None,
        typer.Option("--type", help="Show the start of a task of this type."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the task to show.")] = 0,
    option: Options = None,
    prompts: Prompts = None,
) -> None:
    """Show an environment's options, its task types and how one of its tasks begins."""
    factory = find_environment(name, option, prompts)
    console = Console()
    spec = factory.spec
    console.print(
        f"{name}: forks by {spec.fork}, "
        f"{'' if spec.replayable else 'not '}replayable, "
        f"{'' if spec.thread_safe else 'not '}thread safe",
        highlight=False,
    )
    options = [f"{o.name}={_plain(o.default)}" for o in options_of(factory).values()]
    console.print(Text(f"options: {', '.join(options) or 'none'}"))
    for group in ("held_in", "held_out", "dev"):
        console.print(f"{group}: {', '.join(factory.types(group))}", highlight=False)
    chosen = task_type or next(iter(factory.types("all")), None)
    if chosen is None:
        return
    environment = factory.make()
    try:
        start = environment.reset(factory.task(chosen, seed))
    finally:
        environment.close()
    parts = [f"task {chosen}:{seed}, at most {start.step_limit} steps"]
    parts += [
        part for part in (start.instruction, start.goal, start.observation) if part
    ]
    console.print(Text("\n\n".join(parts)))


@app.command()
def play(
    name: Annotated[str, typer.Argument(help="Name of the environment.")],
    task: Annotated[
        str | None, typer.Option(help="TYPE:SEED, or TYPE for its first test task.")
    ] = None,
    option: Options = None,
    prompts: Prompts = None,
) -> None:
    """Play a task yourself: type actions as a policy would write them.

    `:actions` lists what the engine admits, `:undo` takes the last action back where
    the engine's state can be copied, and `:quit`, or the end of the input, stops.
    """
    factory = find_environment(name, option, prompts)
    chosen = find_task(factory, task) if task else factory.tasks("test", limit=1)[0]
    Game(factory.make(), Console()).play(chosen)


def _plain(default: object) -> str:
    """Write a default as one would type it; nothing for None."""
    return "" if default is None else str(default)
