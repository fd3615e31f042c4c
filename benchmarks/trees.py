"""What a search tree costs, and what merging and caching save of it.

Builds the same trees of the embedded BabyAI policy several times: as the algorithm is
written down, with equal actions merged, with every transition executed once, and with
both; then with one and with two processes. Counts do not depend on the machine; times
are CPU seconds of the process that played, and wall seconds for the processes.
"""

from __future__ import annotations

import json
import os
import platform
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from langchain_agentrm._files import write_json
from langchain_agentrm.embedded import embedded_models
from langchain_agentrm.training.cost import estimate_trees
from langchain_agentrm.training.trees import STORE_FILE, TreesConfig, build_trees

ENV = "babyai"
VARIANTS: dict[str, dict[str, bool]] = {
    "plain": {"merge_actions": False, "cache": False},
    "cached": {"merge_actions": False, "cache": True},
    "merged": {"merge_actions": True, "cache": False},
    "merged and cached": {"merge_actions": True, "cache": True},
    "and equal states merged": {
        "merge_actions": True,
        "cache": True,
        "merge_states": True,
    },
}
DRAWS = 2000


def main(
    out: Annotated[Path, typer.Option(help="Where the figures go.")] = Path(
        "docs/data/trees.json"
    ),
    tasks: Annotated[int, typer.Option(min=2, help="Trees of each variant.")] = 48,
    simulations: Annotated[int, typer.Option(min=1, help="Iterations a tree.")] = 30,
    process_tasks: Annotated[
        int, typer.Option(min=2, help="Trees that one and two processes build.")
    ] = 800,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of the processes.")] = 3,
    seed: Annotated[int, typer.Option(help="Run seed.")] = 0,
) -> None:
    """Build, count, compare, write."""
    policy = embedded_models(ENV).policy
    config = TreesConfig.paper(
        env=ENV, tasks=tasks, simulations=simulations, chunk=12, seed=seed
    )
    console = Console(width=130)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        rows: dict[str, dict[str, Any]] = {}
        trees: dict[str, list[dict[str, float]]] = {}
        for variant, options in VARIANTS.items():
            folder = work / variant.replace(" ", "-")
            some = config.model_copy(update=options)
            manifest = build_trees(some, policy, folder)
            trees[variant] = _trees(folder)
            rows[variant] = _row(trees[variant], manifest)
            console.print(f"{variant}: {rows[variant]}", highlight=False)
        saved = {
            variant: {
                what: _saved(trees["plain"], found, what)
                for what in ("answers", "env_steps")
            }
            for variant, found in trees.items()
            if variant != "plain"
        }
        estimate = estimate_trees(config).plain()
        many = config.model_copy(update={"tasks": process_tasks})
        processes = _processes(many, policy, work, rounds)
    data = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python", "benchmarks/trees.py", *sys.argv[1:]]),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load_1min": round(os.getloadavg()[0], 2),
        "settings": config.plain(),
        "statistic": "per tree; shares of sums over tasks, 95 % bootstrap intervals "
        "over tasks; trees an hour follow from CPU seconds; processes by wall seconds, "
        "in turns, median of the ratios within a turn",
        "estimate_before": estimate,
        "rows": rows,
        "saved_against_plain": saved,
        "processes": processes,
    }
    write_json(out, data)
    _show(console, data)
    console.print(f"Wrote {out}")


def _trees(folder: Path) -> list[dict[str, float]]:
    db = sqlite3.connect(folder / STORE_FILE)
    found = db.execute(
        "select env_steps, replayed, counters from trees join work using (tree_id)"
        " order by tree_id"
    )
    out = []
    for fresh, replayed, text in found.fetchall():
        counters = json.loads(text)
        steps = {"env_steps": fresh + replayed, "replayed": replayed}
        out.append({**counters, **steps, "answers": counters["draws"]})
    db.close()
    return out


