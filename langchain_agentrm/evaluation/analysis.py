"""A reward model held against labelled states: errors, order of siblings, calibration.

A high correlation over all states says little for search: most of it is how far an
episode has come. What search asks is which of the siblings of one state is best.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import Field

from langchain_agentrm._files import (
    append_jsonl,
    file_digest,
    finished,
    folder_digest,
    same_settings,
    write_json,
    write_jsonl,
    write_manifest,
)
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.evaluation._offline_figures import Scored, analyse
from langchain_agentrm.reward_models.base import RewardModel
from langchain_agentrm.training._config import Progress, ReadConfig, silent
from langchain_agentrm.training.samples import TaskSamples, read_samples
from langchain_agentrm.trajectory import Trajectory, Turn

__all__ = [
    "OFFLINE_FILE",
    "SCORED_FILE",
    "OfflineConfig",
    "Scored",
    "analyse",
    "analyse_offline",
]

OFFLINE_FILE = "offline.json"
"""Figures of one reward model on one sample file."""

SCORED_FILE = "scored.jsonl"
"""One row a labelled state, with the reward model's score."""

_BATCH = 20


class OfflineConfig(ReadConfig):
    """Settings of `analyse_offline`."""

    reward_model: str = Field(description="Folder, hub id, vllm: or judge:.")
    base_url: str | None = Field(default=None, description="Its server.")
    name: str = Field(default="rm", description="Its name in reports.")
    gap: float = Field(
        default=0.1, ge=0, description="Least difference of siblings' values."
    )
    tasks: int | None = Field(default=None, ge=1, description="First tasks only.")


def analyse_offline(
    config: OfflineConfig,
    samples: Path,
    out: Path,
    *,
    reward_model: RewardModel | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Score every labelled state of a sample file and say how good the scores are.

    Args:
        config: Settings.
        samples: A file of stage `samples`, such as `val.jsonl`.
        out: Output folder; a stopped run goes on there.
        reward_model: The reward model; by default the one that the settings name.
        progress: Told about each batch of tasks.

    Returns:
        The manifest.

    Raises:
        ConfigurationError: If the folder was made with other settings, or nothing could
            be scored.
    """
    inputs = {"samples": file_digest(samples)}
    folder = Path(config.reward_model.removeprefix("local:"))
    if folder.is_dir():
        inputs["reward_model"] = folder_digest(folder)
    settings = {**config.plain(), "inputs": inputs}
    done = finished(out, settings)
    if done is not None:
        return done
    began = time.monotonic()
    tasks = read_samples(samples, on_bad=config.on_bad_row)
    # Only now: what cannot be read must not bind the folder to these settings.
    _hold(settings, out)
    if reward_model is None:
        from langchain_agentrm.reward_models.factory import reward_model as make

        reward_model = make(config.reward_model, base_url=config.base_url)
    rows = _score(
        config,
        tasks,
        out / SCORED_FILE,
        reward_model,
        progress,
    )
    failed = sum(row.score is None for row in rows)
    if failed == len(rows):
        msg = f"{config.name} scored none of {len(rows)} states of {samples}."
        raise ConfigurationError(
            msg, remedy="Give a sample file with labels and a model that reads them."
        )
    figures = analyse(rows, gap=config.gap, comparable=reward_model.comparable)
    write_json(out / OFFLINE_FILE, {"reward_model": config.name, **figures})
    return write_manifest(
        out,
        stage="offline",
        config=settings,
        inputs=inputs,
        counts={"states": len(rows), "failed": failed},
        seconds=time.monotonic() - began,
        outputs=[OFFLINE_FILE, SCORED_FILE],
    )


def _hold(settings: Mapping[str, Any], out: Path) -> None:
    path = out / "settings.json"
    if path.exists():
        same_settings(json.loads(path.read_text()), settings, where=out.name)
    else:
        write_json(path, settings)


def _score(
    config: OfflineConfig,
    tasks: Sequence[TaskSamples],
    path: Path,
    reward_model: RewardModel,
    progress: Progress,
) -> list[Scored]:
    tasks = tasks[: config.tasks]
    rows = _kept(path)
    seen = {row.task for row in rows}
    todo = [task for task in tasks if task.task["id"] not in seen]
    for i in range(0, len(todo), _BATCH):
        made = list(_scored(todo[i : i + _BATCH], reward_model))
        rows += made
        append_jsonl(path, map(asdict, made))
        progress(len(tasks) - len(todo) + min(len(todo), i + _BATCH), len(tasks))
    return rows


def _kept(path: Path) -> list[Scored]:
    """Rows of whole tasks: the last one may be a part, so it is scored again."""
    rows = []
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                rows.append(Scored(**json.loads(line)))
            except (ValueError, TypeError):
                break
    last = rows[-1].task if rows else ""
    rows = [row for row in rows if row.task != last]
    write_jsonl(path, [asdict(row) for row in rows])
    return rows


def _scored(
    tasks: Sequence[TaskSamples], reward_model: RewardModel
) -> Iterator[Scored]:
    asked: list[tuple[TaskSamples, Trajectory, int, float]] = []
    for task in tasks:
        for path in task.paths:
            seen = task.observation
            turns: tuple[Turn, ...] = ()
            for (action, after), label in zip(path.steps, path.labels, strict=True):
                turns = (*turns, Turn(seen, action))
                seen = after
                if label is not None:
                    trajectory = Trajectory(
                        turns,
                        goal=task.goal,
                        instruction=task.instruction,
                        task=task.task,
                        group=f"{task.task['id']}|{_parent(turns)}",
                    )
                    asked.append((task, trajectory, label[1], label[0]))
    scores = reward_model.score([t for _, t, _, _ in asked]).items
    for (task, trajectory, n, value), score in zip(asked, scores, strict=True):
        turns = trajectory.turns
        yield Scored(
            task.task["env"],
            task.task["type"],
            task.task["id"],
            _parent(turns),
            len(turns),
            len(task.goal) + sum(len(t.observation) + len(t.action) for t in turns),
            n,
            value,
            score.value,
        )


def _parent(turns: Sequence[Turn]) -> str:
    return "\x1f".join(turn.action for turn in turns[:-1])
