"""Tiny random reward models in every layout in which they are published."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
)

from langchain_agentrm.testing.mini_checkpoint import write_mini_checkpoint

HIDDEN = 32
STEP = "<extra_0>"

_GROUPED: dict[str, Any] = {"num_key_value_heads": 2, "head_dim": 8}
FAMILIES: dict[str, dict[str, Any]] = {
    "gpt2": {},
    "qwen2": {"num_key_value_heads": 2},
    "qwen3": _GROUPED,
    "mistral": {**_GROUPED, "sliding_window": 4},
    "gemma2": {**_GROUPED, "sliding_window": 4},
    "gemma3_text": {**_GROUPED, "sliding_window": 4},
    "roberta": {},
    "deberta-v2": {"pooler_hidden_size": HIDDEN},
    "modernbert": {"cls_token_id": 1, "sep_token_id": 3},
}
"""Other families, with what their configs need besides."""


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    """All tensors of a folder with one weights file."""
    return load_file(folder / "model.safetensors")


def save_weights(folder: Path, weights: dict[str, torch.Tensor]) -> None:
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def edit_config(folder: Path, **changes: Any) -> None:
    """Change config.json; None takes a key out."""
    file = folder / "config.json"
    config = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({k: v for k, v in config.items() if v is not None}))


def numbers(*shape: int, seed: int = 7) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 0.3


def body(folder: Path, extra: dict[str, torch.Tensor], **config: Any) -> Path:
    """A mini policy's body with another head and config."""
    write_mini_checkpoint(folder, "policy")
    save_weights(folder, {**weights_of(folder), **extra})
    edit_config(folder, **config)
    return folder


def sequence(folder: Path) -> Path:
    return write_mini_checkpoint(folder, "reward")


def two_classes(folder: Path) -> Path:
    head = {"score.weight": numbers(2, HIDDEN)}
    body(folder, head, architectures=["LlamaForSequenceClassification"])
    return _two_labels(folder)


def trl(folder: Path) -> Path:
    head = {
        "v_head.summary.weight": numbers(1, HIDDEN),
        "v_head.summary.bias": torch.tensor([0.7]),
    }
    return body(folder, head)


def llama_factory(folder: Path) -> Path:
    body(folder, {})
    head = {
        "v_head.summary.weight": numbers(1, HIDDEN),
        "v_head.summary.bias": torch.tensor([-0.4]),
    }
    save_file(head, folder / "value_head.safetensors", metadata={"format": "pt"})
    return folder


def openrlhf(folder: Path) -> Path:
    return body(
        folder,
        {"value_head.weight": numbers(1, HIDDEN)},
        architectures=["LlamaForSequenceClassification"],
        value_head_prefix="value_head",
        normalize_reward=True,
        mean=0.5,
        std=2.0,
    )


def regression(folder: Path) -> Path:
    head = {"regression_head.weight": numbers(1, HIDDEN)}
    return body(folder, head, architectures=["LlamaRewardModel"])


def v_head(folder: Path) -> Path:
    return body(
        folder,
        {"v_head.weight": numbers(1, HIDDEN)},
        architectures=["RewardModel"],
        auto_map={"AutoModel": "modeling_own.RewardModel"},
    )


def _mlp(rows: int) -> dict[str, torch.Tensor]:
    return {
        "score.0.weight": numbers(HIDDEN, HIDDEN),
        "score.0.bias": numbers(HIDDEN, seed=8),
        "score.2.weight": numbers(rows, HIDDEN, seed=9),
        "score.2.bias": numbers(rows, seed=10),
    }


def qwen_rm(folder: Path) -> Path:
    return body(
        folder,
        _mlp(1),
        architectures=["Qwen2ForRewardModel"],
        auto_map={"AutoModel": "modeling_own.Reward"},
    )


def qwen_prm(folder: Path) -> Path:
    body(folder, _mlp(2), architectures=["Qwen2ForProcessRewardModel"])
    with_step_token(folder)
    return folder


def token_prm(folder: Path) -> Path:
    head = {"score.weight": numbers(2, HIDDEN), "score.bias": numbers(2, seed=11)}
    body(folder, head, architectures=["LlamaForTokenClassification"])
    return _two_labels(folder)


