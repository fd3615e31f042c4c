"""`agentrm train keep`, `explicit`, `rollouts`, `implicit`: reward models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from langchain_agentrm.cli._progress import watching
from langchain_agentrm.cli._stages import (
    Out,
    Recipe,
    Seed,
    Settings,
    make,
    read_recipe,
    show,
)

__all__ = ["add_to", "explicit", "implicit", "keep", "rollouts"]

Base = Annotated[
    str, typer.Option(help="Folder or hub id of the checkpoint to begin with.")
]

SEED = typer.Option(help="Seed that all draws derive from.")


def add_to(app: typer.Typer) -> None:
    """Add the commands to `agentrm train`."""
    for command in (keep, explicit, rollouts, implicit):
        app.command()(command)


def keep(
    samples: Annotated[Path, typer.Option(help="Folder of stage samples.")],
    keep: Annotated[str, typer.Option(help="action or observation.")],
    out: Out,
    pool: Annotated[
        Path | None, typer.Option(help="Folder of stage pool, which stage rm reads.")
    ] = None,
) -> None:
    """Blank the other part of all turns, to train a reward model of one part."""
    from langchain_agentrm.training.keep import KeepConfig, keep_part

    config = make(KeepConfig, None, keep=keep)
    show({"keep": keep_part(config, samples, out, pool=pool)})


def explicit(
    samples: Annotated[Path, typer.Option(help="Folder of stage samples.")],
    base: Base,
    out: Out,
    recipe: Recipe = None,
    mode: Annotated[str | None, typer.Option(help="full, lora or qlora.")] = None,
    objective: Annotated[
        str | None, typer.Option(help="mse, pairwise or mixed.")
    ] = None,
    seed: Annotated[int | None, SEED] = None,
    settings: Settings = None,
) -> None:
    """Train a value model from any causal checkpoint, in transformers' trainer."""
    from langchain_agentrm.training.explicit import ExplicitConfig, train_explicit

    given = _named(mode=mode, objective=objective, seed=seed)
    config = make(ExplicitConfig, settings, read_recipe(recipe), **given)
    with watching() as watch:
        done = train_explicit(config, samples, base, out, progress=watch("explicit"))
    show({"explicit": done})


def rollouts(
    trees: Annotated[Path, typer.Option(help="Folder of stage trees.")],
    out: Out,
    per_task: Annotated[int, typer.Option(help="Episodes of a task.")] = 16,
    seed: Seed = 0,
    settings: Settings = None,
) -> None:
    """Read whole episodes out of the trees, for the implicit model."""
    from langchain_agentrm.training.rollouts import RolloutsConfig, extract_rollouts

    config = make(RolloutsConfig, settings, per_task=per_task, seed=seed)
    show({"rollouts": extract_rollouts(config, trees, out)})


def implicit(
    rollouts: Annotated[Path, typer.Option(help="Folder of stage rollouts.")],
    base: Base,
    out: Out,
    recipe: Recipe = None,
    mode: Annotated[str | None, typer.Option(help="lora or qlora.")] = None,
    objective: Annotated[
        str | None, typer.Option(help="mse, step, centered, ce or dpo.")
    ] = None,
    seed: Annotated[int | None, SEED] = None,
    settings: Settings = None,
) -> None:
    """Train an adapter whose likelihoods are rewards."""
    from langchain_agentrm.training.implicit import ImplicitConfig, train_implicit

    given = _named(mode=mode, objective=objective, seed=seed)
    config = make(ImplicitConfig, settings, read_recipe(recipe), **given)
    with watching() as watch:
        done = train_implicit(config, rollouts, base, out, progress=watch("implicit"))
    show({"implicit": done})


def _named(**given: Any) -> dict[str, Any]:
    """What was given; the rest is the recipe's, or the stage's own default."""
    return {name: value for name, value in given.items() if value is not None}
