"""The value of an action from a decoder with one scalar head, in process."""

from __future__ import annotations

import asyncio
import json
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerBase

from langchain_agentrm._checkpoint import (
    checked_folder,
    load_tokenizer,
    placement,
    turn_ends,
)
from langchain_agentrm._prefix import BlockStore, PrefixEncoder, can_keep_prefix
from langchain_agentrm._tokens import ChatTokens
from langchain_agentrm.errors import CheckpointError, ConfigurationError
from langchain_agentrm.reward_models._texts import fitted
from langchain_agentrm.reward_models.base import Comparable, checked
from langchain_agentrm.trajectory import SERIALIZER, Trajectory
from langchain_agentrm.types import Batch, Score, Usage

__all__ = ["AgentRM"]

_MANIFEST = "agentrm.json"


class AgentRM:
    """Reads the value at the last token of a trajectory, candidate action included.

    Texts that begin alike, as candidates of one state and the steps of one search do,
    have their beginning encoded once; scores equal a plain padded batch to float
    tolerance.

    Attributes:
        path: The checkpoint folder.
        resolution: Differences below it are ties.
        comparable: Its values mean the same everywhere.
        max_length: Longest text in tokens; older turns are dropped beyond it.
    """

    resolution: float = 1e-4
    comparable: Comparable = "global"

    def __init__(
        self,
        path: str | Path,
        *,
        device: str | None = None,
        dtype: str | None = None,
        max_length: int | None = None,
        batch_tokens: int = 8192,
        keep_prefix: bool = True,
        prefix_bytes: int = 256 << 20,
    ) -> None:
        """Load a checkpoint and check that all its parts are there.

        Args:
            path: Folder with config, safetensors weights, head and tokenizer.
            device: Torch device; the GPU where there is one.
            dtype: Torch dtype; float32 on a CPU, bfloat16 else.
            max_length: Longest text; the model's context where None.
            batch_tokens: Tokens of one forward pass, padding included.
            keep_prefix: Keep what was encoded for later calls; without effect for
                models with sliding windows or recurrent layers.
            prefix_bytes: Bound of what is kept.

        Raises:
            CheckpointError: If a part is missing, or parts disagree.
            ConfigurationError: If a limit cannot work.
        """
        folder = checked_folder(path)
        self.path = str(path)
        _check_serializer(folder)
        tokenizer = load_tokenizer(folder)
        self.tokens = ChatTokens(tokenizer)
        self._device, kind = placement(device, dtype)
        model = _load(folder, kind)
        _check_padding(folder, tokenizer, model.config)
        model.to(self._device).eval()
        self._body: Any = getattr(model, model.base_model_prefix)
        self._head: torch.nn.Module = model.score
        config = model.config.get_text_config(decoder=True)
        context = int(getattr(config, "max_position_embeddings", 0) or 1 << 30)
        self.max_length = min(max_length or context, context)
        if self.max_length < 1 or batch_tokens < 1:
            msg = (
                f"max_length={max_length} and batch_tokens={batch_tokens} do not work."
            )
            raise ConfigurationError(msg, remedy="Use positive numbers, or leave out.")
        self._pad = int(tokenizer.pad_token_id)
        self._batch_tokens = batch_tokens
        self.keeps_prefix = keep_prefix and can_keep_prefix(model.config)
        self._encoder = PrefixEncoder(
            self._body,
            self._device,
            BlockStore(prefix_bytes),
            chunk_tokens=batch_tokens,
        )
        self._lock = threading.Lock()

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
        with self._lock:
            texts = [fitted(self.tokens, t, self.max_length) for t in trajectories]
            ids = [text.ids for text in texts]
            distinct = [i for i in dict.fromkeys(ids) if 0 < len(i) <= self.max_length]
            with torch.inference_mode():
                values = self._values(distinct) if distinct else []
        known = dict(zip(distinct, values, strict=True))
        scores = [
            Score.of(known[text.ids], **text.signals)
            if text.ids in known
            else Score(error=self._refusal(t, len(text.ids)))
            for t, text in zip(trajectories, texts, strict=True)
        ]
        usage = Usage(
            requests=len(distinct), input_tokens=sum(len(i) for i in distinct)
        )
        return checked(trajectories, Batch(scores, usage))

    async def ascore(self, trajectories: Sequence[Trajectory]) -> Batch[Score]:
        """Async twin of `score`; the model runs in a thread."""
        return await asyncio.to_thread(self.score, trajectories)

    def forget(self) -> None:
        """Drop all kept prefixes."""
        with self._lock:
            self._encoder.store = BlockStore(self._encoder.store.max_bytes)

    def _refusal(self, trajectory: Trajectory, length: int) -> str:
        if not length:
            return "the trajectory renders to an empty text"
        return (
            f"the trajectory of {len(trajectory.turns)} turns has {length} tokens with "
            f"its oldest turns dropped; the limit is {self.max_length}"
        )

    def _values(self, texts: list[tuple[int, ...]]) -> list[float]:
        values = torch.zeros(len(texts), device=self._device)
        if self.keeps_prefix:
            for part in self._encoder.run(texts):
                rows = torch.tensor(part.rows, device=self._device)
                values[rows] = self._read(part.output.last_hidden_state[:, -1])
        else:
            for rows, hidden in self._padded(texts):
                values[rows] = self._read(hidden)
        return [float(v) for v in values.tolist()]

    def _read(self, hidden: torch.Tensor) -> torch.Tensor:
        value: torch.Tensor = self._head(hidden)
        return value[:, 0].float()

    def _padded(
        self, texts: list[tuple[int, ...]]
    ) -> list[tuple[torch.Tensor, torch.Tensor]]:
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        out: list[tuple[torch.Tensor, torch.Tensor]] = []
        while order:
            fit = 1
            while (
                fit < len(order)
                and len(texts[order[fit]]) * (fit + 1) <= self._batch_tokens
            ):
                fit += 1
            rows, order = order[:fit], order[fit:]
            sizes = np.array([len(texts[i]) for i in rows])
            ids = np.full((len(rows), int(sizes.max())), self._pad, dtype=np.int64)
            for r, i in enumerate(rows):
                ids[r, : sizes[r]] = texts[i]
            length = torch.from_numpy(sizes).to(self._device)
            feed = torch.from_numpy(ids).to(self._device)
            place = torch.arange(feed.shape[1], device=self._device)
            hidden = self._body(
                input_ids=feed,
                attention_mask=(place < length[:, None]).long(),
                use_cache=False,
            ).last_hidden_state
            last = hidden[torch.arange(len(rows), device=self._device), length - 1]
            out.append((torch.tensor(rows, device=self._device), last))
        return out


