"""What a report is made of, before it is Markdown or HTML."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_agentrm.evaluation._estimates import Estimate

__all__ = ["Cell", "Figure", "Section", "Table", "plain", "show"]

Cell = str | int | float | Estimate | None


@dataclass(frozen=True, slots=True)
class Percent:
    """An estimate in 0..1, shown in percent; with a sign where it is a difference."""

    of: Estimate | None
    signed: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table.

    Attributes:
        title: What it shows, of what.
        columns: Column heads.
        rows: Cells by row.
        note: How to read it.
        strong: Rows to stand out, by index.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell | Percent]]
    note: str = ""
    strong: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure and the figures in it.

    Attributes:
        name: File name without suffix.
        title: What it shows; also its text for those who cannot see it.
        draw: Draws it on axes.
        data: Every point drawn, as rows of plain values.
        size: Width and height in inches.
    """

    name: str
    title: str
    draw: Callable[[Any], None]
    data: Sequence[dict[str, Any]]
    size: tuple[float, float] = (7.2, 4.2)


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the report.

    Attributes:
        name: Anchor.
        title: Heading.
        text: Paragraphs.
        tables: Tables.
        figures: Figures.
        missing: What to run where nothing was measured; empty otherwise.
    """

    name: str
    title: str
    text: Sequence[str] = ()
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = field(default=())
    missing: str = ""


def show(cell: Cell | Percent) -> str:
    """Write a cell as text."""
    if cell is None:
        return "-"
    if isinstance(cell, Percent):
        if cell.of is None:
            return "-"
        e, sign = cell.of, "+" if cell.signed else ""
        value, low, high = (f"{100 * x:{sign}.1f}" for x in (e.value, e.low, e.high))
        return f"{value} [{low}, {high}]"
    if isinstance(cell, Estimate):
        return f"{cell.value:.3f} [{cell.low:.3f}, {cell.high:.3f}]"
    if isinstance(cell, float):
        whole = cell == 0 or abs(cell) >= 10  # noqa: PLR2004 - three digits will do
        return f"{cell:,.0f}" if whole else f"{cell:.2f}"
    return f"{cell:,}" if isinstance(cell, int) else cell


def plain(cell: Cell | Percent) -> Any:
    """Write a cell as JSON."""
    if isinstance(cell, Percent):
        return cell.of.plain() if cell.of else None
    return cell.plain() if isinstance(cell, Estimate) else cell
