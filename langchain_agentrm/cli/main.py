"""Entry point of `agentrm`: mounts the groups and prints errors for people."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperCommand, TyperGroup

from langchain_agentrm._version import __version__
from langchain_agentrm.errors import AgentRMError

__all__ = ["app", "main"]

_COMMANDS = {
    "demo": "Search a task live with the small models that ship with the package.",
    "run": "Run a policy, plain or with search, over tasks of an environment.",
    "envs": "List the installed environments, describe one, or play it.",
    "eval": "Measure methods, policies and reward models, and report on it.",
    "reward-agent": "Measure, annotate, explain and serve verified rewards.",
    "rm": "Inspect reward models, score in bulk, compare backends.",
    "serve": "Start a server: a reward model behind vLLM, or the OpenAI proxy.",
    "train": "Train a policy and a reward model, stage by stage.",
}
"""Each is `app` in the module of its name, a `typer.Typer(add_completion=False)`."""

_EXTRAS = {
    "accelerate": "train",
    "datasets": "train",
    "fastapi": "proxy",
    "httpx": "served",
    "huggingface_hub": "train",
    "langchain": "agent",
    "langchain_openai": "openai",
    "matplotlib": "train",
    "numpy": "train",
    "peft": "train",
    "safetensors": "local",
    "tokenizers": "local",
    "torch": "local",
    "transformers": "local",
    "trl": "train",
    "uvicorn": "proxy",
    "yaml": "train",
}


class _LazyGroup(TyperGroup):
    """Knows names and help texts; imports a group's module when it is called.

    Some groups need torch, whose import takes seconds: `agentrm --help` must not wait
    for it.
    """

    def __init__(self, **attrs: Any) -> None:
        super().__init__(**attrs)
        for name, text in _COMMANDS.items():
            self.commands.setdefault(name, TyperCommand(name, help=text))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Swap the placeholder for the real command, once it is the one called."""
        name, command, rest = super().resolve_command(ctx, args)
        if name in _COMMANDS:
            file = name.replace("-", "_")
            module = import_module(f"langchain_agentrm.cli.{file}")
            command = typer.main.get_command(module.app)
        return name, command, rest


app = typer.Typer(
    cls=_LazyGroup,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"agentrm {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            help="Show the version and exit.",
        ),
    ] = False,
) -> None:
    """Reward-guided search for agents: sample, score, keep, go on."""


def main(args: list[str] | None = None) -> None:
    """Run the command line.

    Errors of this package, and a missing optional dependency, are one line with the
    remedy and exit code 1. `AGENTRM_DEBUG=1` shows the traceback instead.

    Args:
        args: Arguments; those of the process if None.
    """
    try:
        app(args=args, prog_name="agentrm")
    except AgentRMError as error:
        _fail(error, str(error))
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _EXTRAS:
            raise
        _fail(
            error,
            f"This command needs {missing}, which is not installed. "
            f"Run: pip install 'langchain-agentrm[{_EXTRAS[missing]}]'",
        )


def _fail(error: Exception, text: str) -> None:
    if os.environ.get("AGENTRM_DEBUG", "") not in {"", "0"}:
        raise error
    line = " ".join(f"error: {text}".split())
    Console(stderr=True).print(Text(line, style="red"), soft_wrap=True)
    raise SystemExit(1)
