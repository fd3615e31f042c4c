"""`agentrm demo`: every method and control on tasks that were never trained on."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.progress import TimeElapsedColumn as Elapsed
from rich.table import Table

from langchain_agentrm._files import write_json, write_text
from langchain_agentrm.cli.run import run_task
from langchain_agentrm.embedded import embedded_models
from langchain_agentrm.environments import registry
from langchain_agentrm.environments.base import EnvironmentFactory
from langchain_agentrm.evaluation.methods import METHODS, MethodSettings, Record
from langchain_agentrm.evaluation.runner import Plan, evaluate
from langchain_agentrm.evaluation.table import Row, as_json, rows
from langchain_agentrm.trace import build, to_html
from langchain_agentrm.types import TaskRef

__all__ = ["app", "splits_of"]

app = typer.Typer(add_completion=False)

ASIDE = "OneRoomS8"
"""Greedy loops there, which flatters every other method: it gets rows of its own."""


_EMBEDDED = (
    " The reward model saw neither these tasks nor any task of the held-out types."
)


class Which(StrEnum):
    """Which groups of task types to run."""

    held_in = "held_in"
    held_out = "held_out"
    both = "all"


@dataclass
class _Live:
    """What the screen shows while chunks come in."""

    splits: dict[str, list[str]]
    total: int
    records: list[Record] = field(default_factory=list)
    progress: Progress = field(
        default_factory=lambda: Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("episodes"),
            Elapsed(),
        )
    )

    def __post_init__(self) -> None:
        self.bar = self.progress.add_task("evaluating", total=self.total)

    def add(self, records: Sequence[Record]) -> None:
        self.records += records
        self.progress.advance(self.bar, len({r.task for r in records}))

    def screen(self) -> Group:
        return Group(*tables(rows({0: self.records}, self.splits)), self.progress)


def splits_of(factory: EnvironmentFactory, which: str) -> dict[str, list[str]]:
    """Task types of each split that the table shows.

    Args:
        factory: The environment.
        which: `"held_in"`, `"held_out"` or `"all"`.

    Returns:
        Types by split name, in the table's order.
    """
    out: dict[str, list[str]] = {}
    if which in ("held_out", "all"):
        held_out = factory.types("held_out")
        out["held_out"] = [t for t in held_out if t != ASIDE]
        if ASIDE in held_out:
            out[ASIDE] = [ASIDE]
    if which in ("held_in", "all"):
        out["held_in"] = factory.types("held_in")
    return out


def pick_tasks(
    factory: EnvironmentFactory, splits: dict[str, list[str]], episodes: int
) -> list[TaskRef]:
    """Test tasks of each split, an equal number a type; the aside gets a fifth."""
    out: list[TaskRef] = []
    for name, types in splits.items():
        count = max(1, episodes // 5) if name == ASIDE else episodes
        out += factory.tasks("test", types, limit=count)
    return out


def tables(table: Sequence[Row]) -> list[Table]:
    """Draw rows, one table a split."""
    out = []
    for split in dict.fromkeys(r["split"] for r in table):
        some = [r for r in table if r["split"] == split]
        drawn = Table(
            title=f"{split.replace('_', '-')}: {some[0]['episodes']} episodes of "
            f"{', '.join(some[0]['types'])}; 95 % "
            "intervals; policy and RM tokens, seconds an episode",
            title_justify="left",
            box=SIMPLE_HEAD,
            pad_edge=False,
            min_width=74,
        )
        drawn.add_column("method", no_wrap=True)
        for name in ("success %", "minus greedy", "policy", "RM", "s"):
            # Seconds are the last column and the first to be cut at 80 columns.
            wide = 5 if name == "s" else None
            drawn.add_column(name, justify="right", no_wrap=True, min_width=wide)
        for r in some:
            style = "bold" if _by_reward(r["method"]) else ""
            style = "dim" if r["method"].startswith("oracle") else style
            drawn.add_row(
                r["method"],
                _interval(r["success"], r["ci_low"], r["ci_high"], sign=""),
                ""
                if r["method"] == "greedy"
                else _interval(r["delta"], r["delta_low"], r["delta_high"], sign="+"),
                f"{r['policy_tokens']:.0f}",
                f"{r['rm_tokens']:.0f}",
                f"{r['seconds']:.2f}",
                style=style,
            )
        out.append(drawn)
    return out


def _interval(value: float, low: float, high: float, *, sign: str) -> str:
    bounds = f"[{100 * low:{sign}.0f}, {100 * high:{sign}.0f}]"
    return f"{100 * value:{sign}.1f} {bounds:>10}"


def _by_reward(method: str) -> bool:
    return method.startswith(("best-of", "beam"))


@app.command()
def demo(
    env: Annotated[str, typer.Option(help="Environment.")] = "babyai",
    episodes: Annotated[int, typer.Option(min=1, help="Episodes a split.")] = 100,
    split: Annotated[Which, typer.Option(help="Which task types.")] = Which.both,
    methods: Annotated[str, typer.Option(help="Comma-separated, or all.")] = "all",
    seed: Annotated[int, typer.Option(help="Run seed.")] = 0,
    policy: Annotated[
        str | None, typer.Option(help="Checkpoint folder, or openai:MODEL.")
    ] = None,
    base_url: Annotated[
        str | None, typer.Option(help="Endpoint of an openai: policy.")
    ] = None,
    reward_model: Annotated[
        str | None,
        typer.Option(help="Folder, hub id, vllm:FOLDER or judge:openai:MODEL."),
    ] = None,
    reward_url: Annotated[
        str | None, typer.Option(help="Server of a vllm: or judge: reward model.")
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes.")] = 2,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the rows here.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write the search tree's page here.")
    ] = None,
) -> None:
    """Compare greedy, controls, best-of-N and beams, then draw one search."""
    console = Console()
    factory = registry.get(env)
    note = "" if reward_model else _EMBEDDED
    policy, reward_model = _defaults(env, policy, reward_model)
    splits = splits_of(factory, split.value)
    tasks = pick_tasks(factory, splits, episodes)
    names = METHODS if methods == "all" else tuple(methods.split(","))
    if "greedy" not in names:
        names = ("greedy", *names)
    console.print(f"[bold]{env}[/bold]: {len(tasks)} test tasks, seed {seed}.{note}")
    plan = Plan(
        env,
        tasks,
        names,
        policy,
        reward_model,
        MethodSettings(seed=seed),
        base_url,
        reward_url,
    )
    live = _Live(splits, len(tasks))
    began = time.perf_counter()
    with Live(live.screen(), console=console, refresh_per_second=4) as view:

        def show(records: list[Record]) -> None:
            live.add(records)
            view.update(live.screen())

        records = evaluate(plan, workers=workers, on_chunk=show)
    table = rows({0: records}, splits)
    if json_file is not None:
        write_json(json_file, _rows(table, reward_model))
        console.print(f"Rows: {json_file}")
    page = html or Path(tempfile.gettempdir()) / "agentrm-search.html"
    events, _ = run_task(
        factory,
        _showpiece(records, tasks),
        policy,
        reward_model,
        base_url=base_url,
        reward_url=reward_url,
    )
    write_text(page, to_html(build(events)))
    console.print(
        f"{len(tasks)} episodes in {time.perf_counter() - began:.0f} s. "
        f"One search as a tree: {page.resolve().as_uri()}"
    )


def _rows(table: Sequence[Row], reward_model: str) -> list[dict[str, Any]]:
    """Rows with the seed that the models were trained with, where they say so."""
    trained: int | None = None
    manifest = Path(reward_model) / "manifest.json"
    if manifest.exists():
        trained = json.loads(manifest.read_text()).get("seed")
    return [{**r, "training_seed": trained} for r in as_json(table)]


def _defaults(env: str, policy: str | None, rm: str | None) -> tuple[str, str]:
    if policy is not None and rm is not None:
        return policy, rm
    paths = embedded_models(env)
    return policy or str(paths.policy), rm or str(paths.reward_model)


def _showpiece(records: Sequence[Record], tasks: Sequence[TaskRef]) -> TaskRef:
    """A task that the beam solved and greedy did not, else the first."""
    failed = {r.task for r in records if r.method == "greedy" and not r.score}
    won = [
        r for r in records if r.method == "beam-5x2" and r.score and r.task in failed
    ]
    name = max(won, key=lambda r: r.steps).task if won else tasks[0]["id"]
    return next(t for t in tasks if t["id"] == name)