def _two_labels(folder: Path) -> Path:
    # transformers writes no labels where there are two.
    edit_config(folder, id2label=None, label2id=None)
    return folder


def encoder(folder: Path) -> Path:
    write_mini_checkpoint(folder, "policy")
    config = BertConfig(
        vocab_size=260,
        hidden_size=HIDDEN,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=512,
        num_labels=1,
        initializer_range=0.3,
        pad_token_id=0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = BertForSequenceClassification(config)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink()
    return folder


def backbone(folder: Path) -> Path:
    """As the 8B AgentRM was released: a body with neither head nor tokenizer."""
    write_mini_checkpoint(folder, "policy", broken="no_tokenizer")
    kept = {
        key.removeprefix("model."): tensor
        for key, tensor in weights_of(folder).items()
        if key != "lm_head.weight"
    }
    save_weights(folder, kept)
    edit_config(folder, architectures=["LlamaModel"])
    return folder


def family(folder: Path, model_type: str) -> Path:
    """A classifier of another family with the mini checkpoint's tokenizer."""
    write_mini_checkpoint(folder, "policy")
    (folder / "generation_config.json").unlink()
    config = AutoConfig.for_model(
        model_type,
        vocab_size=260,
        hidden_size=HIDDEN,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=128,
        initializer_range=0.3,
        num_labels=1,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=3,
        **FAMILIES[model_type],
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForSequenceClassification.from_config(config)
    model.save_pretrained(folder)
    return folder


def with_step_token(folder: Path) -> None:
    """Give tokenizer and embedding one more token, for the end of a step."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": [STEP]})
    tokenizer.save_pretrained(folder)
    weights = weights_of(folder)
    table = weights["model.embed_tokens.weight"]
    weights["model.embed_tokens.weight"] = torch.cat([table, numbers(1, HIDDEN)])
    save_weights(folder, weights)
    edit_config(folder, vocab_size=len(table) + 1)


def shard(folder: Path, parts: int = 3) -> Path:
    """Split a folder's weights over files, with an index."""
    weights = weights_of(folder)
    (folder / "model.safetensors").unlink()
    places = {}
    for number in range(parts):
        name = f"model-{number + 1:05d}-of-{parts:05d}.safetensors"
        own = dict(list(weights.items())[number::parts])
        save_file(own, folder / name, metadata={"format": "pt"})
        places |= dict.fromkeys(own, name)
    index = {"metadata": {}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def lora(folder: Path, base: Path, *, head: bool = True, rank: int = 4) -> Path:
    """An adapter for the query and value projections, written as peft writes it."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "peft_type": "LORA",
        "task_type": "SEQ_CLS",
        "base_model_name_or_path": str(base),
        "r": rank,
        "lora_alpha": 8,
        "target_modules": ["q_proj", "v_proj"],
        "modules_to_save": ["classifier", "score"],
        "bias": "none",
    }
    (folder / "adapter_config.json").write_text(json.dumps(config))
    tensors = {}
    seed = 20
    for key, tensor in weights_of(base).items():
        if key.endswith(("q_proj.weight", "v_proj.weight")):
            rows, columns = tensor.shape
            stem = f"base_model.model.{key.removesuffix('.weight')}"
            tensors[f"{stem}.lora_A.weight"] = numbers(rank, columns, seed=seed)
            tensors[f"{stem}.lora_B.weight"] = numbers(rows, rank, seed=seed + 1)
            seed += 2
    if head:
        tensors["base_model.model.score.weight"] = numbers(1, HIDDEN, seed=99)
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    return folder


def copy(source: Path, target: Path) -> Path:
    shutil.copytree(source, target)
    return target


WRITERS = {
    "sequence": sequence,
    "two_classes": two_classes,
    "trl": trl,
    "llama_factory": llama_factory,
    "openrlhf": openrlhf,
    "regression": regression,
    "v_head": v_head,
    "qwen_rm": qwen_rm,
    "qwen_prm": qwen_prm,
    "token_prm": token_prm,
    "encoder": encoder,
}
"""Every layout that loads, by name."""
