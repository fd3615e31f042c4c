"""Stage `keep`: samples that show a reward model one part of the state only.

Source: AgentRM (ACL 2025), the ablation of the state into actions and observations.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field

from langchain_agentrm._files import (
    MANIFEST,
    file_digest,
    finished,
    write_jsonl,
    write_manifest,
)
from langchain_agentrm.errors import CheckpointError
from langchain_agentrm.reward_models.kept import BLANK, Keep, kept_turn
from langchain_agentrm.training._config import ReadConfig
from langchain_agentrm.training._sample_rows import (
    LabelledPath,
    TaskSamples,
    read_samples,
)
from langchain_agentrm.training.pool import POOL_FILE
from langchain_agentrm.trajectory import Turn

__all__ = ["KeepConfig", "keep_part"]


class KeepConfig(ReadConfig):
    """Settings of stage `keep`."""

    keep: Keep = Field(description="What is left of each turn; the goal always is.")

    def plain(self) -> dict[str, Any]:
        """Settings as plain JSON, without a seed: nothing is drawn."""
        out = super().plain()
        del out["seed"]
        return out


def keep_part(
    config: KeepConfig, samples: Path, out: Path, *, pool: Path | None = None
) -> dict[str, Any]:
    """Blank the actions or the observations of samples, and of a pool beside them.

    Labels stay as they are. In search, `reward_models.KeptRewardModel` shows a reward
    model that was trained on these files the same.

    Args:
        config: Settings.
        samples: Folder of stage `samples`.
        out: Output folder; gets the files of both folders under their names.
        pool: Folder of stage `pool`, by which stage `rm` chooses its checkpoint.

    Returns:
        The manifest.

    Raises:
        CheckpointError: If a folder holds no finished stage, or a row is malformed.
    """
    folders = {"samples": samples}
    if pool is not None:
        folders["pool"] = pool
    for name, folder in folders.items():
        if not (folder / MANIFEST).exists():
            msg = f"{folder} holds no finished stage `{name}`."
            raise CheckpointError(msg, remedy="Run that stage, then this one again.")
    inputs = {name: file_digest(at / MANIFEST) for name, at in folders.items()}
    settings = {**config.plain(), "inputs": inputs}
    done = finished(out, settings)
    if done is not None:
        return done
    began = time.monotonic()
    counts = {}
    for path in _files(samples, pool):
        tasks = read_samples(path, on_bad=config.on_bad_row)
        rows = (kept_task(config.keep, task).plain() for task in tasks)
        counts[path.name] = write_jsonl(out / path.name, rows)
    return write_manifest(
        out,
        stage="kept-part",
        config=settings,
        inputs=inputs,
        counts=counts,
        seconds=time.monotonic() - began,
        outputs=[*counts],
    )


def kept_task(keep: Keep, task: TaskSamples) -> TaskSamples:
    """Blank one part of all turns of a task's paths."""

    def path(whole: LabelledPath) -> LabelledPath:
        steps = [
            # An observation here is the one after the action; both are blanked alike.
            (kept.action, kept.observation)
            for action, after in whole.steps
            for kept in [kept_turn(keep, Turn(after, action))]
        ]
        return replace(whole, steps=steps)

    return replace(
        task,
        observation=BLANK if keep == "action" else task.observation,
        paths=[path(whole) for whole in task.paths],
    )


def _files(samples: Path, pool: Path | None) -> Iterator[Path]:
    yield samples / "train.jsonl"
    yield samples / "val.jsonl"
    held_out = samples / "held_out.jsonl"
    if held_out.exists():
        yield held_out
    if pool is not None:
        yield pool / POOL_FILE
