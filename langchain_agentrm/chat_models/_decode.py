"""Growing many answers at once: one row a prompt, its samples side by side in the row.

The samples of a prompt are several query positions over one copy of the prompt's keys
and values; a mask lets each see the prompt and its own tokens only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers.cache_utils import DynamicCache, DynamicLayer

from langchain_agentrm.chat_models._sampling import Keys, choose, uniforms

__all__ = ["Room", "Wave", "decode"]

_DEAD = 0.7  # share of live cells below which finished samples are taken out


class Room(DynamicLayer):
    """A cache layer that is filled in place, so that no step copies the whole of it."""

    keys: torch.Tensor
    values: torch.Tensor

    def __init__(self, shape: tuple[int, ...], like: torch.Tensor, used: int) -> None:
        """Make room.

        Args:
            shape: Rows, heads, columns, dim.
            like: A tensor of the dtype and device wanted.
            used: Columns that count as filled.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self.lazy_initialization(like, like)
        self.keys = like.new_zeros(shape)
        self.values = like.new_zeros(shape)
        self.used = used

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        *_args: Any,
        **_kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write new columns and return all that are filled."""
        end = self.used + key_states.shape[2]
        self.keys[:, :, self.used : end] = key_states
        self.values[:, :, self.used : end] = value_states
        self.used = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def get_seq_length(self) -> int:
        """Count the filled columns."""
        return self.used

    def keep_rows(self, rows: torch.Tensor) -> None:
        """Drop all other rows."""
        self.keys = self.keys[rows]
        self.values = self.values[rows]


@dataclass(slots=True)
class Wave:
    """Prompts that grow together, `width` samples a row.

    Attributes:
        cache: Prompts' keys and values, aligned right.
        logits: [rows, vocabulary] after each prompt.
        length: [rows], tokens of each prompt.
        columns: Columns of the cache that prompts take.
        sample: [rows, width]: which sample a cell grows; -1 for an unused cell.
        key: [rows, width]: random stream of the cell.
        temperature: [rows, width].
        greedy: [rows, width].
        limit: [rows], tokens that may come.
    """

    cache: DynamicCache
    logits: torch.Tensor
    length: torch.Tensor
    columns: int
    sample: torch.Tensor
    key: Keys
    temperature: torch.Tensor
    greedy: torch.Tensor
    limit: torch.Tensor


def decode(
    forward: Callable[..., Any],
    wave: Wave,
    ends: torch.Tensor,
    tokens: torch.Tensor,
    logprobs: torch.Tensor,
) -> None:
    """Grow a wave until every sample ended.

    Args:
        forward: The causal language model.
        wave: What to grow; used up.
        ends: Tokens that end an answer.
        tokens: [samples, longest], -1 where nothing came; filled in.
        logprobs: [samples]; added to.
    """
    device = tokens.device
    rows, width = wave.sample.shape
    alive = wave.sample >= 0
    cell = torch.arange(width, device=device).expand(rows, -1)
    prompt = (
        torch.arange(wave.columns, device=device) >= wave.columns - wave.length[:, None]
    )
    owner = cell[:, :0]
    logits = wave.logits[:, None].expand(-1, width, -1)
    for step in range(tokens.shape[1]):
        rows, width = wave.sample.shape
        uniform = uniforms(wave.key.reshape(-1), step).to(device)
        chosen, logprob = choose(
            logits.reshape(rows * width, -1),
            uniform,
            wave.temperature.reshape(-1),
            wave.greedy.reshape(-1),
        )
        token = chosen.view(rows, width)
        growing = wave.sample[alive]
        tokens[growing, step] = token[alive]
        logprobs[growing] += logprob.view(rows, width)[alive]
        alive = alive & ~torch.isin(token, ends) & (step + 1 < wave.limit)[:, None]
        live = alive.sum(1)
        top = int(live.max())
        if not top:
            return
        keep = live > 0
        if int(keep.sum()) * top <= _DEAD * rows * width:
            row = keep.nonzero()[:, 0]
            # Live cells first; those that fill up to the widest row stay dead.
            order = alive[row].int().argsort(dim=1, descending=True, stable=True)
            order = order[:, :top]
            _compact(wave, row, order)
            token, alive, cell = (x[row].gather(1, order) for x in (token, alive, cell))
            prompt, owner = prompt[row], owner[row]
        owner = torch.cat([owner, cell], dim=1)
        mask = torch.cat(
            [
                prompt[:, None].expand(-1, cell.shape[1], -1),
                owner[:, None, :] == cell[:, :, None],
            ],
            dim=2,
        )
        logits = forward(
            input_ids=token,
            attention_mask=mask[:, None],
            position_ids=(wave.length + step)[:, None].expand_as(token),
            past_key_values=wave.cache,
            use_cache=True,
        ).logits


def _compact(wave: Wave, row: torch.Tensor, order: torch.Tensor) -> None:
    for layer in wave.cache.layers:
        if isinstance(layer, Room):
            layer.keep_rows(row)
    wave.length, wave.limit = wave.length[row], wave.limit[row]
    wave.sample = wave.sample[row].gather(1, order)
    wave.temperature = wave.temperature[row].gather(1, order)
    wave.greedy = wave.greedy[row].gather(1, order)
    index = order.cpu().numpy()
    wave.key = np.take_along_axis(wave.key[row.cpu().numpy()], index, axis=1)
