"""What safetensors files hold, from their headers: no tensor is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

from langchain_agentrm.errors import CheckpointError
from langchain_agentrm.reward_models._checkpoint.sources import read_object

__all__ = ["Tensor", "dtype_of", "parameters", "read_header", "read_weights"]

_SINGLE = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_PICKLES = (".bin", ".pt", ".pth", ".ckpt")
_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
}


@dataclass(frozen=True, slots=True)
class Tensor:
    """Where a tensor lies and what it is: its file, key, shape and stored dtype."""

    file: Path
    key: str
    shape: tuple[int, ...]
    dtype: str


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Read the headers of a folder's weights, of all shards.

    Args:
        folder: The checkpoint folder.

    Returns:
        What each key names.

    Raises:
        CheckpointError: If there are no safetensors, a shard is missing, or a file is
            damaged.
    """
    if (folder / _INDEX).is_file():
        return _sharded(folder)
    if (folder / _SINGLE).is_file():
        return read_header(folder / _SINGLE)
    loose = sorted(f.name for f in folder.glob("model-*-of-*.safetensors"))
    if loose:
        msg = f"{str(folder)!r} holds {loose[0]} but no {_INDEX}."
        raise CheckpointError(
            msg, remedy="Copy the index file from where the shards come from."
        )
    pickles = sorted(f.name for f in folder.iterdir() if f.suffix in _PICKLES)
    if pickles:
        msg = (
            f"{str(folder)!r} holds its weights as pickles only ({', '.join(pickles)}),"
            " which can run code when they are read."
        )
        raise CheckpointError(
            msg,
            remedy="Convert them to safetensors: load the model on a machine that you "
            "can lose and save it with save_pretrained.",
        )
    msg = f"{str(folder)!r} has no {_SINGLE} and no {_INDEX}."
    raise CheckpointError(
        msg, remedy="Only safetensors are read; save the model with save_pretrained."
    )


def read_header(file: Path) -> dict[str, Tensor]:
    """Read one file's header.

    Args:
        file: A safetensors file.

    Returns:
        What each key names.

    Raises:
        CheckpointError: If the file is cut off, or is no safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as opened:
            slices = {key: opened.get_slice(key) for key in opened.keys()}  # noqa: SIM118 - no mapping
            return {
                key: Tensor(file, key, tuple(s.get_shape()), str(s.get_dtype()))
                for key, s in slices.items()
            }
    except (SafetensorError, OSError) as error:
        msg = f"{file} is damaged or no safetensors file: {error}."
        raise CheckpointError(
            msg, remedy="Copy or download it again; compare its size."
        ) from error


def dtype_of(tensors: Mapping[str, Tensor]) -> str:
    """Name the dtype that holds most of the numbers, as torch calls it."""
    totals: dict[str, int] = {}
    for tensor in tensors.values():
        totals[tensor.dtype] = totals.get(tensor.dtype, 0) + prod(tensor.shape)
    most = max(totals, key=lambda name: totals[name], default="")
    return _DTYPES.get(most, most.lower())


def parameters(tensors: Mapping[str, Tensor]) -> int:
    """Count the numbers in some tensors."""
    return sum(prod(tensor.shape) for tensor in tensors.values())


def _sharded(folder: Path) -> dict[str, Tensor]:
    index = folder / _INDEX
    places = read_object(index).get("weight_map")
    if not isinstance(places, dict) or not places:
        msg = f"{index} has no weight_map."
        raise CheckpointError(msg, remedy="Copy the index file again.")
    found: dict[str, Tensor] = {}
    for name in sorted({str(name) for name in places.values()}):
        # A name with a folder in it could point anywhere on this machine.
        if Path(name).name != name:
            msg = f"{index} names the shard {name!r}, which is not a plain file name."
            raise CheckpointError(msg, remedy="Do not use this checkpoint.")
        if not (folder / name).is_file():
            keys = sum(1 for place in places.values() if place == name)
            msg = f"The shard {folder / name} is missing; {index.name} puts {keys} "
            msg += "tensors into it."
            raise CheckpointError(msg, remedy="Copy or download the missing shard.")
        found.update(read_header(folder / name))
    lost = sorted(key for key in places if key not in found)
    if lost:
        msg = f"{folder / places[lost[0]]} lacks {lost[0]!r}, which {index.name} "
        msg += f"promises ({len(lost)} such keys)."
        raise CheckpointError(msg, remedy="Copy or download the shards again.")
    return found
