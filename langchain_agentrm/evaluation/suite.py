"""A suite of episodes: methods by tasks by policies by reward models, resumable.

Source: AgentRM (ACL 2025), section 4, whose tables compare greedy, best-of-N and beam
search over held-in and held-out tasks.
"""

from __future__ import annotations

import functools
import itertools
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from langchain_agentrm._files import (
    append_jsonl,
    finished,
    folder_digest,
    read_json,
    same_settings,
    write_json,
    write_jsonl,
    write_manifest,
)
from langchain_agentrm.evaluation._block import (
    Block,
    Done,
    Installed,
    Parts,
    expected,
    play,
)
from langchain_agentrm.evaluation.suite_config import (
    EnvironmentChoice,
    EvalConfig,
    PolicyChoice,
    RewardModelChoice,
    fits,
    read_config,
    tasks_of,
)
from langchain_agentrm.training._config import Progress, silent
from langchain_agentrm.training._policy import check_digest, settle
from langchain_agentrm.training.backends import Backend, LocalBackend

__all__ = [
    "EPISODES_FILE",
    "POOLS_FILE",
    "SETTINGS_FILE",
    "EnvironmentChoice",
    "EvalConfig",
    "PolicyChoice",
    "RewardModelChoice",
    "read_config",
    "run_suite",
]

EPISODES_FILE = "episodes.jsonl"
"""One row a method and task."""

POOLS_FILE = "pools.jsonl"
"""The sampled episodes of a task and their scores; the curve over N is made of them."""

SETTINGS_FILE = "settings.json"
"""Settings and digests of models; written first, so that a resumed run is held to it.
"""

_BLOCK = 25
"""Tasks in lockstep: enough for full batches, few enough to lose little when killed."""

Cell = tuple[str, str, int, str]
"""Environment's label, policy, seed and task id."""


def run_suite(
    config: EvalConfig,
    out: Path,
    *,
    workers: int = 2,
    backend: Backend | None = None,
    block: int = _BLOCK,
    parts: Parts | None = None,
    progress: Progress = silent,
    on_rows: Callable[[list[dict[str, Any]]], None] = lambda _: None,
) -> dict[str, Any]:
    """Run a suite, or go on with one that was stopped.

    A finished block of tasks is on disk before the next one counts; a run that was
    killed loses the blocks that were being played, and repeats none that was written.

    Args:
        config: Settings.
        out: Output folder: `episodes.jsonl`, `pools.jsonl`, `manifest.json`.
        workers: Processes; 0 or 1 plays in this one.
        backend: Where blocks are played, such as a Ray cluster; by default `workers`
            processes here.
        block: Tasks played in lockstep; may differ between runs.
        parts: Where environments and models come from; by default what is installed.
        progress: Told about each block.
        on_rows: Told the rows of each block, those of an earlier run first.

    Returns:
        The manifest.

    Raises:
        ConfigurationError: If a setting cannot work, or the folder holds another suite.
    """
    # What is recorded names no folder in place of `embedded`: their digests do.
    plain = config.plain()
    config = config.resolved() if parts is None else config
    digests = _digests(config)
    settings = {**plain, "models": digests}
    known = finished(out, settings)
    if known is not None:
        on_rows(_rows(out / EPISODES_FILE))
        return known
    _hold(settings, out)
    parts = parts or Installed()
    began = time.monotonic()
    cells = _cells(config, parts)
    kept = _resume(config, out, cells)
    on_rows(kept.episodes)
    blocks = list(_blocks(config, cells, kept, block, parts))
    total, seen = len(cells), len(cells) - sum(len(b.tasks) for b in blocks)
    progress(seen, total)
    backend = backend or LocalBackend(workers)
    setup = functools.partial(_setup, _folders(config))
    for _, done in backend.run(setup, blocks):
        append_jsonl(out / POOLS_FILE, done.pools)
        append_jsonl(out / EPISODES_FILE, done.episodes)
        kept.episodes += done.episodes
        kept.pools += done.pools
        seen += len({row["task_id"] for row in done.episodes})
        on_rows(done.episodes)
        progress(seen, total)
    rows = _in_order(config, kept, cells)
    write_jsonl(out / EPISODES_FILE, rows.episodes)
    write_jsonl(out / POOLS_FILE, rows.pools)
    failed = [row for row in rows.episodes if row["failure"]]
    return write_manifest(
        out,
        stage="eval",
        config=settings,
        inputs=digests,
        counts={
            "tasks": len(cells),
            "episodes": len(rows.episodes),
            "failures": len(failed),
            "first_failure": failed[0]["failure"] if failed else "",
        },
        seconds=time.monotonic() - began,
        outputs=[EPISODES_FILE, POOLS_FILE],
    )


def _digests(config: EvalConfig) -> dict[str, str]:
    folders = _folders(config)
    models: dict[str, PolicyChoice | RewardModelChoice] = {
        **config.policies,
        **config.reward_models,
    }
    return {
        name: folders[choice.model]
        for name, choice in models.items()
        if choice.model in folders
    }


