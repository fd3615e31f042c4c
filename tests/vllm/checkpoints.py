"""Tiny checkpoints for vLLM: heads of width 32, which its CPU build can run."""

from __future__ import annotations

import json
import shutil

import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaModel

from langchain_agentrm.testing.mini_checkpoint import write_mini_checkpoint

SIZE = {"hidden": 128, "context": 512}
BIAS = -0.75


def with_nan_token(source, out, token):
    """A copy whose embedding of one token is NaN, and so is every text that has it."""
    shutil.copytree(source, out)
    tensors = load_file(out / "model.safetensors")
    name = next(n for n in tensors if n.endswith("embed_tokens.weight"))
    tensors[name][token] = float("nan")
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    return out


def trl_value_head(folder):
    """A policy with TRL's value head beside it, which vLLM refuses as it is."""
    write_mini_checkpoint(folder, "policy", seed=3, **SIZE)
    tensors = load_file(folder / "model.safetensors")
    generator = torch.Generator().manual_seed(5)
    tensors["v_head.summary.weight"] = torch.randn(1, 128, generator=generator)
    tensors["v_head.summary.bias"] = torch.tensor([BIAS])
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    manifest = json.loads((folder / "agentrm.json").read_text())
    (folder / "agentrm.json").write_text(json.dumps({**manifest, "kind": "reward"}))
    return folder


def trl_values(folder, texts):
    """What that head says at the last token, from its definition."""
    tensors = load_file(folder / "model.safetensors")
    body = LlamaModel.from_pretrained(folder, dtype=torch.float32).eval()
    weight, bias = tensors["v_head.summary.weight"], tensors["v_head.summary.bias"]
    with torch.inference_mode():
        return [
            float(body(torch.tensor([ids])).last_hidden_state[0, -1] @ weight[0] + bias)
            for ids in texts
        ]
