"""The evidence: every method over frozen test tasks, for several training seeds.

Trains policy and reward model anew for each seed, evaluates all methods, and writes
`docs/data/evidence.json` and the tables of `docs/evidence.md`. Everything is resumable:
run it again with the same `--work` folder and it goes on.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from _page import write_part
from rich.console import Console

from langchain_agentrm._files import (
    MANIFEST,
    read_json,
    write_json,
    write_manifest,
)
from langchain_agentrm.cli._progress import watching
from langchain_agentrm.cli.demo import ASIDE, splits_of
from langchain_agentrm.environments import registry
from langchain_agentrm.evaluation.methods import METHODS, MethodSettings, Record
from langchain_agentrm.evaluation.runner import Plan, evaluate
from langchain_agentrm.evaluation.table import (
    Row,
    as_json,
    compare,
    rows,
    strongest_control,
)
from langchain_agentrm.training.mini import MiniConfig, train_mini

ENV = "babyai"
GUIDED = ("best-of-5", "best-of-greedy+4", "beam-2x3", "beam-5x2", "beam-5x5")


def main(
    work: Annotated[Path, typer.Option(help="Keeps models and chunks.")] = Path(
        "evidence"
    ),
    out: Annotated[Path, typer.Option(help="Docs folder.")] = Path("docs"),
    seeds: Annotated[int, typer.Option(min=1, help="Training seeds.")] = 3,
    held_out: Annotated[int, typer.Option(help="Held-out episodes a seed.")] = 600,
    held_in: Annotated[int, typer.Option(help="Held-in episodes a seed.")] = 300,
    aside: Annotated[int, typer.Option(help="OneRoomS8 episodes a seed.")] = 120,
    workers: Annotated[int, typer.Option(min=0, help="Processes.")] = 2,
    labeller: Annotated[str, typer.Option(help="rollouts or mcts.")] = "rollouts",
    methods: Annotated[str, typer.Option(help="Names by commas, or all.")] = "all",
) -> None:
    """Train, evaluate, write the tables.

    Another labeller writes `data/evidence-LABELLER.json` and leaves the page alone.
    """
    console = Console()
    names = METHODS if methods == "all" else tuple(methods.split(","))
    factory = registry.get(ENV)
    splits = splits_of(factory, "all")
    counts = {"held_out": held_out, "held_in": held_in, ASIDE: aside}
    tasks = [
        t
        for s, types in splits.items()
        for t in factory.tasks("test", types, counts[s])
    ]
    settings = MethodSettings()
    runs: dict[int, list[Record]] = {}
    trained: dict[int, dict[str, Any]] = {}
    for seed in range(seeds):
        folder = work / f"seed{seed}"
        with watching() as watch:
            made = train_mini(
                MiniConfig.model_validate({"seed": seed, "labeller": labeller}),
                folder,
                workers=workers,
                watch=watch,
            )
        trained[seed] = {k: v["counts"] for k, v in made.items()}
        plan = Plan(
            ENV,
            tasks,
            names,
            str(folder / "export" / "policy"),
            str(folder / "export" / "rm"),
            settings,
        )
        done: list[Record] = []

        def show(records: list[Record], seed: int = seed) -> None:
            done.extend(records)  # noqa: B023 - called before the next seed
            n = len({r.task for r in done})  # noqa: B023
            console.print(f"seed {seed}: {n} of {len(tasks)} tasks")

        runs[seed] = evaluate(
            plan, workers=workers, keep=folder / "evaluation", on_chunk=show
        )
    pooled = rows(runs, splits)
    data: dict[str, Any] = {
        "rows": as_json(pooled),
        "by_seed": [as_json(rows({s: r}, splits)) for s, r in runs.items()],
        "against_control": _against_control(runs, pooled, splits),
        "training": trained,
    }
    usual = labeller == "rollouts"
    file = out / "data" / ("evidence.json" if usual else f"evidence-{labeller}.json")
    write_json(file, data)
    write_manifest(
        work,
        stage="evidence",
        config={
            "seeds": seeds,
            "held_out": held_out,
            "held_in": held_in,
            "aside": aside,
            "methods": repr(settings),
            "labeller": labeller,
            "cores": os.cpu_count(),
        },
        inputs={},
        counts={"episodes": len(tasks) * seeds},
        seconds=0.0,
    )
    data["manifest"] = read_json(work / MANIFEST)
    write_json(file, data)
    if usual:
        _write_page(out / "evidence.md", data, pooled)
    console.print(f"Wrote {file}")


def _against_control(
    runs: dict[int, list[Record]], pooled: list[Row], splits: dict[str, list[str]]
) -> list[dict[str, Any]]:
    out = []
    for split, types in splits.items():
        control = strongest_control(pooled, split)
        if control is None:
            continue
        known = {row["method"] for row in pooled}
        for method in (name for name in GUIDED if name in known):
            delta, low, high = compare(runs, method, control, types)
            out.append(
                {
                    "split": split,
                    "method": method,
                    "control": control,
                    "delta": round(delta, 4),
                    "delta_low": round(low, 4),
                    "delta_high": round(high, 4),
                }
            )
    return out


def _write_page(page: Path, data: dict[str, Any], pooled: list[Row]) -> None:
    manifest = data["manifest"]
    lines = [
        (
            f"`make evidence` on {datetime.now(UTC):%Y-%m-%d}, commit "
            f"`{manifest['commit']}`, {manifest['config']['seeds']} training seeds "
            "(policy and reward model both trained anew), "
            f"`{manifest['config']['methods']}`. Success in %, 95 % intervals by "
            "bootstrap over tasks; differences to greedy paired by task. *held*: how "
            "often a solution was among what the method could have picked at its end."
        ),
        "",
    ]
    for split in dict.fromkeys(r["split"] for r in pooled):
        some = [r for r in pooled if r["split"] == split]
        lines += [
            f"### {split.replace('_', '-')}",
            "",
            f"{some[0]['episodes']} episodes of {', '.join(some[0]['types'])}.",
            "",
            "| method | success | minus greedy | held | policy tok | RM tok | s |",
            "|---|---|---|---|---|---|---|",
            *(_line(r) for r in some),
            "",
        ]
        against = [a for a in data["against_control"] if a["split"] == split]
        if against:
            lines += [
                f"Against the strongest control, {against[0]['control']}: "
                + "; ".join(f"{a['method']} {_delta(a)}" for a in against)
                + ".",
                "",
            ]
    write_part(page, "evidence", lines)


def _line(r: Row) -> str:
    delta = "" if r["method"] == "greedy" else _delta(r)
    return (
        f"| {r['method']} | {100 * r['success']:.1f} "
        f"[{100 * r['ci_low']:.1f}, {100 * r['ci_high']:.1f}] | {delta} "
        f"| {100 * r['held']:.1f} | {r['policy_tokens']:.0f} | {r['rm_tokens']:.0f} "
        f"| {r['seconds']:.3f} |"
    )


def _delta(row: Any) -> str:
    low, high = 100 * row["delta_low"], 100 * row["delta_high"]
    return f"{100 * row['delta']:+.1f} [{low:+.1f}, {high:+.1f}]"


if __name__ == "__main__":
    typer.run(main)
