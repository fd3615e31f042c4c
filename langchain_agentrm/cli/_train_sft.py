"""`agentrm train dialogues` and `agentrm train sft`: a pretrained policy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from langchain_agentrm.cli._progress import watching
from langchain_agentrm.cli._stages import (
    Out,
    Recipe,
    Settings,
    make,
    read_recipe,
    show,
)

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Add the commands to `agentrm train`."""
    app.command()(dialogues)
    app.command()(sft)


def dialogues(
    sources: Annotated[
        list[Path],
        typer.Argument(help="JSON or JSONL files, or folders of stage demos."),
    ],
    out: Out,
    env: Annotated[
        str | None, typer.Option(help="Environment of all rows; else by file name.")
    ] = None,
    min_reward: Annotated[
        float | None, typer.Option(help="Leave out rows that scored less.")
    ] = None,
    on_bad_row: Annotated[
        str, typer.Option(help="refuse or skip what cannot be used.")
    ] = "refuse",
    settings: Settings = None,
) -> None:
    """Make training rows of expert episodes: ETO, ShareGPT, OpenAI, or our own."""
    from langchain_agentrm.training.dialogues import DialoguesConfig, convert_dialogues

    config = make(
        DialoguesConfig,
        settings,
        env=env,
        min_reward=min_reward,
        on_bad_row=on_bad_row,
    )
    show({"dialogues": convert_dialogues(config, sources, out)})


def sft(
    data: Annotated[Path, typer.Option(help="Folder of stage dialogues.")],
    out: Out,
    recipe: Recipe = None,
    base: Annotated[
        str | None, typer.Option(help="Folder of the model, or its name on the hub.")
    ] = None,
    mode: Annotated[str | None, typer.Option(help="full, lora or qlora.")] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed that all draws derive from.")
    ] = None,
    settings: Settings = None,
) -> None:
    """Train a pretrained chat model on expert episodes."""
    from langchain_agentrm.training.sft import FineTuneConfig, fine_tune

    given = {"base": base, "mode": mode, "seed": seed}
    named = {name: value for name, value in given.items() if value is not None}
    config = make(FineTuneConfig, settings, read_recipe(recipe), **named)
    with watching() as watch:
        done = fine_tune(config, data, out, progress=watch("sft"))
    show({"sft": done})
