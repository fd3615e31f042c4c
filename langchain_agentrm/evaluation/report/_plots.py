"""Plots: matplotlib without a screen, colours that colour-blind readers can tell."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_agentrm.evaluation._estimates import Estimate
from langchain_agentrm.evaluation.report._model import Figure

__all__ = ["Line", "bars", "heat_map", "lines", "points", "to_svg"]

# Okabe and Ito's palette, its yellow left out: it is too faint on white.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_STYLES = ("-", "--", "-.", ":", "-", "--", "-.")


@dataclass(frozen=True, slots=True)
class Line:
    """A series of estimates.

    Attributes:
        name: Its name in the legend.
        x: Places on the x axis.
        y: Estimates in 0..1, drawn in percent.
        joined: Whether its points are joined.
        labels: Texts beside the points; empty for none.
    """

    name: str
    x: Sequence[float]
    y: Sequence[Estimate]
    joined: bool = True
    labels: Sequence[str] = ()


def to_svg(figure: Figure) -> bytes:
    """Draw a figure.

    Returns:
        An SVG file, the same for the same figure.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure as Canvas

    style: Any = {"svg.hashsalt": "agentrm", "font.size": 10, "axes.grid": True}
    style |= {"grid.color": "#e3e6ea", "axes.axisbelow": True}
    style |= {"axes.spines.top": False, "axes.spines.right": False}
    with mpl.rc_context(style):
        canvas = Canvas(figsize=figure.size, layout="constrained")
        FigureCanvasSVG(canvas)
        figure.draw(canvas.add_subplot())
        out = io.BytesIO()
        canvas.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()


def lines(
    name: str,
    title: str,
    series: Sequence[Line],
    *,
    x_label: str,
    y_label: str = "score (%)",
    log: int = 0,
    scale: float = 100.0,
    diagonal: bool = False,
) -> Figure:
    """Curves and points with their intervals.

    Args:
        name: File name.
        title: Title.
        series: What is drawn.
        x_label: The x axis with its unit.
        y_label: The y axis with its unit.
        log: Base of a logarithmic x axis; 0 for a plain one.
        scale: What estimates are multiplied by.
        diagonal: Draw where y equals x.

    Returns:
        The figure.
    """

    def draw(axes: Any) -> None:
        for i, line in enumerate(series):
            _draw_line(axes, line, i, scale)
        if any(line.labels for line in series):
            axes.margins(x=0.15)
        if log:
            axes.set_xscale("log", base=log)
        if log > 2:  # noqa: PLR2004 - amounts, which are read as numbers too
            _plain_ticks(axes)
        if log == 2:  # noqa: PLR2004 - draws, which are told apart as numbers
            ticks = sorted({x for line in series for x in line.x})
            axes.set_xticks(ticks, [f"{x:g}" for x in ticks])
            axes.minorticks_off()
        if not log and all(x == int(x) for line in series for x in line.x):
            axes.xaxis.get_major_locator().set_params(integer=True)
        if diagonal:
            axes.plot([0, 1], [0, scale], color="#888888", linewidth=1, linestyle=":")
        axes.set(title=title, xlabel=x_label, ylabel=y_label)
        _legend(axes, len(series))

    return Figure(name, title, draw, [row for s in series for row in _line_rows(s)])


def points(
    name: str, title: str, series: Sequence[Line], *, x_label: str, log: int = 10
) -> Figure:
    """Labelled points with their intervals, not joined."""
    return lines(name, title, series, x_label=x_label, log=log)


def _draw_line(axes: Any, line: Line, i: int, scale: float) -> None:
    colour = _COLOURS[i % len(_COLOURS)]
    values = [scale * e.value for e in line.y]
    below = [max(0.0, scale * (e.value - e.low)) for e in line.y]
    above = [max(0.0, scale * (e.high - e.value)) for e in line.y]
    axes.errorbar(
        line.x,
        values,
        yerr=[below, above],
        color=colour,
        marker=_MARKERS[i % len(_MARKERS)],
        linestyle=_STYLES[i % len(_STYLES)] if line.joined else "none",
        markersize=5,
        linewidth=1.5,
        elinewidth=0.9,
        capsize=2.5,
        label=line.name,
    )
    for x, y, text in zip(line.x, values, line.labels, strict=False):
        axes.annotate(
            text,
            (x, y),
            textcoords="offset points",
            # Above for one series and below for the next, so that fewer texts meet.
            xytext=(5, 5 if i % 2 == 0 else -11),
            fontsize=7.5,
            color=colour,
        )


