"""Reading model folders: safetensors only, none of their code, nothing missing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from langchain_agentrm.errors import CheckpointError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["checked_folder", "load_tokenizer", "placement", "turn_ends"]

_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")


def checked_folder(path: str | Path) -> Path:
    """Check that a folder holds a config and safetensors weights.

    Args:
        path: The checkpoint folder.

    Returns:
        The folder.

    Raises:
        CheckpointError: If the folder or one of the files is missing.
    """
    folder = Path(path)
    if not folder.is_dir():
        msg = f"There is no checkpoint folder {str(path)!r}."
        raise CheckpointError(
            msg, remedy="Give the folder that holds config.json and the weights."
        )
    if not (folder / "config.json").is_file():
        msg = f"The checkpoint {str(path)!r} has no config.json."
        raise CheckpointError(msg, remedy="Save it with save_pretrained.")
    if not any((folder / name).is_file() for name in _WEIGHTS):
        msg = f"The checkpoint {str(path)!r} has no {_WEIGHTS[0]}."
        raise CheckpointError(
            msg,
            remedy="Only safetensors are read; save the model with save_pretrained.",
        )
    return folder


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Load a checkpoint's own tokenizer.

    Args:
        folder: The checkpoint folder.

    Returns:
        The tokenizer, with a chat template.

    Raises:
        CheckpointError: If there is no tokenizer or no chat template.
    """
    from transformers import AutoTokenizer

    remedy = "Save the tokenizer that the model was trained with into the folder."
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True
        )
    except (OSError, ValueError) as error:
        msg = f"The checkpoint {str(folder)!r} has no tokenizer that loads."
        raise CheckpointError(msg, remedy=remedy) from error
    if not tokenizer.chat_template:
        msg = f"The tokenizer of {str(folder)!r} has no chat template."
        raise CheckpointError(msg, remedy=remedy)
    return tokenizer


def placement(
    device: str | None, dtype: str | None
) -> tuple[torch.device, torch.dtype]:
    """Decide where a model lives and in which precision.

    Args:
        device: A torch device, or None for the GPU where there is one.
        dtype: Name of a torch dtype, or None for float32 on a CPU and bfloat16 else.

    Returns:
        Device and dtype.

    Raises:
        CheckpointError: If the dtype has no such name.
    """
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if dtype is None:
        return place, torch.float32 if place.type == "cpu" else torch.bfloat16
    kind = getattr(torch, dtype.removeprefix("torch."), None)
    if not isinstance(kind, torch.dtype) or not kind.is_floating_point:
        msg = f"There is no floating-point dtype {dtype!r}."
        raise CheckpointError(msg, remedy="Use float32, bfloat16 or float16.")
    return place, kind


def turn_ends(tokenizer: PreTrainedTokenizerBase, *configs: object) -> set[int]:
    """Ids of the tokens that can end a turn, from tokenizer and configs."""
    ends: set[int] = set()
    for source in (tokenizer, *configs):
        value = getattr(source, "eos_token_id", None)
        if isinstance(value, int):
            ends.add(value)
        elif isinstance(value, list | tuple):
            ends.update(int(v) for v in value)
    return ends
