"""Attention heads that vLLM's CPU build cannot run, padded to a width that it can.

Its attention kernels know a few head widths; with another one the server starts,
answers its health check and dies of the first request. Zeros appended to the heads
change no score once two things are put right: the softmax scale, which follows from
the width (undone in the query weights), and the rotary frequencies theta^(-2i/width)
(undone by another theta).
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_agentrm._files import read_json
from langchain_agentrm.errors import CheckpointError

if TYPE_CHECKING:
    import torch

__all__ = ["CPU_WIDTHS", "head_width", "widen"]

CPU_WIDTHS = (32, 64, 80, 96, 112, 128, 160, 192, 224, 256, 512)
"""Head widths of the CPU kernels of vLLM 0.32."""

# Families with plain rotary embeddings and no norm inside the heads.
_FAMILIES = ("llama", "mistral", "qwen2")


def head_width(config: dict[str, Any]) -> int | None:
    """Width of an attention head, from a config.json; None if it does not say."""
    text = config.get("text_config") or config
    if text.get("head_dim"):
        return int(text["head_dim"])
    size, heads = text.get("hidden_size"), text.get("num_attention_heads")
    return int(size) // int(heads) if size and heads else None


def widen(folder: Path, out: Path) -> Path:
    """Write a checkpoint whose heads have a width that vLLM's CPU build can run.

    Args:
        folder: A checkpoint folder, safetensors.
        out: Where to write; made if missing. Weights become float32, since the factor
            in the queries is not exact in less.

    Returns:
        The folder written.

    Raises:
        CheckpointError: If this model's heads cannot be padded.
    """
    import torch
    from safetensors.torch import load_file, save_file

    config = read_json(folder / "config.json")
    old = head_width(config) or 0
    new = _target(folder, config, old)
    out.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, torch.Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        tensors |= load_file(file)
    padded = {
        name: _padded(name, tensor.to(torch.float32), old, new)
        for name, tensor in tensors.items()
    }
    save_file(padded, out / "model.safetensors", metadata={"format": "pt"})
    for file in folder.iterdir():
        if file.is_file() and not file.name.startswith(("model", "config.json")):
            (out / file.name).write_bytes(file.read_bytes())
    config |= {"head_dim": new, "dtype": "float32", "torch_dtype": "float32"}
    rope = config.get("rope_parameters")
    holder = rope if isinstance(rope, dict) and "rope_theta" in rope else config
    theta = float(holder.get("rope_theta", 10_000.0))
    holder["rope_theta"] = theta ** (new / old)
    (out / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
    return out


def _target(folder: Path, config: dict[str, Any], old: int) -> int:
    new = next((w for w in CPU_WIDTHS if w >= old), 0)
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    plain = rope.get("rope_type", rope.get("type", "default")) == "default"
    family = config.get("model_type")
    if old and new and old % 2 == 0 and family in _FAMILIES and plain:
        return new
    known = ", ".join(map(str, CPU_WIDTHS))
    msg = (
        f"{str(folder)!r} ({family}) has attention heads of width {old}; vLLM's CPU "
        f"build runs the widths {known}."
    )
    raise CheckpointError(
        msg, remedy="Score it in process with AgentRM, or serve it from a GPU."
    )


def _padded(name: str, tensor: torch.Tensor, old: int, new: int) -> torch.Tensor:
    parts = name.split(".")
    layer = parts[-2] if len(parts) > 1 else ""
    if layer not in {"q_proj", "k_proj", "v_proj", "o_proj"}:
        return tensor.contiguous()
    if layer == "o_proj":
        # An output bias has no heads in it.
        return (
            tensor if parts[-1] == "bias" else _rows(tensor.T, old, new).T.contiguous()
        )
    if layer == "v_proj":
        return _rows(tensor, old, new)
    # Rotary pairs are half a width apart: each half is padded by itself.
    halves = _rows(tensor, old // 2, new // 2)
    return halves * math.sqrt(new / old) if layer == "q_proj" else halves


def _rows(tensor: torch.Tensor, old: int, new: int) -> torch.Tensor:
    # Zero rows after every `old` rows, so that there are `new` of them.
    groups = tensor.reshape(tensor.shape[0] // old, old, *tensor.shape[1:])
    out = groups.new_zeros(groups.shape[0], new, *tensor.shape[1:])
    out[:, :old] = groups
    return out.reshape(-1, *tensor.shape[1:]).contiguous()
