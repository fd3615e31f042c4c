"""`agentrm train card`, `push` and `pull`: a run for others to use."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from langchain_agentrm.errors import ConfigurationError

__all__ = ["add_to"]

Folder = Annotated[Path, typer.Argument(help="Folder that a stage wrote.")]
Repo = Annotated[str, typer.Argument(help="owner/name on the hub.")]
IsData = Annotated[bool, typer.Option("--dataset", help="A data set, not a model.")]
Revision = Annotated[str | None, typer.Option(help="Branch, tag or commit.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands to `agentrm train`."""
    app.command()(card)
    app.command()(push)
    app.command()(pull)


def card(
    folder: Folder,
    name: Annotated[str, typer.Option(help="owner/name on the hub.")],
    stage: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of a stage that led here; may be repeated."),
    ] = None,
    figures: Annotated[
        Path | None,
        typer.Option(help="JSON of the evaluation: rows with their intervals."),
    ] = None,
    licence: Annotated[
        str | None, typer.Option(help="Licence, as the hub writes it.")
    ] = None,
    limit: Annotated[
        list[str] | None, typer.Option(help="Further limit; may be repeated.")
    ] = None,
) -> None:
    """Write the card of a model or a data set from the manifests of its run."""
    from langchain_agentrm._files import read_json
    from langchain_agentrm.training.hub import CardConfig, write_card

    found = [] if figures is None else read_json(figures)
    rows = found.get("rows") if isinstance(found, dict) else found
    if not isinstance(rows, list):
        msg = f"{figures} holds no list of rows."
        raise ConfigurationError(msg, remedy="Give the JSON of an evaluation.")
    config = CardConfig(name, licence, rows, limit or ())
    typer.echo(str(write_card(folder, stage or [], config)))


def push(
    folder: Folder,
    repo: Repo,
    dataset: IsData = False,
    public: Annotated[
        bool, typer.Option("--public", help="Make a new repository public.")
    ] = False,
    revision: Revision = None,
) -> None:
    """Upload a finished stage with its card; the token is that of the login."""
    from langchain_agentrm.training.hub import push_to_hub

    typer.echo(
        push_to_hub(
            folder,
            repo,
            "dataset" if dataset else "model",
            private=not public,
            revision=revision,
        )
    )


def pull(
    repo: Repo,
    out: Annotated[Path, typer.Option(help="Folder to fill.")],
    dataset: IsData = False,
    revision: Revision = None,
) -> None:
    """Download a model or a data set: no code, no pickles."""
    from langchain_agentrm.training.hub import pull_from_hub

    typer.echo(
        str(
            pull_from_hub(
                repo, out, "dataset" if dataset else "model", revision=revision
            )
        )
    )
