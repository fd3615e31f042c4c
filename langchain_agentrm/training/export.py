"""Small copies of policy and reward model, to be shipped inside a package."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from langchain_agentrm._files import (
    MANIFEST,
    file_digest,
    read_json,
    write_json,
    write_manifest,
)
from langchain_agentrm.errors import CheckpointError

__all__ = ["export_mini"]

_COPIED = (
    "agentrm.json",
    "chat_template.jinja",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
)


def export_mini(policy_dir: Path, rm_dir: Path, out: Path) -> dict[str, Path]:
    """Save both models in bfloat16, each with a manifest that names its origin.

    Args:
        policy_dir: Folder of the policy.
        rm_dir: Folder of the reward model.
        out: Gets the folders `policy` and `rm`.

    Returns:
        The two folders, by name.

    Raises:
        CheckpointError: If a folder holds no safetensors.
    """
    made = {}
    for name, source in (("policy", policy_dir), ("rm", rm_dir)):
        made[name] = out / name
        _export(source, made[name])
    return made


def _export(source: Path, out: Path) -> None:
    began = time.monotonic()
    weights = source / "model.safetensors"
    if not weights.exists():
        msg = f"{source} holds no model.safetensors."
        raise CheckpointError(msg, remedy="Finish its stage first.")
    out.mkdir(parents=True, exist_ok=True)
    tensors = {
        name: tensor.to(torch.bfloat16).contiguous()
        for name, tensor in load_file(weights).items()
    }
    part = out / ".part.safetensors"
    save_file(tensors, part, metadata={"format": "pt"})
    part.chmod(0o644)
    # safetensors makes files that only their owner reads.
    part.chmod(0o644)
    part.replace(out / weights.name)
    config = read_json(source / "config.json")
    config["dtype"] = "bfloat16"
    write_json(out / "config.json", config)
    copied = [name for name in _COPIED if (source / name).exists()]
    for name in copied:
        shutil.copyfile(source / name, out / name)
    origin = source / MANIFEST
    recorded = read_json(origin) if origin.exists() else {}
    write_manifest(
        out,
        stage="export",
        config={"seed": recorded.get("seed"), "dtype": "bfloat16"},
        inputs={"weights": file_digest(weights), **recorded.get("inputs", {})},
        counts={
            "parameters": sum(tensor.numel() for tensor in tensors.values()),
            "bytes": (out / weights.name).stat().st_size,
            "training": recorded.get("counts", {}),
        },
        seconds=time.monotonic() - began,
        outputs=[weights.name, "config.json", *copied],
    )
