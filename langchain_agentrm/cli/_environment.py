"""The environment that a command works in, and its options."""

from __future__ import annotations

from typing import Annotated

import typer

from langchain_agentrm.environments import registry
from langchain_agentrm.environments._options import with_options
from langchain_agentrm.environments.base import EnvironmentFactory
from langchain_agentrm.errors import ConfigurationError

__all__ = ["Options", "Prompts", "find_environment", "read_options"]

Options = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        help="Option of the environment as NAME=VALUE, such as perturbation=2; may be "
        "repeated. `agentrm envs describe` lists them.",
    ),
]
Prompts = Annotated[
    str | None,
    typer.Option(
        help="AgentRM's published prompt folder; the same as --option prompts=DIR."
    ),
]


def find_environment(
    name: str, options: list[str] | None, prompts: str | None = None
) -> EnvironmentFactory:
    """Find an environment and give it the options of the command line.

    Args:
        name: Registry name.
        options: Texts `NAME=VALUE`.
        prompts: Value of the option `prompts`.

    Returns:
        Its factory.

    Raises:
        UnknownTaskError: If no environment has this name.
        ConfigurationError: If a text is no option, or the environment has no such one.
    """
    factory = registry.get(name)
    given = read_options(options)
    if prompts is not None:
        _set(given, "prompts", prompts)
    return with_options(factory, given)


def read_options(options: list[str] | None) -> dict[str, str]:
    """Read the options of a command line.

    Args:
        options: Texts `NAME=VALUE`.

    Returns:
        Values by name.

    Raises:
        ConfigurationError: If a text is no option, or a name is given twice.
    """
    given: dict[str, str] = {}
    for text in options or []:
        key, equals, value = text.partition("=")
        if not equals or not key:
            msg = f"--option {text!r} is no NAME=VALUE."
            raise ConfigurationError(msg, remedy="Write it so, such as perturbation=2.")
        _set(given, key, value)
    return given


def _set(given: dict[str, str], key: str, value: str) -> None:
    if key in given:
        msg = f"Option {key!r} is given twice: {given[key]!r} and {value!r}."
        raise ConfigurationError(msg, remedy="Give it once.")
    given[key] = value
