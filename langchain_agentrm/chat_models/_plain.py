"""Generation for models whose cache cannot be cut up: one row a sample, all encoded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from langchain_agentrm.chat_models._sampling import Keys, choose, uniforms

__all__ = ["generate_plain"]


def generate_plain(
    forward: Callable[..., Any],
    prompts: Sequence[Sequence[int]],
    sample: torch.Tensor,
    key: Keys,
    temperature: torch.Tensor,
    greedy: torch.Tensor,
    limit: torch.Tensor,
    ends: torch.Tensor,
    tokens: torch.Tensor,
    logprobs: torch.Tensor,
) -> None:
    """Grow one sample a row until all ended, with the model's own kind of cache.

    Args:
        forward: The causal language model.
        prompts: Token ids of each row.
        sample: [rows], which sample a row grows.
        key: [rows], random streams.
        temperature: [rows].
        greedy: [rows].
        limit: [rows], tokens that may come.
        ends: Tokens that end an answer.
        tokens: [samples, longest], -1 where nothing came; filled in.
        logprobs: [samples]; added to.
    """
    device = tokens.device
    longest = max(len(p) for p in prompts)
    ids = np.zeros((len(prompts), longest), dtype=np.int64)
    seen = np.zeros((len(prompts), longest), dtype=np.int64)
    for r, prompt in enumerate(prompts):
        ids[r, longest - len(prompt) :] = prompt
        seen[r, longest - len(prompt) :] = 1
    mask = torch.from_numpy(seen).to(device)
    length = mask.sum(1)
    position = (mask.cumsum(1) - 1).clamp(min=0)
    feed = torch.from_numpy(ids).to(device)
    cache = None
    alive = torch.ones(len(prompts), dtype=torch.bool, device=device)
    for step in range(tokens.shape[1]):
        output = forward(
            input_ids=feed,
            attention_mask=mask,
            position_ids=position,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        cache = output.past_key_values
        uniform = uniforms(key, step).to(device)
        token, logprob = choose(output.logits[:, -1], uniform, temperature, greedy)
        tokens[sample[alive], step] = token[alive]
        logprobs[sample[alive]] += logprob[alive]
        alive = alive & ~torch.isin(token, ends) & (step + 1 < limit)
        if not bool(alive.any()):
            return
        feed = token[:, None]
        mask = torch.cat([mask, mask.new_ones((len(prompts), 1))], dim=1)
        position = (length + step)[:, None]