def _row(trees: Sequence[dict[str, float]], manifest: dict[str, Any]) -> dict[str, Any]:
    counts, n = manifest["counts"], len(trees)
    cpu = counts["cpu_seconds"]

    def each(name: str) -> float:
        return round(sum(tree.get(name, 0) for tree in trees) / n, 1)

    return {
        "trees": n,
        "answers": each("answers"),
        "requests": round(counts["requests"] / n, 1),
        "tokens": round((counts["input_tokens"] + counts["output_tokens"]) / n),
        "env_steps": each("env_steps"),
        "of_them_replayed": each("replayed"),
        "from_cache": each("cached"),
        "merged_actions": each("merged_actions"),
        "merged_states": each("merged_states"),
        "iterations": each("iterations"),
        "nodes": round(counts["nodes"] / n, 1),
        "mean_return": counts["mean_return"],
        "cpu_seconds": round(cpu / n, 3),
        "trees_an_hour": round(3600 * n / cpu) if cpu else None,
    }


def _saved(
    plain: Sequence[dict[str, float]], other: Sequence[dict[str, float]], name: str
) -> dict[str, float]:
    """The share saved over all tasks, and its interval."""
    pairs = [(a[name], b[name]) for a, b in zip(plain, other, strict=True)]

    def share(some: Sequence[tuple[float, float]]) -> float:
        return 1 - sum(b for _, b in some) / sum(a for a, _ in some)

    rng = random.Random(0)
    drawn = sorted(share(rng.choices(pairs, k=len(pairs))) for _ in range(DRAWS))
    cut = int(DRAWS * 0.025)
    return {
        "share": round(share(pairs), 4),
        "low": round(drawn[cut], 4),
        "high": round(drawn[DRAWS - 1 - cut], 4),
    }


def _processes(
    config: TreesConfig, policy: Path, work: Path, rounds: int
) -> dict[str, Any]:
    """Build with one and with two processes, in turns."""
    load = round(os.getloadavg()[0], 2)
    walls: dict[int, list[float]] = {1: [], 2: []}
    rates: dict[int, list[float]] = {1: [], 2: []}
    stores: set[str] = set()
    for turn in range(rounds):
        order = (1, 2) if turn % 2 else (2, 1)
        for workers in order:
            folder = work / f"processes-{turn}-{workers}"
            wall, rate = _build(config, policy, folder, workers)
            walls[workers].append(wall)
            rates[workers].append(rate)
            stores.add(_content(folder))
    return {
        "wall_seconds_1": round(statistics.median(walls[1]), 1),
        "wall_seconds_2": round(statistics.median(walls[2]), 1),
        "speed_up_of_2": _ratio(walls[1], walls[2]),
        "speed_up_of_2_once_started": _ratio(rates[2], rates[1]),
        "trees": config.tasks,
        "rounds": rounds,
        "load_1min_before": load,
        "walls_include": "starting the processes and loading the policy; once started: "
        "chunks a second after the first one of each process",
        "equal_trees": len(stores) == 1,
    }


def _build(
    config: TreesConfig, policy: Path, folder: Path, workers: int
) -> tuple[float, float]:
    """Build a store; wall seconds, and chunks a second once every process works."""
    began = time.perf_counter()
    marks: list[float] = []

    def mark(done: float, total: float, /, **figures: float) -> None:
        del done, total, figures
        marks.append(time.perf_counter())

    build_trees(config, policy, folder, workers=workers, progress=mark)
    wall = time.perf_counter() - began
    # The first report says that nothing is done, those of each process's first chunk
    # hold its start.
    after = marks[workers:]
    return wall, (len(after) - 1) / (after[-1] - after[0])


def _ratio(above: Sequence[float], below: Sequence[float]) -> float:
    return round(statistics.median(a / b for a, b in zip(above, below, strict=True)), 2)


def _content(folder: Path) -> str:
    db = sqlite3.connect(folder / STORE_FILE)
    rows = db.execute("select * from nodes order by tree_id, node_id").fetchall()
    db.close()
    return json.dumps(rows)


def _show(console: Console, data: dict[str, Any]) -> None:
    names = ("answers", "env_steps", "tokens", "nodes", "cpu_seconds", "trees_an_hour")
    table = Table("variant", *names, "answers saved, %", "steps saved, %")
    for variant, row in data["rows"].items():
        saved = data["saved_against_plain"].get(variant)
        shares = ["", ""]
        if saved:
            shares = [
                " ".join(f"{100 * x[name]:.0f}" for name in ("share", "low", "high"))
                for x in saved.values()
            ]
        table.add_row(variant, *(str(row[name]) for name in names), *shares)
    console.print(table)
    console.print(data["processes"], highlight=False)


if __name__ == "__main__":
    typer.run(main)
