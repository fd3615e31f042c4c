"""Drawing tokens so that no request's draws depend on the rest of the batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

__all__ = ["choose", "stream_keys", "uniforms"]

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_CELLS = 1 << 22

Keys = np.ndarray[Any, np.dtype[np.uint64]]


def _mix(x: Keys) -> Keys:
    # The finaliser of SplitMix64: every input bit reaches every output bit.
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def stream_keys(seed: int, draws: int) -> Keys:
    """One stream key per draw of a request.

    Args:
        seed: The request's seed, any integer.
        draws: How many draws it asks for.

    Returns:
        The keys; draw j has the same key however many are asked for.
    """
    base = _mix(np.array([seed & _MASK, (seed >> 64) & _MASK], dtype=np.uint64))
    index = np.arange(1, draws + 1, dtype=np.uint64) * np.uint64(_GOLDEN)
    return _mix(_mix(base[:1] + np.uint64(_GOLDEN)) ^ base[1:] ^ _mix(index))


def uniforms(keys: Keys, step: int) -> torch.Tensor:
    """Numbers in [0, 1) for one token of each stream."""
    offset = np.array([(step + 1) * _GOLDEN & _MASK], dtype=np.uint64)
    bits = _mix(keys + offset) >> np.uint64(11)
    return torch.from_numpy(bits.astype(np.float64) * 2.0**-53)


def choose(
    logits: torch.Tensor,
    uniform: torch.Tensor,
    temperature: torch.Tensor,
    greedy: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pick one token a row, by inverse transform or as the most likely one.

    Args:
        logits: [rows, vocabulary].
        uniform: [rows], in [0, 1).
        temperature: [rows], above 0.
        greedy: [rows], whether to take the most likely token.

    Returns:
        Tokens, and their log-probabilities at temperature 1.
    """
    rows = max(1, _CELLS // logits.shape[-1])
    tokens: list[torch.Tensor] = []
    logprobs: list[torch.Tensor] = []
    for start in range(0, len(logits), rows):
        part = slice(start, start + rows)
        scores = logits[part].float()
        best = scores.argmax(-1)
        weights = (scores / temperature[part, None]).softmax(-1)
        total = weights.cumsum(-1, dtype=torch.float64)
        target = (uniform[part] * total[:, -1])[:, None]
        drawn = torch.searchsorted(total, target, right=True)[:, 0]
        drawn = drawn.clamp_(max=logits.shape[-1] - 1)
        token = torch.where(greedy[part], best, drawn)
        picked = scores.gather(-1, token[:, None])[:, 0]
        tokens.append(token)
        logprobs.append(picked - scores.logsumexp(-1))
    return torch.cat(tokens), torch.cat(logprobs)
