"""Options that say where episodes are played; `train` and `eval` take the same."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["BackendName", "JobCpus", "JobGpus", "RayAddress", "Workers"]

BackendName = Annotated[
    str, typer.Option("--backend", help="local: processes here; ray: a Ray cluster.")
]
RayAddress = Annotated[
    str | None,
    typer.Option(help="HOST:PORT of the cluster's head, or auto; else RAY_ADDRESS."),
]
JobCpus = Annotated[
    float | None, typer.Option(min=0, help="ray: cores that a job takes; by default 1.")
]
JobGpus = Annotated[
    float | None, typer.Option(min=0, help="ray: GPUs that a job takes; by default 0.")
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1, help="Jobs at once: by default 2 processes, or all the cluster's room."
    ),
]
