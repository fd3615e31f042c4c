"""Values of texts in process: over shared beginnings, or in plain padded batches."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch

from langchain_agentrm._tree_encoder import TooLongError, TreeEncoder, out_of_memory
from langchain_agentrm.reward_models._checkpoint.loading import Loaded

__all__ = ["PaddedValues", "TreeValues", "Values"]

_EXACT = 1e-3  # of the spread, in float32
_COARSE = 0.2  # the same in half precision, whose own noise is a few hundredths
_LONGEST = 2048  # a self-test must not cost more than a search step


class Values(Protocol):
    """Reads the values of texts at some of their tokens."""

    @property
    def encoded(self) -> int:
        """Tokens that went through the network."""
        ...

    def read(
        self, texts: Sequence[Sequence[int]], places: Sequence[Sequence[int]]
    ) -> list[list[float]]:
        """Read values: one list a text, one value a place."""
        ...

    def forget(self) -> None:
        """Drop what was kept."""
        ...


class PaddedValues:
    """Encodes every text whole, those of like length together, padded on the right."""

    def __init__(self, model: Loaded, batch_tokens: int) -> None:
        """Take a model.

        Args:
            model: The loaded model.
            batch_tokens: Tokens of one forward pass, padding included.
        """
        self._model = model
        self._batch_tokens = batch_tokens
        self._pad = int(model.tokenizer.pad_token_id or 0)
        self.encoded = 0

    def read(
        self, texts: Sequence[Sequence[int]], places: Sequence[Sequence[int]]
    ) -> list[list[float]]:
        """Read values at places, in smaller batches where memory does not do."""
        out: list[list[float]] = [[] for _ in texts]
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        while order:
            fit = 1
            while (
                fit < len(order)
                and len(texts[order[fit]]) * (fit + 1) <= self._batch_tokens
            ):
                fit += 1
            rows = order[:fit]
            try:
                values = self._batch([texts[i] for i in rows])
            except (torch.OutOfMemoryError, RuntimeError) as error:
                if fit == 1 or not out_of_memory(error):
                    raise
                self._batch_tokens = max(1, len(texts[rows[-1]]) * fit // 2)
                continue
            for i, row in zip(rows, values, strict=True):
                at = places[i] if self._model.whole is None else [0]
                out[i] = [float(v) for v in row[list(at)].tolist()]
            order = order[fit:]
        return out

    def forget(self) -> None:
        """Nothing is kept."""

    def _batch(self, texts: Sequence[Sequence[int]]) -> torch.Tensor:
        model = self._model
        sizes = np.array([len(text) for text in texts])
        ids = np.full((len(texts), int(sizes.max())), self._pad, dtype=np.int64)
        for row, text in zip(ids, texts, strict=True):
            row[: len(text)] = text
        self.encoded += int(sizes.sum())
        feed = torch.from_numpy(ids).to(model.device)
        mask = torch.from_numpy(np.arange(ids.shape[1]) < sizes[:, None])
        mask = mask.long().to(model.device)
        if model.whole is not None:
            values: torch.Tensor = model.head(model.whole(feed, mask))
            return values[:, None]
        hidden = model.body(
            input_ids=feed, attention_mask=mask, use_cache=False
        ).last_hidden_state
        read: torch.Tensor = model.head(hidden)
        return read


class TreeValues:
    """Encodes each distinct token once; a value stands ready at every token."""

    def __init__(
        self, model: Loaded, padded: PaddedValues, max_bytes: int, chunk_tokens: int
    ) -> None:
        """Take a model whose layers attend to everything before them.

        Args:
            model: The loaded model.
            padded: What reads texts that cannot be read here.
            max_bytes: Bound of keys and values kept.
            chunk_tokens: Tokens of one forward pass.
        """
        self._model = model
        self._padded = padded
        self._encoder = TreeEncoder(
            model.body,
            lambda hidden, _: model.head(hidden)[:, None],
            model.device,
            model.dtype,
            max_bytes=max_bytes,
            chunk_tokens=chunk_tokens,
        )

    @property
    def encoded(self) -> int:
        """Tokens that went through the network."""
        return self._encoder.encoded + self._padded.encoded

    @property
    def kept_bytes(self) -> int:
        """Bytes of keys and values kept."""
        return self._encoder.bytes

    def read(
        self, texts: Sequence[Sequence[int]], places: Sequence[Sequence[int]]
    ) -> list[list[float]]:
        """Read values at places."""
        try:
            found = self._encoder.run(texts, places)
        except TooLongError:
            if len(texts) == 1:
                return self._padded.read(texts, places)
            # The others were encoded on the way, or are now.
            return [self.read([t], [p])[0] for t, p in zip(texts, places, strict=True)]
        flat = torch.cat(found)[:, 0].tolist() if found else []
        out: list[list[float]] = []
        for part in found:
            out.append(flat[: len(part)])
            del flat[: len(part)]
        # A value that is not finite spoils what shared its row: each is read alone.
        for i, values in enumerate(out):
            if not all(np.isfinite(values)):
                out[i] = self._padded.read([texts[i]], [places[i]])[0]
        return out

    def forget(self) -> None:
        """Drop what was kept."""
        self._encoder.forget()

    def disagreement(self, max_length: int) -> str:
        """Compare with whole texts, for several mistakes of attention are silent.

        Args:
            max_length: Longest text.

        Returns:
            What disagrees; empty where nothing does.
        """
        draw = random.Random(0)  # noqa: S311 - a reproducible text, no secret
        vocabulary = int(self._model.config.get_text_config(decoder=True).vocab_size)
        sizes = [min(n, max_length) for n in (24, 40, self._longest())]
        base = [draw.randrange(vocabulary) for _ in range(max(sizes))]
        texts = [
            [*base[: size * 2 // 3], *draw.choices(range(vocabulary), k=size)][:size]
            for size in sizes
        ]
        last = [[len(text) - 1] for text in texts]
        with torch.inference_mode():
            alone = [
                self._padded.read([t], [p])[0][0]
                for t, p in zip(texts, last, strict=True)
            ]
            shared = [self.read(texts[:1], last[:1])[0][0]]
            shared += [v for (v,) in self.read(texts[1:], last[1:])]
        self.forget()
        self._encoder.encoded = 0
        self._padded.encoded = 0
        if not all(np.isfinite(alone)):
            return ""  # a broken model is reported where a trajectory is scored
        spread = max(max(alone) - min(alone), 1e-6)
        gap = max(abs(a - b) for a, b in zip(alone, shared, strict=True))
        exact = self._model.dtype == torch.float32
        allowed = max((_EXACT if exact else _COARSE) * spread, 1e-5)
        return "" if gap <= allowed else f"{gap:.2g} where values spread {spread:.2g}"

    def _longest(self) -> int:
        """Length of a text beyond any window that the config may speak of."""
        config = self._model.config.get_text_config(decoder=True).to_dict()
        windows = [
            value
            for name, value in config.items()
            if ("window" in name or "chunk" in name)
            and isinstance(value, int)
            and not isinstance(value, bool)
        ]
        fitting = [w + 32 for w in windows if w + 32 <= _LONGEST]
        return max([160, *fitting])
