"""A reward model in this process, whatever layout its checkpoint has."""

from __future__ import annotations

import asyncio
import threading
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.reward_models._checkpoint.heads import Aggregation, aggregate
from langchain_agentrm.reward_models._checkpoint.loading import (
    check_padding,
    check_serializer,
    load_reward_model,
)
from langchain_agentrm.reward_models._checkpoint.steps import StepTokens, tokens_for
from langchain_agentrm.reward_models._texts import fitted
from langchain_agentrm.reward_models._values import PaddedValues, TreeValues, Values
from langchain_agentrm.reward_models.base import Comparable, checked
from langchain_agentrm.reward_models.layout import read_layout
from langchain_agentrm.trajectory import Trajectory
from langchain_agentrm.types import Batch, Score, Usage

__all__ = ["AgentRM"]

Ids = tuple[int, ...]


class AgentRM:
    """Reads the value of a trajectory at its end, candidate action included.

    Texts that begin alike, as candidates of one state and the steps of one search do,
    have each distinct token encoded once; scores equal a plain padded batch to float
    tolerance. Models whose attention does not allow this go through the padded batch.
    Every layout that `read_layout` knows is read; a model of steps gives the value of
    its last step, or an aggregate of them all.

    Attributes:
        path: The checkpoint folder or hub id, as it was given.
        layout: What was found there.
        resolution: Differences below it are ties.
        comparable: `"global"`; `"depth"` for a minimum or product over steps, which
            falls with every step.
        max_length: Longest text in tokens; older turns are dropped beyond it, and the
            score's signal `dropped_turns` says how many.
        keeps_prefix: Whether what was encoded is kept for later calls.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        head: str | Path | None = None,
        tokenizer: str | Path | None = None,
        base: str | Path | None = None,
        revision: str | None = None,
        device: str | None = None,
        dtype: str | None = None,
        max_length: int | None = None,
        batch_tokens: int = 8192,
        compile: bool = False,
        keep_prefix: bool = True,
        prefix_bytes: int = 1 << 30,
        step_token: str | None = None,
        aggregation: Aggregation = "last",
        resolution: float | None = None,
    ) -> None:
        """Load a checkpoint and check that all its parts are there.

        Args:
            path: Folder or hub id of the checkpoint: config, safetensors weights, head
                and tokenizer, or a LoRA adapter.
            head: Safetensors file with the head, where the checkpoint has none.
            tokenizer: Folder or hub id of the tokenizer, where it has none.
            base: Folder or hub id of an adapter's base.
            revision: Branch, tag or commit on the hub.
            device: Torch device; the GPU where there is one.
            dtype: Torch dtype; float32 on a CPU, bfloat16 else.
            max_length: Longest text; the model's context where None.
            batch_tokens: Tokens of one forward pass, padding included; halved by
                itself where memory does not do.
            compile: Compile the body with `torch.compile`: seconds to minutes at the
                first calls, 10 to 20 % less time after them (measured on a CPU).
            keep_prefix: Encode what texts share once, and keep it for later calls.
            prefix_bytes: Bound of what is kept, in bytes of keys and values.
            step_token: Text that ends a step, for a model of steps.
            aggregation: How the values of several steps become one.
            resolution: Differences below it are ties; 1e-4 for float32, 2e-2 else.

        Raises:
            CheckpointError: If a part is missing, or parts disagree.
            ConfigurationError: If a limit cannot work.
        """
        self.path = str(path)
        self.layout = read_layout(
            path,
            head=head,
            tokenizer=tokenizer,
            base=base,
            step_token=step_token,
            revision=revision,
        )
        check_serializer(self.layout)
        context = self.layout.context or 1 << 30
        self.max_length = min(max_length or context, context)
        if self.max_length < 1 or batch_tokens < 1:
            msg = (
                f"max_length={max_length} and batch_tokens={batch_tokens} do not work."
            )
            raise ConfigurationError(msg, remedy="Use positive numbers, or leave out.")
        model = load_reward_model(self.layout, device=device, dtype=dtype)
        if compile and model.whole is None:
            model = replace(model, body=torch.compile(model.body, dynamic=True))
        if self.layout.serializer is not None:
            # Here values are read at known lengths whatever the padding; but one of our
            # own that pads so was not trained as it is to be scored.
            check_padding(self.layout, model.tokenizer, model.config)
        self.tokens = tokens_for(model.tokenizer, self.layout)
        self._aggregation: Aggregation = aggregation
        steps = self.layout.read == "steps" and aggregation in {"min", "product"}
        self.comparable: Comparable = "depth" if steps else "global"
        exact = model.dtype == torch.float32
        self.resolution = resolution or (1e-4 if exact else 2e-2)
        self._model = model
        self._padded = PaddedValues(model, batch_tokens)
        self._values: Values = self._padded
        if keep_prefix and self.layout.attention == "full":
            tree = TreeValues(model, self._padded, prefix_bytes, batch_tokens)
            if wrong := tree.disagreement(self.max_length):
                warnings.warn(
                    f"{self.path!r} gives other values where beginnings are shared "
                    f"({wrong}), so that every text is encoded whole, which is slower.",
                    stacklevel=2,
                )
            else:
                self._values = tree
        self.keeps_prefix = self._values is not self._padded
        self._lock = threading.Lock()

    @property
    def encoded(self) -> int:
        """Tokens that went through the network since the start."""
        return self._values.encoded

    def score(self, trajectories: Sequence[Trajectory]) -> Batch[Score]:
        """Score trajectories, equal texts once.

        Args:
            trajectories: What competes.

        Returns:
            One score each; an error where a text does not fit or its value is not
            finite.
        """
        if not trajectories:
            return Batch([])
        with self._lock, torch.inference_mode():
            texts = [fitted(self.tokens, t, self.max_length) for t in trajectories]
            distinct = [
                ids
                for ids in dict.fromkeys(text.ids for text in texts)
                if 0 < len(ids) <= self.max_length
            ]
            before = self._values.encoded
            read = self._values.read(distinct, [self._places(i) for i in distinct])
            known = {
                ids: aggregate(values, self._aggregation)
                for ids, values in zip(distinct, read, strict=True)
            }
            encoded = self._values.encoded - before
        scores = [
            Score.of(known[text.ids], **text.signals)
            if text.ids in known
            else Score(error=self._refusal(t, len(text.ids)))
            for t, text in zip(trajectories, texts, strict=True)
        ]
        total = sum(len(ids) for ids in distinct)
        usage = Usage(
            requests=len(distinct),
            input_tokens=total,
            cached_tokens=max(0, total - encoded),
        )
        return checked(trajectories, Batch(scores, usage))

    async def ascore(self, trajectories: Sequence[Trajectory]) -> Batch[Score]:
        """Async twin of `score`; the model runs in a thread."""
        return await asyncio.to_thread(self.score, trajectories)

    def forget(self) -> None:
        """Drop all kept prefixes."""
        with self._lock:
            self._values.forget()

    def _places(self, ids: Ids) -> Sequence[int]:
        if isinstance(self.tokens, StepTokens):
            return self.tokens.positions(ids)
        return (len(ids) - 1,)

    def _refusal(self, trajectory: Trajectory, length: int) -> str:
        if not length:
            return "the trajectory renders to an empty text"
        return (
            f"the trajectory of {len(trajectory.turns)} turns has {length} tokens with "
            f"its oldest turns dropped; the limit is {self.max_length}"
        )
