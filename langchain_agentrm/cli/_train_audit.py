"""`agentrm train audit-labels`, and what trees will cost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from langchain_agentrm.cli._progress import watching
from langchain_agentrm.cli._stages import Out, Seed, Settings, make, show
from langchain_agentrm.training.cost import TreesCost

__all__ = ["BaseUrl", "Engines", "InFlight", "Policy", "add_to", "show_cost"]

Policy = Annotated[str, typer.Option(help="Folder of stage bc, or openai:MODEL.")]
BaseUrl = Annotated[
    str | None, typer.Option(help="Server of an openai: policy, with /v1.")
]
InFlight = Annotated[
    int, typer.Option(min=1, help="Trees a served policy is asked about at once.")
]
Engines = Annotated[
    int, typer.Option(min=1, help="Engines a tree may hold, if they are not copied.")
]


def add_to(app: typer.Typer) -> None:
    """Add the command to `agentrm train`."""
    app.command()(audit_labels)


def audit_labels(
    trees: Annotated[Path, typer.Option(help="Folder of stage trees.")],
    policy: Policy,
    out: Out,
    states: Annotated[int, typer.Option(min=2, help="States, by families.")] = 200,
    rerolls: Annotated[int, typer.Option(min=2, help="New episodes a state.")] = 64,
    base_url: BaseUrl = None,
    in_flight: InFlight = 8,
    seed: Seed = 0,
    settings: Settings = None,
) -> None:
    """Roll stored states out again; tell how good the labels can be."""
    from langchain_agentrm.training.audit import AuditConfig
    from langchain_agentrm.training.audit import audit_labels as audit

    config = make(AuditConfig, settings, states=states, rerolls=rerolls, seed=seed)
    with watching() as watch:
        done = audit(
            config,
            trees,
            policy,
            out,
            base_url=base_url,
            in_flight=in_flight,
            progress=watch("audit"),
        )
    show({"audit": done})


def show_cost(cost: TreesCost) -> None:
    """Print an estimate."""
    console = Console()
    console.print(
        f"{cost.trees} trees to build, {cost.done} are there. Policy answers at most "
        f"{cost.answers:,} = {cost.trees} x {cost.formula}; H = {cost.horizon} is the "
        "longest episode.",
        highlight=False,
    )
    if cost.requests is None:
        console.print(
            "Tokens are known once a chunk is there: stop after it and look again.",
            highlight=False,
        )
        return
    console.print(
        f"As measured on the trees that are there: {cost.requests:,} requests, "
        f"{cost.input_tokens:,} tokens read, {cost.output_tokens:,} written, "
        f"{cost.env_steps:,} steps of the environment.",
        highlight=False,
    )
