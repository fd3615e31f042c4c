"""A piece of the mini reproduction, and what a smaller scale makes of its settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _reproduce_settings import Stage

from langchain_agentrm._files import MANIFEST
from langchain_agentrm.evaluation.naming import parse_method
from langchain_agentrm.training._config import Progress

__all__ = ["TOY", "TRANSFER", "Piece", "is_done", "sized", "with_types"]

TRANSFER = "transfer"
TOY = 0.05
"""Scale below which only the fit of the pieces is tried."""
_TOY_N = 4


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece of work, which writes `manifest.json` into its folder last.

    Attributes:
        name: Its folder below the output folder.
        minutes: Its budget on one core.
        run: Does it, or goes on with it.
        group: Environment, or `transfer`.
        stops: Where it may be stopped: `any` report of progress leaves all of its work
            on disk, `val` and `dev` are figures reported where a checkpoint was
            written; `never` for what starts again from nothing.
        study: For an evaluation, the part of the report that reads it.
        reads: Pieces that it cannot do without.
    """

    name: str
    minutes: float
    run: Callable[[Progress], Mapping[str, Any]]
    group: str
    stops: str = "never"
    study: str = ""
    reads: tuple[str, ...] = ()


def is_done(out: Path, piece: Piece) -> bool:
    """Tell whether a piece has finished."""
    return (out / piece.name / MANIFEST).exists()


def sized(methods: Sequence[str], scale: float) -> tuple[str, ...]:
    """At toy scale, methods of many samples are made those of few."""
    if scale >= TOY:
        return tuple(methods)
    found: dict[str, None] = {}
    for name in methods:
        method = parse_method(name)
        small = name
        if method.n > _TOY_N:
            small = f"{name.rpartition('-')[0]}-{_TOY_N}"
        elif method.w1 * method.w2 > _TOY_N:
            small = f"{method.kind}-2x2"
        found[small] = None
    return tuple(found)


def with_types(stage: Stage, own: Stage) -> Stage:
    types = own.fields().get("types")
    return stage.model_copy(update={"types": types}) if types else stage
