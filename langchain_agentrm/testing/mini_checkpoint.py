"""A tiny random checkpoint, so that tests of local models need no download."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    PreTrainedTokenizerFast,
)

from langchain_agentrm.trajectory import SERIALIZER

__all__ = ["CHAT_TEMPLATE", "SPECIAL_TOKENS", "Broken", "write_mini_checkpoint"]

Broken = Literal["no_head", "pad_is_eos", "no_tokenizer", "other_serializer"]

SPECIAL_TOKENS = ("<pad>", "<|user|>", "<|assistant|>", "<|end|>")
"""Padding, the two turn openers and the end of a turn, with the ids 0 to 3."""

CHAT_TEMPLATE = (
    "{%- for m in messages -%}"
    "{%- if m['role'] == 'assistant' -%}<|assistant|>{{ m['content'] }}<|end|>"
    "{%- elif m['role'] != 'system' -%}<|user|>{{ m['content'] }}<|end|>"
    "{%- endif -%}{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}"
)
"""The chat template of all mini checkpoints; the system message is left out."""


def write_mini_checkpoint(
    folder: str | Path,
    kind: Literal["policy", "reward"] = "policy",
    seed: int = 0,
    broken: Broken | None = None,
    *,
    hidden: int = 32,
    layers: int = 2,
    context: int = 512,
    initializer_range: float = 0.3,
) -> Path:
    """Write a random Llama with a byte-level tokenizer as a safetensors folder.

    Args:
        folder: Where to write; made if missing.
        kind: A causal language model, or a reward model with one scalar head.
        seed: Seed of the weights.
        broken: Leave one thing out or make it wrong, for tests of the loaders.
        hidden: Width of the model.
        layers: Number of layers.
        context: Longest text it takes.
        initializer_range: Spread of the weights; the default tells texts well apart
            at small sizes.

    Returns:
        The folder.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer("<|end|>" if broken == "pad_is_eos" else "<pad>")
    end = tokenizer.convert_tokens_to_ids("<|end|>")
    pad = tokenizer.pad_token_id
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=hidden * 2,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        tie_word_embeddings=kind == "policy",
        initializer_range=initializer_range,
        pad_token_id=pad,
        bos_token_id=None,
        eos_token_id=end,
    )
    config.num_labels = 1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: LlamaForCausalLM | LlamaForSequenceClassification
        if kind == "policy" or broken == "no_head":
            model = LlamaForCausalLM(config)
            model.generation_config = GenerationConfig(
                do_sample=True, top_k=0, eos_token_id=end, pad_token_id=pad
            )
        else:
            model = LlamaForSequenceClassification(config)
    model.save_pretrained(folder)
    if broken != "no_tokenizer":
        tokenizer.save_pretrained(folder)
    serializer = "agentrm-v0" if broken == "other_serializer" else SERIALIZER
    manifest = {"serializer": serializer, "kind": kind, "seed": seed}
    (folder / "agentrm.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def _tokenizer(pad: str) -> PreTrainedTokenizerFast:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {t: i for i, t in enumerate([*SPECIAL_TOKENS, *alphabet])}
    core = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(
        add_prefix_space=False, use_regex=False
    )
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens(list(SPECIAL_TOKENS))
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=pad,
        eos_token=SPECIAL_TOKENS[3],
        additional_special_tokens=["<|user|>", "<|assistant|>"],
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    )
