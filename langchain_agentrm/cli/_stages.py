"""What the commands of `agentrm train` share: settings in, manifests out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.training._config import StageConfig

__all__ = ["Out", "Recipe", "Seed", "Settings", "make", "read_recipe", "show"]

Out = Annotated[
    Path, typer.Option(help="Output folder; a stopped stage goes on there.")
]
Seed = Annotated[int, typer.Option(help="Seed that all draws derive from.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="Further setting as NAME=JSON; may be repeated."),
]
Recipe = Annotated[
    str | None,
    typer.Option("--config", help="YAML or JSON file of settings, or a recipe's name."),
]

_RECIPES = files("langchain_agentrm.training") / "recipes"


def read_recipe(name: str | None) -> dict[str, Any]:
    """Read a file of settings, or a recipe that ships with the package.

    Raises:
        ConfigurationError: If there is none, or it holds no settings.
    """
    if name is None:
        return {}
    path = Path(name)
    shipped = sorted(p.name.removesuffix(".yaml") for p in _RECIPES.iterdir())
    if path.is_file():
        text = path.read_text(encoding="utf-8")
    elif name in shipped:
        text = (_RECIPES / f"{name}.yaml").read_text(encoding="utf-8")
    else:
        msg = f"There is no file {name!r}, and no recipe of that name."
        raise ConfigurationError(msg, remedy=f"Recipes are {', '.join(shipped)}.")
    # YAML holds JSON, so one reader does for both.
    import yaml  # type: ignore[import-untyped]

    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        msg = f"{name} holds no YAML: {error}."
        raise ConfigurationError(msg, remedy="Write NAME: VALUE a line.") from error
    if not isinstance(found, dict):
        msg = f"{name} holds no settings, but {type(found).__name__}."
        raise ConfigurationError(msg, remedy="Write NAME: VALUE a line.")
    return found


def make(
    kind: type[StageConfig],
    settings: list[str] | None,
    recipe: Mapping[str, Any] | None = None,
    **given: Any,
) -> Any:
    """Make a stage's config; `--set` wins over the options, these over the recipe."""
    given = {**(recipe or {}), **given}
    for text in settings or []:
        name, equals, value = text.partition("=")
        if not equals:
            msg = f"--set {text!r} has no '='."
            raise ConfigurationError(msg, remedy="Write it as NAME=JSON.")
        try:
            given[name] = json.loads(value)
        except ValueError:
            # A bare word means itself, as in `--set split=dev`.
            given[name] = value
    try:
        return kind(**given)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        msg = f"Setting {name}={first['input']!r}: {first['msg']}."
        known = ", ".join(sorted(kind.model_fields))
        raise ConfigurationError(msg, remedy=f"Settings are {known}.") from error


def show(manifests: dict[str, Any]) -> None:
    """Print what stages did."""
    table = Table("stage", "seconds", "counts")
    for stage, manifest in manifests.items():
        counts = {
            name: value
            for name, value in manifest["counts"].items()
            if not isinstance(value, list)
        }
        text = ", ".join(f"{name} {value}" for name, value in counts.items())
        table.add_row(stage, f"{manifest['seconds']:.0f}", text)
    Console().print(table)
