"""A causal language model in process that answers many requests as one batch."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM
from transformers.cache_utils import DynamicCache

from langchain_agentrm._checkpoint import (
    checked_folder,
    load_tokenizer,
    placement,
    turn_ends,
)
from langchain_agentrm._prefix import BlockStore, PrefixEncoder, can_keep_prefix, filled
from langchain_agentrm._tokens import ChatTokens
from langchain_agentrm.chat_models._decode import Room, Wave, decode
from langchain_agentrm.chat_models._plain import generate_plain
from langchain_agentrm.chat_models._requests import Answers, Ask, Plan, Sample, check
from langchain_agentrm.errors import CheckpointError

__all__ = ["Answers", "Ask", "LocalModel", "Sample"]

_LOGITS = 1 << 25  # cells of one step's logits
_WIDEST = 32


class LocalModel:
    """A checkpoint folder held in memory; safe to share between threads.

    All samples of all requests go through the network together, every distinct prompt
    once. What was encoded stays in a store of bounded size, so that the next step of an
    agent only encodes what is new.

    Attributes:
        tokens: Rendering and encoding.
        keeps_prefix: Whether encoded prompts are kept; not for models with sliding
            windows or recurrent layers.
        context: Longest prompt and answer together.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        device: str | None = None,
        dtype: str | None = None,
        keep_prefix: bool = True,
        prefix_bytes: int = 256 << 20,
        batch_tokens: int = 1 << 17,
        chunk_tokens: int | None = None,
    ) -> None:
        """Load a checkpoint.

        Args:
            path: Folder with config, safetensors weights and tokenizer.
            device: Torch device; the GPU where there is one.
            dtype: Torch dtype; float32 on a CPU, bfloat16 else.
            keep_prefix: Keep what was encoded for later calls.
            prefix_bytes: Bound of what is kept.
            batch_tokens: Cached tokens of one batch; more requests take several.
            chunk_tokens: Prompt tokens encoded in one pass; 4096 on a CPU, else 16384.

        Raises:
            CheckpointError: If the folder lacks a part.
        """
        folder = checked_folder(path)
        self.path = str(path)
        self.tokens = ChatTokens(load_tokenizer(folder))
        self.device, kind = placement(device, dtype)
        try:
            model: Any = AutoModelForCausalLM.from_pretrained(
                folder,
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                dtype=kind,
                attn_implementation="sdpa",
            )
        except (OSError, ValueError, ImportError, RuntimeError) as error:
            msg = f"The checkpoint {self.path!r} does not load as a language model."
            raise CheckpointError(msg, remedy=f"The loader says: {error}") from error
        self._model = model.to(self.device).eval()
        config = self._model.config.get_text_config(decoder=True)
        self.context = int(getattr(config, "max_position_embeddings", 0) or 1 << 30)
        self._vocabulary = int(config.vocab_size)
        ends = turn_ends(self.tokens.tokenizer, config, self._model.generation_config)
        self._ends = torch.tensor(sorted(ends), device=self.device)
        self._cuts = can_keep_prefix(self._model.config)
        self.keeps_prefix = keep_prefix and self._cuts
        self._batch_tokens = batch_tokens
        chunk = chunk_tokens or (4096 if self.device.type == "cpu" else 16384)
        self._encoder = PrefixEncoder(
            partial(self._model, logits_to_keep=1),
            self.device,
            BlockStore(prefix_bytes if self.keeps_prefix else 0),
            chunk_tokens=chunk,
        )
        self._lock = threading.Lock()

    def generate(self, asks: Sequence[Ask], *, max_new_tokens: int) -> list[Answers]:
        """Answer requests.

        Args:
            asks: The requests.
            max_new_tokens: Longest answer, its end token included.

        Returns:
            One answer list per request, in order. A prompt that leaves no room in the
            context has an error instead of samples.

        Raises:
            ConfigurationError: If a temperature or a count cannot work.
        """
        check(asks, max_new_tokens)
        with self._lock, torch.inference_mode():
            return self._generate(asks, max_new_tokens)

    def forget(self) -> None:
        """Drop all kept prefixes."""
        with self._lock:
            store = self._encoder.store
            self._encoder.store = BlockStore(store.max_bytes)

    def _generate(self, asks: Sequence[Ask], longest: int) -> list[Answers]:
        ids = [self._ids(ask.prompt) for ask in asks]
        counts = [
            0 if len(p) >= self.context or not p else a.n
            for a, p in zip(asks, ids, strict=True)
        ]
        first = np.concatenate([[0], np.cumsum(counts)]).astype(int)
        total = int(first[-1])
        plan = Plan.of(asks, ids, counts, first)
        tokens = torch.full((total, longest), -1, device=self.device)
        logprobs = torch.zeros(total, device=self.device)
        if total and self._cuts:
            for wave in self._waves(plan, longest):
                decode(self._model, wave, self._ends, tokens, logprobs)
        elif total:
            self._run_plain(plan, tokens, logprobs)
        samples = self._samples(tokens, logprobs)
        return [
            Answers(samples[first[i] : first[i + 1]], len(p), self._refusal(p))
            for i, p in enumerate(ids)
        ]

    def _ids(self, prompt: Sequence[Any]) -> tuple[int, ...]:
        if prompt and isinstance(prompt[0], Mapping):
            return self.tokens.chat(prompt, generation_prompt=True)
        return tuple(int(i) for i in prompt)

    def _refusal(self, prompt: tuple[int, ...]) -> str | None:
        if not prompt:
            return "the prompt is empty"
        if len(prompt) >= self.context:
            return (
                f"the prompt has {len(prompt)} tokens and the context of "
                f"{self.path!r} holds {self.context}"
            )
        return None

    def _waves(self, plan: Plan, longest: int) -> Iterator[Wave]:
        width_bound = max(1, min(_WIDEST, _LOGITS // self._vocabulary))
        # A row's prompt counts once however many samples it has, so a crowded prompt
        # is only split where the logits would not fit.
        rows: list[tuple[int, list[int]]] = []
        for prompt, samples in enumerate(plan.samples):
            parts = -(-len(samples) // width_bound)
            size = -(-len(samples) // parts)
            rows += [
                (prompt, samples[k : k + size]) for k in range(0, len(samples), size)
            ]
        rows.sort(key=lambda row: (len(row[1]), len(plan.prompts[row[0]])))
        wave: list[tuple[int, list[int]]] = []
        size = 0
        for row in rows:
            width = len(row[1])
            cells = max(size, len(plan.prompts[row[0]]) + width * longest)
            count = len(wave) + 1
            if wave and (
                cells * count > self._batch_tokens
                or count * width * self._vocabulary > _LOGITS
            ):
                yield self._wave(plan, wave, longest)
                wave = []
                cells = len(plan.prompts[row[0]]) + width * longest
            wave.append(row)
            size = cells
        if wave:
            yield self._wave(plan, wave, longest)

    def _wave(
        self, plan: Plan, rows: list[tuple[int, list[int]]], longest: int
    ) -> Wave:
        width = max(len(samples) for _, samples in rows)
        sample = np.full((len(rows), width), -1)
        places: dict[int, list[int]] = {}
        for r, (prompt, samples) in enumerate(rows):
            sample[r, : len(samples)] = samples
            places.setdefault(prompt, []).append(r)
        distinct = list(places)
        texts = [plan.prompts[p] for p in distinct]
        columns = max(len(t) for t in texts)
        rooms: list[Room] = []
        logits: torch.Tensor | None = None
        for part in self._encoder.run(texts):
            source = [k for k, i in enumerate(part.rows) for _ in places[distinct[i]]]
            target = [r for i in part.rows for r in places[distinct[i]]]
            at = torch.tensor(target, device=self.device)
            of = torch.tensor(source, device=self.device)
            pairs = filled(part.cache)
            if logits is None:
                logits = part.output.logits.new_empty((len(rows), self._vocabulary))
                room = columns + width * longest
                rooms = [
                    Room((len(rows), k.shape[1], room, k.shape[3]), k, columns)
                    for k, _ in pairs
                ]
            logits[at] = part.output.logits[of, -1]
            begin = columns - part.columns.shape[1]
            pick = part.columns[of]
            for layer, (keys, values) in zip(rooms, pairs, strict=True):
                for to, states in ((layer.keys, keys), (layer.values, values)):
                    taken = states[of[:, None], :, pick].transpose(1, 2)
                    to[at, :, begin:columns] = taken
        if logits is None:  # pragma: no cover - a wave has a row
            msg = "A wave without rows was planned."
            raise RuntimeError(msg)
        cache = DynamicCache()
        cache.layers = list(rooms)
        length = torch.tensor(
            [len(plan.prompts[p]) for p, _ in rows], device=self.device
        )
        limit = (self.context - length).clamp(max=longest)
        return Wave(
            cache=cache,
            logits=logits,
            length=length,
            columns=columns,
            sample=torch.from_numpy(sample).to(self.device),
            key=plan.key[sample],
            temperature=torch.from_numpy(plan.temperature[sample]).to(self.device),
            greedy=torch.from_numpy(plan.greedy[sample]).to(self.device),
            limit=limit,
        )

    def _run_plain(
        self, plan: Plan, tokens: torch.Tensor, logprobs: torch.Tensor
    ) -> None:
        longest = tokens.shape[1]
        rows = sorted(
            (
                (len(plan.prompts[p]), p, s)
                for p, ss in enumerate(plan.samples)
                for s in ss
            )
        )
        while rows:
            fit = 1
            while (
                fit < len(rows)
                and (rows[fit][0] + longest) * (fit + 1) <= self._batch_tokens
                and (fit + 1) * self._vocabulary <= _LOGITS
            ):
                fit += 1
            part, rows = rows[:fit], rows[fit:]
            index = np.array([s for _, _, s in part])
            length = torch.tensor([n for n, _, _ in part], device=self.device)
            generate_plain(
                self._model,
                [plan.prompts[p] for _, p, _ in part],
                torch.from_numpy(index).to(self.device),
                plan.key[index],
                torch.from_numpy(plan.temperature[index]).to(self.device),
                torch.from_numpy(plan.greedy[index]).to(self.device),
                (self.context - length).clamp(max=longest),
                self._ends,
                tokens,
                logprobs,
            )

    def _samples(self, tokens: torch.Tensor, logprobs: torch.Tensor) -> list[Sample]:
        counts = (tokens >= 0).sum(1)
        last = tokens.gather(1, (counts - 1).clamp(min=0)[:, None])[:, 0]
        stopped = torch.isin(last, self._ends).tolist()
        rows = zip(
            tokens.tolist(), counts.tolist(), logprobs.tolist(), stopped, strict=True
        )
        return [
            Sample(
                self.tokens.text(ids[:count]),
                logprob,
                count,
                "stop" if ended else "length",
            )
            for ids, count, logprob, ended in rows
        ]
