"""A trainer's folder: begun, gone on with, and reduced to the model at its end."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_agentrm._files import (
    MANIFEST,
    PART,
    new_model_folder,
    read_json,
    same_settings,
    write_json,
)
from langchain_agentrm.errors import CheckpointError

if TYPE_CHECKING:
    from transformers import Trainer

__all__ = [
    "CHECKPOINTS",
    "begin",
    "clean",
    "last_checkpoint",
    "save_best",
    "sort_adapter",
]

CHECKPOINTS = "checkpoints"
"""Subfolder that the trainer writes its checkpoints to."""

_SETTINGS = "settings.json"
_STATE = "trainer_state.json"
_ADAPTER = "adapter_config.json"


def begin(out: Path, settings: Mapping[str, Any]) -> None:
    """Begin a stage, or refuse to go on with one of other settings.

    Args:
        out: Its folder.
        settings: What it is asked to do.

    Raises:
        ConfigurationError: If it was begun with other settings.
    """
    path = out / _SETTINGS
    if path.exists():
        same_settings(read_json(path), settings, where=out.name)
    else:
        write_json(path, dict(settings))


def last_checkpoint(out: Path) -> str | None:
    """Find the last checkpoint that was written to its end.

    The trainer writes its state last, so that a folder without it, or with a
    part of it, was cut off.

    Args:
        out: The stage's folder.

    Returns:
        The checkpoint's folder; None to begin anew.
    """
    found = []
    for path in (out / CHECKPOINTS).glob("checkpoint-*"):
        try:
            read_json(path / _STATE)
        except CheckpointError:
            # Each process of several does this at once.
            shutil.rmtree(path, ignore_errors=True)
        else:
            found.append(path)
    if not found:
        return None
    return str(max(found, key=lambda path: int(path.name.rpartition("-")[2])))


def save_best(trainer: Trainer, card: Mapping[str, Any], out: Path) -> list[str]:
    """Save the model as it is, tokenizer and card beside it.

    Args:
        trainer: The trainer, after training.
        card: What `agentrm.json` says.
        out: The stage's folder.

    Returns:
        The files of weights.
    """
    if not trainer.is_world_process_zero():
        # All processes gather the weights; one of them writes.
        trainer.save_model(str(out / PART))
        return []
    with new_model_folder(out) as part:
        trainer.save_model(str(part))
        sort_adapter(part)
        # A pickle and an empty model card are not wanted in a model's folder.
        for name in ("training_args.bin", "README.md"):
            (part / name).unlink(missing_ok=True)
        write_json(part / "agentrm.json", dict(card))
        return sorted(path.name for path in part.glob("*.safetensors"))


def sort_adapter(folder: Path) -> None:
    """Put the layers that an adapter names in order, if there is an adapter.

    PEFT writes a set of them as it comes, which differs from process to process, and so
    would the folder's digest.

    Args:
        folder: Where the adapter was saved.
    """
    path = folder / _ADAPTER
    if not path.exists():
        return
    config = read_json(path)
    for name, value in config.items():
        if name.endswith("_modules") and isinstance(value, list):
            config[name] = sorted(value)
    write_json(path, config)


def clean(out: Path) -> None:
    """Drop what only an unfinished stage needs."""
    if (out / MANIFEST).exists():
        shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)
        (out / _SETTINGS).unlink(missing_ok=True)
