"""The cost of a search step beside what it stands on: `make bench`.

Subjects take turns within one run, so that what else happens on the machine meets all
of them alike; each ratio is the median over the rounds of the ratios within a round.
CPU is that of this process, for one candidate or for one step of a graph.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent))

from _chat_subjects import beam_step, root_step
from _graph_subjects import STEPS, graph_run
from _server import running

Subject = Callable[[str], object]


@dataclass(frozen=True)
class Case:
    """Subjects to compare, and the most that ours may cost relative to the first.

    Attributes:
        name: What is done.
        subjects: By name; the first is the reference.
        units: Candidates, or steps, of one call.
        wall: Limit of the ratio of wall times, where latency is set by a server.
        cpu: Limit of the ratio of CPU times.
    """

    name: str
    subjects: Mapping[str, Subject]
    units: int
    wall: float | None
    cpu: float


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
            "wall_limit": case.wall if name == "AgentRM" else None,
            "cpu_limit": case.cpu if name == "AgentRM" else None,
        }
        for name in names
    ]


def _ratio(values: list[float], reference: list[float]) -> float:
    return round(
        statistics.median(a / b for a, b in zip(values, reference, strict=True)), 3
    )


def _cases(url: str, loop: asyncio.AbstractEventLoop) -> list[Case]:
    limits = {16: (1.05, 1.6), 64: (1.1, 1.5)}
    out = []
    for n, (wall, cpu) in limits.items():
        out.append(
            Case(f"root step, {n} candidates", root_step(url, n, loop), n, wall, cpu)
        )
    for n, (wall, cpu) in limits.items():
        out.append(
            Case(f"4 beams, {n} candidates", beam_step(url, n, loop), n, wall, cpu)
        )
    for sqlite, cpu in ((False, 4.0), (True, 2.0)):
        name = f"graph step, W1=W2=5, {'SQLite' if sqlite else 'no saver'}"
        out.append(Case(name, graph_run(sqlite=sqlite), STEPS, None, cpu))
    return out


def _held(row: Mapping[str, Any]) -> bool:
    return all(
        row[f"{kind}_limit"] is None or row[f"{kind}_ratio"] <= row[f"{kind}_limit"]
        for kind in ("wall", "cpu")
    )


def _print(rows: list[dict[str, Any]]) -> None:
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
            f"{text} {'held' if _held(row) else 'MISSED'}" if text else "",
        )
    Console(width=110).print(table)


def main() -> None:
    """Measure, print, write; exit code 1 if a limit was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--latency", type=float, default=0.2, help="seconds a request")
    parser.add_argument("--out", type=Path, help="where to write JSON")
    args = parser.parse_args()
    if importlib.util.find_spec("its_hub") is None:
        print("its_hub is left out: it is not installed (pip install 'its_hub[lm]').")
    rows: list[dict[str, Any]] = []
    loop = asyncio.new_event_loop()
    with running(args.latency) as url:
        for case in _cases(url, loop):
            rows += measure(case, args.rounds)
    loop.close()
    _print(rows)
    if args.out:
        packages = (
            "langchain-agentrm",
            "langchain-core",
            "langchain-openai",
            "langgraph",
        )
        about = {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": "make bench",
            "rounds": args.rounds,
            "latency_s": args.latency,
            "statistic": "median over rounds; ratios are taken within a round",
            "python": platform.python_version(),
            "cores": os.cpu_count(),
            "load_1min": round(os.getloadavg()[0], 2),
            "packages": {name: version(name) for name in packages},
        }
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")
    sys.exit(not all(map(_held, rows)))


if __name__ == "__main__":
    main()
