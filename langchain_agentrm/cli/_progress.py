"""How a long command shows where it is."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

__all__ = ["watching"]

Report = Callable[..., None]
_LOG_SECONDS = 15.0


@contextmanager
def watching() -> Iterator[Callable[[str], Report]]:
    """Show one bar a stage, or, where nobody looks, a line now and then.

    Yields:
        Makes the report of a stage from its name; the report takes what is done, the
        whole, and figures by name.
    """
    console = Console(stderr=True)
    if not sys.stderr.isatty():
        yield lambda stage: _lines(console, stage)
        return
    columns = (
        TextColumn("{task.description:8}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
    )
    with Progress(*columns, console=console) as bars:

        def begin(stage: str) -> Report:
            bar = bars.add_task(stage, total=1, figures="")
            known: dict[str, float] = {}

            def report(done: float, total: float, /, **figures: float) -> None:
                known.update(figures)
                bars.update(bar, completed=done, total=total, figures=_text(known))

            return report

        yield begin


def _lines(console: Console, stage: str) -> Report:
    began = last = time.monotonic()
    known: dict[str, float] = {}

    def report(done: float, total: float, /, **figures: float) -> None:
        nonlocal last
        known.update(figures)
        now = time.monotonic()
        if done < total and now - last < _LOG_SECONDS:
            return
        last = now
        share = done / total if total else 1.0
        text = f"{stage} {share:4.0%} {now - began:.0f}s {_text(known)}"
        console.print(text, highlight=False)

    return report


def _text(figures: dict[str, float]) -> str:
    return " ".join(f"{name} {value:.4g}" for name, value in figures.items())
