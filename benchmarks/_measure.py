"""Timing subjects in turns, and what every benchmark of this kind prints and writes.

Subjects take turns within one run, so that what else happens on the machine meets all
of them alike; each ratio is the median over the rounds of the ratios within a round.
CPU is that of this process, for one candidate or for one step of a graph.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from langchain_agentrm._files import write_json

__all__ = ["Case", "Subject", "held", "measure", "show", "write"]

Subject = Callable[[str], object]


@dataclass(frozen=True)
class Case:
    """Subjects to compare, and the most that some may cost relative to the first.

    Attributes:
        name: What is done.
        subjects: By name; the first is the reference.
        units: Candidates, or steps, of one call.
        limits: By subject, the most of the ratios of wall and of CPU time.
    """

    name: str
    subjects: Mapping[str, Subject]
    units: int
    limits: Mapping[str, tuple[float | None, float | None]] = field(
        default_factory=dict
    )


def measure(case: Case, rounds: int) -> list[dict[str, Any]]:
    """Time every subject of a case, in turns.

    Args:
        case: What to compare.
        rounds: Repeats; one more before them is not counted.

    Returns:
        One row a subject.
    """
    names = list(case.subjects)
    walls: dict[str, list[float]] = {name: [] for name in names}
    cpus: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(-1, rounds):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            wall, cpu = time.perf_counter(), time.process_time()
            case.subjects[name](f"{case.name} {turn}")
            if turn >= 0:
                walls[name].append(time.perf_counter() - wall)
                cpus[name].append(time.process_time() - cpu)
    reference = names[0]
    return [
        {
            "case": case.name,
            "subject": name,
            "wall_ms": round(statistics.median(walls[name]) * 1e3, 2),
            "wall_ratio": _ratio(walls[name], walls[reference]),
            "cpu_ms_each": round(statistics.median(cpus[name]) * 1e3 / case.units, 4),
            "cpu_ratio": _ratio(cpus[name], cpus[reference]),
            "wall_limit": case.limits.get(name, (None, None))[0],
            "cpu_limit": case.limits.get(name, (None, None))[1],
        }
        for name in names
    ]


def _ratio(values: list[float], reference: list[float]) -> float:
    return round(
        statistics.median(a / b for a, b in zip(values, reference, strict=True)), 3
    )


def held(row: Mapping[str, Any]) -> bool:
    """Tell whether a row keeps its limits."""
    return all(
        row[f"{kind}_limit"] is None or row[f"{kind}_ratio"] <= row[f"{kind}_limit"]
        for kind in ("wall", "cpu")
    )


def show(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows as a table."""
    table = Table(
        "case", "subject", "wall ms", "ratio", "CPU ms each", "ratio", "limits"
    )
    for row in rows:
        limits = [row["wall_limit"], row["cpu_limit"]]
        text = " / ".join(str(x) for x in limits if x is not None)
        table.add_row(
            row["case"],
            row["subject"],
            f"{row['wall_ms']:.1f}",
            f"{row['wall_ratio']:.2f}",
            f"{row['cpu_ms_each']:.3f}",
            f"{row['cpu_ratio']:.2f}",
            f"{text} {'held' if held(row) else 'MISSED'}" if text else "",
        )
    Console(width=110).print(table)


def write(
    out: Path,
    rows: Sequence[Mapping[str, Any]],
    *,
    command: str,
    rounds: int,
    latency: float,
) -> None:
    """Write rows with what they were measured on."""
    packages = ("langchain-agentrm", "langchain-core", "langchain-openai", "langgraph")
    about = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "rounds": rounds,
        "latency_s": latency,
        "statistic": "median over rounds; ratios are taken within a round",
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load_1min": round(os.getloadavg()[0], 2),
        "packages": {name: version(name) for name in packages},
    }
    write_json(out, {**about, "rows": list(rows)})