def _plain_ticks(axes: Any) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.xaxis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _legend(axes: Any, n: int) -> None:
    if n > 1:
        axes.legend(
            loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, fontsize=8.5
        )


def _line_rows(line: Line) -> list[dict[str, Any]]:
    labels = [*line.labels, *[""] * (len(line.x) - len(line.labels))]
    return [
        {"series": line.name, "x": x, "label": label, **e.plain()}
        for x, e, label in zip(line.x, line.y, labels, strict=True)
    ]


def bars(
    name: str,
    title: str,
    groups: Sequence[str],
    series: Sequence[tuple[str, Sequence[Estimate | None]]],
    *,
    y_label: str = "score (%)",
) -> Figure:
    """Bars by group, one a series, with their intervals."""
    width = 0.8 / max(1, len(series))

    def draw(axes: Any) -> None:
        for i, (label, values) in enumerate(series):
            known = [(g, e) for g, e in enumerate(values) if e is not None]
            heights = [100 * e.value for _, e in known]
            axes.bar(
                [g + (i - (len(series) - 1) / 2) * width for g, _ in known],
                heights,
                width,
                yerr=[
                    [100 * max(0.0, e.value - e.low) for _, e in known],
                    [100 * max(0.0, e.high - e.value) for _, e in known],
                ],
                color=_COLOURS[i % len(_COLOURS)],
                edgecolor="white",
                capsize=2.5,
                label=label,
                error_kw={"elinewidth": 0.9},
            )
        axes.set_xticks(range(len(groups)), groups)
        axes.set(title=title, ylabel=y_label)
        _legend(axes, len(series))

    data = [
        {"group": group, "series": label, **e.plain()}
        for label, values in series
        for group, e in zip(groups, values, strict=True)
        if e is not None
    ]
    return Figure(name, title, draw, data)


def heat_map(
    name: str,
    title: str,
    rows: Sequence[str],
    columns: Sequence[str],
    cell: Callable[[str, str], Estimate | None],
) -> Figure:
    """Differences in points: blue gains, red losses, empty where nothing was run."""
    grid = {(r, c): cell(r, c) for r in rows for c in columns}

    def draw(axes: Any) -> None:
        import numpy as np

        values = np.array(
            [[100 * e.value if (e := grid[r, c]) else np.nan for c in columns]
             for r in rows]
        )  # fmt: skip
        most = max(1.0, float(np.nanmax(np.abs(values))))
        image = axes.imshow(values, cmap="RdBu", vmin=-most, vmax=most, aspect="auto")
        axes.grid(visible=False)
        axes.set_xticks(range(len(columns)), columns, rotation=30, ha="right")
        axes.set_yticks(range(len(rows)), rows)
        for (i, j), value in np.ndenumerate(values):
            e = grid[rows[i], columns[j]]
            text = (
                f"{value:+.1f}\n[{100 * e.low:+.0f}, {100 * e.high:+.0f}]" if e else "-"
            )
            dark = np.isfinite(value) and abs(value) > 0.6 * most
            axes.text(
                j,
                i,
                text,
                ha="center",
                va="center",
                fontsize=8,
                color="white" if dark else "black",
            )
        axes.set(title=title, xlabel="evaluated on", ylabel="trained on")
        axes.figure.colorbar(image, label="points", shrink=0.8)

    data = [{"trained_on": r, "env": c, **e.plain()} for (r, c), e in grid.items() if e]
    height = 1.8 + 0.55 * len(rows)
    return Figure(name, title, draw, data, (max(5.5, 2.5 + 1.1 * len(columns)), height))
