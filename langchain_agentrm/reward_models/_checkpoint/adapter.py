"""LoRA adapters: what their folder holds, and which base they are for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from langchain_agentrm.errors import CheckpointError
from langchain_agentrm.reward_models._checkpoint.detect import is_head_key
from langchain_agentrm.reward_models._checkpoint.sources import find_folder, read_object
from langchain_agentrm.reward_models._checkpoint.weights import Tensor, read_header

__all__ = ["ADAPTER_WEIGHTS", "adapter_tensors", "base_folder", "is_adapter"]

ADAPTER_WEIGHTS = "adapter_model.safetensors"
_CONFIG = "adapter_config.json"
_PREFIX = "base_model.model."


def is_adapter(folder: Path) -> bool:
    """Tell whether a folder holds an adapter and not a whole model."""
    whole = (
        any(folder.glob("model*.safetensors")) and (folder / "config.json").is_file()
    )
    return (folder / _CONFIG).is_file() and not whole


def base_folder(adapter: Path, base: str | Path | None) -> Path:
    """Find the folder of an adapter's base model.

    Args:
        adapter: The adapter's folder.
        base: Folder or hub id that goes before what the adapter says.

    Returns:
        The base's folder.

    Raises:
        CheckpointError: If it is not to be had.
    """
    config = read_object(adapter / _CONFIG)
    kind = config.get("peft_type")
    if kind != "LORA":
        msg = f"{adapter / _CONFIG} says peft_type {kind!r}."
        raise CheckpointError(
            msg, remedy="Only LORA is merged here: merge it with peft and save it."
        )
    if base is not None:
        return find_folder(base, what="base model")
    said = config.get("base_model_name_or_path")
    if not said:
        msg = f"{adapter / _CONFIG} has no base_model_name_or_path."
        raise CheckpointError(msg, remedy="Give the base: base=FOLDER_OR_ID (--base).")
    beside = adapter / str(said)
    try:
        return find_folder(
            beside if beside.is_dir() else str(said),
            what="base model",
            revision=config.get("revision"),
        )
    except CheckpointError as error:
        msg = f"The base model {said!r}, which {adapter / _CONFIG} names, is not here."
        raise CheckpointError(
            msg, remedy=f"Give it with base=FOLDER_OR_ID (--base). {error}"
        ) from error


def adapter_tensors(adapter: Path, config: Mapping[str, Any]) -> dict[str, Tensor]:
    """Read the header of an adapter's weights.

    Args:
        adapter: The adapter's folder.
        config: The base's config.json.

    Returns:
        What each key names, without the adapter's prefix; `Tensor.key` is the whole
        key.

    Raises:
        CheckpointError: If the file is missing, or holds what cannot be merged.
    """
    file = adapter / ADAPTER_WEIGHTS
    if not file.is_file():
        msg = f"The adapter {str(adapter)!r} has no {ADAPTER_WEIGHTS}."
        raise CheckpointError(
            msg, remedy="Pickles are not read: save the adapter as safetensors."
        )
    tensors = {
        key.removeprefix(_PREFIX): replace(tensor, key=key)
        for key, tensor in read_header(file).items()
    }
    for key in sorted(tensors):
        low_rank, head = ".lora_" in key, is_head_key(key, config)
        if low_rank == head:
            what = "a LoRA of the head" if head else "neither LoRA nor head"
            msg = f"{file} holds {tensors[key].key!r}, which is {what}."
            raise CheckpointError(
                msg, remedy="Merge the adapter into its base with peft and save it."
            )
    return tensors
