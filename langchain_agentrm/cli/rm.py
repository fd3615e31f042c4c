"""`agentrm rm`: what a reward model is, its scores in bulk, and how backends agree."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from langchain_agentrm._files import write_json
from langchain_agentrm.cli._progress import watching
from langchain_agentrm.reward_models.bulk import score_file
from langchain_agentrm.reward_models.factory import reward_model
from langchain_agentrm.reward_models.layout import read_layout

__all__ = ["app"]

app = typer.Typer(add_completion=False, no_args_is_help=True)

_HEAD = typer.Option(help="Safetensors file with the head that the checkpoint lacks.")
_TOKENIZER = typer.Option(help="Folder or hub id of a tokenizer that it lacks.")
_BASE = typer.Option(help="Folder or hub id of an adapter's base.")
_STEP = typer.Option(help="Text that ends a step, for a model of steps.")


class Aggregate(StrEnum):
    """How the values of several steps become one."""

    last = "last"
    min = "min"
    mean = "mean"
    product = "product"


@app.callback()
def _rm() -> None:
    """Look into reward models and score with them."""


@app.command()
def inspect(
    path: Annotated[str, typer.Argument(help="Checkpoint folder, or a hub id.")],
    head: Annotated[Path | None, _HEAD] = None,
    tokenizer: Annotated[str | None, _TOKENIZER] = None,
    base: Annotated[str | None, _BASE] = None,
    step_token: Annotated[str | None, _STEP] = None,
) -> None:
    """Say what a checkpoint is and which keys its head is read from; loads nothing."""
    layout = read_layout(
        path, head=head, tokenizer=tokenizer, base=base, step_token=step_token
    )
    table = Table(show_header=False, box=None)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in layout.lines():
        table.add_row(Text(name, style="bold"), Text(value))
    Console(soft_wrap=True).print(table)


@app.command()
def score(
    path: Annotated[
        str,
        typer.Argument(help="Folder, hub id, vllm:FOLDER, or judge:openai:MODEL."),
    ],
    source: Annotated[
        Path, typer.Option("--input", help="One conversation a line, as JSON.")
    ],
    target: Annotated[
        Path, typer.Option("--output", help="One score a line, as JSON.")
    ],
    base_url: Annotated[
        str | None, typer.Option(help="Server of a vllm: or judge: model.")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Lines scored in one call.")] = 64,
    device: Annotated[str | None, typer.Option(help="Torch device.")] = None,
    dtype: Annotated[str | None, typer.Option(help="Torch dtype.")] = None,
    head: Annotated[Path | None, _HEAD] = None,
    tokenizer: Annotated[str | None, _TOKENIZER] = None,
    base: Annotated[str | None, _BASE] = None,
    step_token: Annotated[str | None, _STEP] = None,
    aggregation: Annotated[
        Aggregate | None, typer.Option(help="How values of steps become one.")
    ] = None,
) -> None:
    """Score conversations in bulk; run it again after a stop, and it goes on.

    A line is a list of messages, or {"id": ..., "messages": [...]}; it ends with the
    assistant's message that is to be scored.
    """
    options: dict[str, Any] = {
        "device": device,
        "dtype": dtype,
        "head": None if head is None else str(head),
        "tokenizer": tokenizer,
        "base": base,
        "step_token": step_token,
        "aggregation": aggregation and aggregation.value,
    }
    given = {name: value for name, value in options.items() if value is not None}
    model = reward_model(path, base_url=base_url, **given)
    with watching() as watch:
        report = watch("score")
        done = score_file(
            model,
            source,
            target,
            settings={"model": path, **given},
            batch=batch,
            on_progress=report,
        )
    Console().print(
        f"{target}: {done.rows} lines, {done.failed} with an error, "
        f"{done.resumed} from an earlier run; {done.usage.input_tokens} tokens, "
        f"{done.usage.cached_tokens} of them kept from others",
        highlight=False,
        soft_wrap=True,
    )
    if done.rows and done.failed == done.rows:
        raise typer.Exit(1)


@app.command()
def parity(
    path: Annotated[str, typer.Argument(help="Checkpoint folder, or a hub id.")],
    vllm_python: Annotated[
        str | None,
        typer.Option(help="The Python that holds vLLM; this one if left out."),
    ] = None,
    dtype: Annotated[str, typer.Option(help="Precision of all.")] = "float32",
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the rows here.")
    ] = None,
) -> None:
    """Show how far in process, vLLM over HTTP and vLLM's engine are apart."""
    from langchain_agentrm.serving import parity as compare

    rows = compare(
        path,
        vllm_python,
        dtype=dtype,
        on_event=lambda text: typer.echo(text, err=True),
    )
    table = Table("backend", "max difference", "mean", "spread", "order", "cached")
    for row in rows:
        table.add_row(
            row.backend,
            f"{row.maximum:.1e}",
            f"{row.mean:.1e}",
            f"{row.spread:.3g}",
            "same" if row.same_order else "DIFFERS",
            "not told" if row.cached is None else f"{row.cached} of {row.tokens}",
        )
    Console(soft_wrap=True).print(table)
    if json_file is not None:
        write_json(json_file, [asdict(row) for row in rows])
