"""Optimisers, batches and checkpoints that policy and reward model share."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from langchain_agentrm._files import (
    new_model_folder,
    write_bytes,
    write_json,
    writing,
)

__all__ = [
    "Optimisers",
    "load_state",
    "pack",
    "pad",
    "save_model",
    "save_state",
]

_STATE = "training_state.pt"


class Optimisers:
    """Muon for the matrices inside the blocks, AdamW for everything else.

    At this size Muon needs about a third of the steps that AdamW needs.
    """

    def __init__(
        self, model: nn.Module, *, matrices: float, rest: float, weight_decay: float
    ) -> None:
        """Divide the parameters between the two.

        Args:
            model: The model.
            matrices: Learning rate of Muon.
            rest: Learning rate of AdamW.
            weight_decay: Weight decay of AdamW.
        """
        named = list(model.named_parameters())
        inner = [p for n, p in named if p.ndim == 2 and ".layers." in n]  # noqa: PLR2004
        taken = {id(p) for p in inner}
        others = [p for _, p in named if id(p) not in taken]
        self._parameters = [p for _, p in named]
        self._all = [
            torch.optim.AdamW(
                others, lr=rest, betas=(0.9, 0.95), weight_decay=weight_decay
            ),
            torch.optim.Muon(inner, lr=matrices, weight_decay=0.05),
        ]
        self._rates = [rest, matrices]

    def step(self, loss: Tensor, scale: float) -> None:
        """Take one step.

        Args:
            loss: What to lower.
            scale: Share of the full learning rates.
        """
        for optimiser, rate in zip(self._all, self._rates, strict=True):
            optimiser.zero_grad(set_to_none=True)
            for group in optimiser.param_groups:
                group["lr"] = rate * scale
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._parameters, 1.0)
        for optimiser in self._all:
            optimiser.step()

    def state(self) -> list[dict[str, Any]]:
        """Everything needed to go on."""
        return [optimiser.state_dict() for optimiser in self._all]

    def load(self, state: Iterable[dict[str, Any]]) -> None:
        """Go on from a state."""
        for optimiser, part in zip(self._all, state, strict=True):
            optimiser.load_state_dict(part)


def pack(
    lengths: Sequence[int],
    limit: int,
    rng: random.Random,
    *,
    costs: Sequence[int] | None = None,
    jitter: float = 30.0,
) -> list[list[int]]:
    """Make batches of items of like length, in random order.

    Args:
        lengths: Tokens of each item, or of its longest part.
        limit: Tokens of one batch.
        rng: Source of order.
        costs: What each item adds to its batch; by default items are padded to the
            longest of the batch, and padding counts.
        jitter: Noise in tokens on the length, so that batches differ by epoch.

    Returns:
        Indexes by batch.
    """
    noise = [length + rng.random() * jitter for length in lengths]
    out: list[list[int]] = [[]]
    for i in sorted(range(len(lengths)), key=noise.__getitem__):
        grown = [*out[-1], i]
        if costs is None:
            size = max(lengths[k] for k in grown) * len(grown)
        else:
            size = sum(costs[k] for k in grown)
        if out[-1] and size > limit:
            out.append([i])
        else:
            out[-1] = grown
    rng.shuffle(out)
    return out


def pad(rows: Sequence[Sequence[int]], value: int) -> Tensor:
    """Stack rows of tokens, padded on the right."""
    width = max(map(len, rows))
    return torch.tensor([[*row, *[value] * (width - len(row))] for row in rows])


def save_model(model: Any, tokenizer: Any, card: dict[str, Any], out: Path) -> None:
    """Save a model folder so that a reader never meets a half-written file.

    Args:
        model: A `transformers` model.
        tokenizer: Its tokenizer.
        card: What `agentrm.json` says.
        out: The folder.
    """
    with new_model_folder(out) as part:
        with writing(out, room_only=True):
            model.save_pretrained(part)
            tokenizer.save_pretrained(part)
        write_json(part / "agentrm.json", card)


def save_state(out: Path, state: dict[str, Any]) -> None:
    """Write what a stopped training run needs to go on."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_bytes(out / _STATE, buffer.getvalue())


def load_state(out: Path, check: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Read what `save_state` wrote; empty if there is nothing.

    Args:
        out: The stage's folder.
        check: Refuses a state that was made with other settings.
    """
    path = out / _STATE
    if not path.exists():
        return {}
    state: dict[str, Any] = torch.load(path, weights_only=True)
    check(state)
    return state