def _check_serializer(folder: Path) -> None:
    file = folder / _MANIFEST
    if not file.is_file():
        warnings.warn(
            f"{file} is missing: nothing says that this reward model was trained on "
            f"trajectories rendered as {SERIALIZER!r}.",
            stacklevel=3,
        )
        return
    version = json.loads(file.read_text(encoding="utf-8")).get("serializer")
    if version != SERIALIZER:
        msg = (
            f"{file} says serializer {version!r}; this release renders trajectories as "
            f"{SERIALIZER!r}."
        )
        raise CheckpointError(
            msg, remedy="Use the release that the model was trained with, or retrain."
        )


def _check_padding(
    folder: Path, tokenizer: PreTrainedTokenizerBase, config: Any
) -> None:
    pad = tokenizer.pad_token_id
    remedy = "Give the tokenizer a padding token of its own and save it again."
    if pad is None:
        msg = f"The tokenizer of {str(folder)!r} has no padding token."
        raise CheckpointError(msg, remedy=remedy)
    rendered = tokenizer.apply_chat_template(
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
        tokenize=False,
    )
    closing = tokenizer.encode(str(rendered), add_special_tokens=False)[-2:]
    if pad in turn_ends(tokenizer, config) | set(closing):
        msg = (
            f"In {str(folder)!r} the padding token {tokenizer.pad_token!r} can also "
            "end a turn, so that a value would be read one token early."
        )
        raise CheckpointError(msg, remedy=remedy)


def _load(folder: Path, dtype: torch.dtype) -> Any:
    try:
        model, info = AutoModelForSequenceClassification.from_pretrained(
            folder,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
            dtype=dtype,
            attn_implementation="sdpa",
        )
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        msg = f"The checkpoint {str(folder)!r} does not load as a reward model."
        raise CheckpointError(msg, remedy=f"The loader says: {error}") from error
    missing = sorted(info["missing_keys"])
    if missing:
        files = ", ".join(sorted(f.name for f in folder.glob("*.safetensors")))
        msg = f"{files} in {str(folder)!r} lacks the weights {', '.join(missing)}."
        raise CheckpointError(
            msg,
            remedy="Without a trained head there is no score: add the head's weights "
            "to the folder, or train one.",
        )
    if not isinstance(getattr(model, "score", None), torch.nn.Module):
        msg = f"{type(model).__name__} in {str(folder)!r} has no head named score."
        raise CheckpointError(msg, remedy="Use a decoder with a `score` head.")
    if model.config.num_labels != 1:
        msg = f"The head in {str(folder)!r} has {model.config.num_labels} outputs."
        raise CheckpointError(msg, remedy="A reward model needs num_labels=1.")
    return model
