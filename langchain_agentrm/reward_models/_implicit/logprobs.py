"""Log-probabilities of tokens under a causal model, shared beginnings read once."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from langchain_agentrm._prefix import can_keep_prefix
from langchain_agentrm._tree_encoder import TooLongError, TreeEncoder
from langchain_agentrm.errors import CheckpointError
from langchain_agentrm.reward_models._implicit.load import Causal
from langchain_agentrm.reward_models._implicit.steps import Ask, Ids

__all__ = ["LogProbs"]

_LOGITS = 1 << 25  # logits held at once, in float32
_POSITIONS = 8192  # hidden states held at once


class LogProbs:
    """Sums of log-probabilities over spans of texts.

    Attributes:
        encoded: Tokens that went through the network.
        shares: Whether beginnings are kept for later calls.
    """

    def __init__(
        self,
        causal: Causal,
        device: torch.device,
        dtype: torch.dtype,
        *,
        batch_tokens: int,
        prefix_bytes: int,
    ) -> None:
        """Set up.

        Args:
            causal: The model.
            device: Where it lives.
            dtype: Its floating-point type.
            batch_tokens: Tokens of one forward pass, padding included.
            prefix_bytes: Bound of keys and values kept; 0 to keep none.
        """
        model = causal.model
        self._causal = causal
        self._device = device
        self._exact = dtype == torch.float32
        self._body: Any = getattr(model, model.base_model_prefix)
        self._head: Any = model.get_output_embeddings()
        self._config: Any = model.config.get_text_config(decoder=True)
        self._batch_tokens = batch_tokens
        self.encoded = 0
        self.shares = prefix_bytes > 0 and can_keep_prefix(model.config)
        self._tree = TreeEncoder(
            self._body,
            _as_it_is,
            device,
            dtype,
            max_bytes=prefix_bytes,
            chunk_tokens=batch_tokens,
        )

    def forget(self) -> None:
        """Drop all that was kept."""
        self._tree.forget()

    def sums(self, asks: Sequence[Ask]) -> list[list[float]]:
        """Add up log-probabilities.

        Args:
            asks: Texts and their spans.

        Returns:
            One sum a span, in float32 precision; not finite where the model is not.
        """
        out: list[list[float]] = []
        with torch.inference_mode(), self._causal.scope():
            for block in _blocks(asks):
                found = self._sums(block)
                # In a packed row one text's infinities reach its neighbours.
                if len(block) > 1:
                    for i, sums in enumerate(found):
                        if not all(map(math.isfinite, sums)):
                            found[i] = self._sums([block[i]])[0]
                out.extend(found)
        return out

    def check(self, asks: Sequence[Ask]) -> None:
        """Compare with the whole model on texts that share their beginning.

        Several ways to be wrong here are silent: a mask that a kernel reads in another
        way, a layer that is not full attention, logits that are scaled after the head.

        Args:
            asks: The texts.

        Raises:
            CheckpointError: If the log-probabilities differ, or are not finite.
        """
        tokens = sum(end - start for ask in asks for start, end in ask.spans)
        right = [self._by_the_model(ask) for ask in asks]
        if not all(math.isfinite(value) for sums in right for value in sums):
            msg = f"{self._causal.name!r} gives values that are not finite."
            raise CheckpointError(
                msg, remedy="Load it with dtype='float32' or 'bfloat16'."
            )
        bound = (1e-3 if self._exact else 0.2) * tokens
        if self.shares and not _apart(self.sums(asks), right) <= bound:
            warnings.warn(
                f"{self._causal.name!r} gives other values where beginnings are "
                "shared; each text is read whole instead, which is slower.",
                stacklevel=3,
            )
            self.shares = False
        if not self.shares and not _apart(self.sums(asks), right) <= bound:
            msg = (
                f"The head of {self._causal.name!r} alone does not give the model's "
                "log-probabilities."
            )
            raise CheckpointError(
                msg, remedy="Serve it and use ServedImplicitRewardModel."
            )
        self.forget()
        self.encoded = 0

    def _sums(self, asks: Sequence[Ask]) -> list[list[float]]:
        # The token before says how likely a token is.
        positions = [
            [p - 1 for start, end in ask.spans for p in range(start, end)]
            for ask in asks
        ]
        targets = [
            ask.ids[p]
            for ask in asks
            for start, end in ask.spans
            for p in range(start, end)
        ]
        hidden = torch.cat(self._hidden([ask.ids for ask in asks], positions))
        values = iter(self._log_probs(hidden, targets))
        return [
            [
                math.fsum(next(values) for _ in range(end - start))
                for start, end in a.spans
            ]
            for a in asks
        ]

    def _log_probs(self, hidden: torch.Tensor, targets: list[int]) -> list[float]:
        wanted = torch.tensor(targets, device=self._device)
        out: list[float] = []
        rows = max(1, _LOGITS // int(self._config.vocab_size))
        for at in range(0, len(targets), rows):
            logits = self._scaled(self._head(hidden[at : at + rows]).float())
            picked = logits.gather(1, wanted[at : at + rows, None])[:, 0]
            out.extend((picked - logits.logsumexp(-1)).tolist())
        return out

    def _scaled(self, logits: torch.Tensor) -> torch.Tensor:
        """Do what some architectures do after the head: Gemma 2, Cohere, Granite."""
        if cap := getattr(self._config, "final_logit_softcapping", None):
            logits = torch.tanh(logits / cap) * cap
        if scale := getattr(self._config, "logit_scale", None):
            logits = logits * scale
        if scaling := getattr(self._config, "logits_scaling", None):
            logits = logits / scaling
        return logits

    def _hidden(
        self, texts: list[Ids], positions: list[list[int]]
    ) -> list[torch.Tensor]:
        if not self.shares:
            return self._padded(texts, positions)
        before = self._tree.encoded
        try:
            return self._tree.run(texts, positions)
        except TooLongError:
            if len(texts) == 1:
                return self._padded(texts, positions)
        finally:
            self.encoded += self._tree.encoded - before
        return [
            found
            for text, places in zip(texts, positions, strict=True)
            for found in self._hidden([text], [places])
        ]

    def _padded(
        self, texts: list[Ids], positions: list[list[int]]
    ) -> list[torch.Tensor]:
        out: dict[int, torch.Tensor] = {}
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        while order:
            fit = 1
            while (
                fit < len(order)
                and len(texts[order[fit]]) * (fit + 1) <= self._batch_tokens
            ):
                fit += 1
            rows, order = order[:fit], order[fit:]
            try:
                found = self._forward([texts[i] for i in rows])
            except torch.OutOfMemoryError:
                if len(rows) == 1:
                    raise
                torch.cuda.empty_cache()
                self._batch_tokens = len(texts[rows[-1]]) * (len(rows) // 2)
                order = rows + order
                continue
            for hidden, i in zip(found, rows, strict=True):
                out[i] = hidden[torch.tensor(positions[i], device=self._device)]
        return [out[i] for i in range(len(texts))]

    def _forward(self, texts: list[Ids]) -> torch.Tensor:
        sizes = np.array([len(text) for text in texts])
        # Padding is at the right, where a causal model cannot see it: any id will do.
        ids = np.zeros((len(texts), int(sizes.max())), dtype=np.int64)
        for row, text in zip(ids, texts, strict=True):
            row[: len(text)] = text
        mask = np.arange(ids.shape[1]) < sizes[:, None]
        hidden: torch.Tensor = self._body(
            input_ids=torch.from_numpy(ids).to(self._device),
            attention_mask=torch.from_numpy(mask.astype(np.int64)).to(self._device),
            use_cache=False,
        ).last_hidden_state
        self.encoded += int(sizes.sum())
        return hidden

    def _by_the_model(self, ask: Ask) -> list[float]:
        with torch.inference_mode(), self._causal.scope():
            feed = torch.tensor([ask.ids], device=self._device)
            logits = self._causal.model(input_ids=feed, use_cache=False).logits[0, :-1]
            log_probs = logits.float().log_softmax(-1).gather(1, feed[0, 1:, None])
        values = [math.nan, *log_probs[:, 0].tolist()]
        return [math.fsum(values[start:end]) for start, end in ask.spans]


def _as_it_is(hidden: torch.Tensor, _ids: torch.Tensor) -> torch.Tensor:
    return hidden


def _apart(one: list[list[float]], other: list[list[float]]) -> float:
    return sum(
        abs(a - b)
        for left, right in zip(one, other, strict=True)
        for a, b in zip(left, right, strict=True)
    )


def _blocks(asks: Sequence[Ask]) -> Iterator[list[Ask]]:
    block: list[Ask] = []
    size = 0
    for ask in asks:
        wanted = sum(end - start for start, end in ask.spans)
        if block and size + wanted > _POSITIONS:
            yield block
            block, size = [], 0
        block.append(ask)
        size += wanted
    if block:
        yield block