def _folders(config: EvalConfig) -> dict[str, str]:
    """Digests of the models that are folders here."""
    models: list[PolicyChoice | RewardModelChoice] = [
        *config.policies.values(),
        *config.reward_models.values(),
    ]
    names = {choice.model for choice in models if Path(choice.model).is_dir()}
    return {name: folder_digest(Path(name)) for name in sorted(names)}


def _hold(settings: Mapping[str, Any], out: Path) -> None:
    path = out / SETTINGS_FILE
    if path.exists():
        same_settings(read_json(path), settings, where=out.name)
    else:
        write_json(path, settings)


def _cells(config: EvalConfig, parts: Parts) -> dict[Cell, tuple[int, str, Any]]:
    """Everything to be played, in order: environment, group and task by cell."""
    out: dict[Cell, tuple[int, str, Any]] = {}
    for i, env in enumerate(config.environments):
        tasks = tasks_of(env, parts.factory(env))
        for policy, choice in config.policies.items():
            if not fits(choice, env):
                continue
            for seed in config.seeds:
                for group, some in tasks.items():
                    for task in some:
                        out[env.name, policy, seed, task["id"]] = (i, group, task)
    return out


def _cell(row: Mapping[str, Any]) -> Cell:
    return row["env"], row["policy"], row["seed"], row["task_id"]


def _rows(path: Path) -> list[dict[str, Any]]:
    """Rows of a file whose last line may be a part: a process died while writing it."""
    if not path.exists():
        return []
    out = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if not line.endswith("\n"):
            break
        try:
            out.append(json.loads(line))
        except ValueError:
            break
    return out


def _resume(config: EvalConfig, out: Path, cells: Mapping[Cell, Any]) -> Done:
    """Keep the cells that are whole, and write the files without the others."""
    envs = {env.name: env for env in config.environments}
    wanted = {
        name: {(m.name, rm) for m, rm in expected(config, env)}
        for name, env in envs.items()
    }
    have: dict[Cell, set[tuple[str, str]]] = {}
    episodes, pools = _rows(out / EPISODES_FILE), _rows(out / POOLS_FILE)
    for row in episodes:
        have.setdefault(_cell(row), set()).add((row["method"], row["rm"]))
    pooled = {_cell(row) for row in pools}
    needs_pool = any(m.pooled for m in config.parsed)
    whole = {
        cell
        for cell, methods in have.items()
        if cell in cells
        and methods == wanted[cell[0]]
        and (not needs_pool or cell in pooled)
    }
    kept = Done(
        [row for row in episodes if _cell(row) in whole],
        [row for row in pools if _cell(row) in whole],
    )
    write_jsonl(out / EPISODES_FILE, kept.episodes)
    write_jsonl(out / POOLS_FILE, kept.pools)
    return kept


def _blocks(
    config: EvalConfig,
    cells: Mapping[Cell, tuple[int, str, Any]],
    kept: Done,
    size: int,
    parts: Parts,
) -> Iterator[Block]:
    """Blocks in an order that leaves every comparison its share if a run is cut.

    They are cut from all tasks, done or not: a task's tokens depend on those that it
    is played with, so a run that goes on must keep the company that each one had.
    """
    done = {_cell(row) for row in kept.episodes}
    runs: dict[tuple[int, str, int], dict[str, list[Any]]] = {}
    for cell, (env, group, task) in cells.items():
        groups = runs.setdefault((env, cell[1], cell[2]), {})
        groups.setdefault(group, []).append((cell, task))
    queues: list[list[Block]] = []
    for (env, policy, seed), groups in runs.items():
        placed = _evenly(groups)
        queue = []
        for i in range(0, len(placed), size):
            some = placed[i : i + size]
            left = [(group, task) for group, (cell, task) in some if cell not in done]
            queue.append(Block(config, env, policy, seed, left, parts))
        queues.append(queue)
    for turn in itertools.zip_longest(*queues):
        yield from (block for block in turn if block is not None and block.tasks)


def _evenly(groups: Mapping[str, Sequence[Any]]) -> list[tuple[str, Any]]:
    """Mix groups so that any first part holds about the same share of each."""
    placed = [
        ((i + 0.5) / len(tasks), group, task)
        for group, tasks in groups.items()
        for i, task in enumerate(tasks)
    ]
    placed.sort(key=lambda item: item[0])
    return [(group, task) for _, group, task in placed]


def _setup(digests: Mapping[str, str]) -> Callable[[Block], Done]:
    """Prepare a worker; the folders it finds must be those of the settings."""
    settle()
    for folder, digest in digests.items():
        check_digest(Path(folder), digest)
    return play


def _in_order(config: EvalConfig, rows: Done, cells: Mapping[Cell, Any]) -> Done:
    """The order of the settings, however the blocks came in."""
    place = {cell: i for i, cell in enumerate(cells)}
    models = [*config.reward_models]
    methods = [m.name for m in config.parsed]

    def at(row: Mapping[str, Any]) -> tuple[int, int, int]:
        rm = models.index(row["rm"]) if row["rm"] in models else -1
        return place[_cell(row)], methods.index(row["method"]), rm

    return Done(
        sorted(rows.episodes, key=at), sorted(rows.pools, key=lambda r: place[_cell(r)])
    )
