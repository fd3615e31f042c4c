"""Stage `bc`: a small policy, from scratch, that imitates the demonstrations."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

from langchain_agentrm._files import (
    file_digest,
    finished,
    same_settings,
    write_manifest,
)
from langchain_agentrm.environments.base import EnvironmentFactory
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.training._config import (
    PlayConfig,
    Progress,
    ReadConfig,
    find_factory,
    silent,
    unit,
)
from langchain_agentrm.training._optim import (
    Optimisers,
    load_state,
    pack,
    pad,
    save_model,
    save_state,
)
from langchain_agentrm.training._policy import local_policy, settle
from langchain_agentrm.training.demos import DEMOS_FILE, Demonstration, read_demos
from langchain_agentrm.training.pool import greedy_score
from langchain_agentrm.training.tokenizer import (
    EncodedPath,
    PathEncoder,
    train_tokenizer,
)
from langchain_agentrm.trajectory import SERIALIZER

__all__ = ["CloneConfig", "clone_policy"]

_WARM_UP = 30


class CloneConfig(PlayConfig, ReadConfig):
    """Settings of stage `bc`."""

    vocab_size: int = Field(default=640, ge=300, description="Most tokens.")
    hidden: int = Field(default=96, ge=8, description="Width of the model.")
    layers: int = Field(default=2, ge=1, description="Blocks.")
    heads: int = Field(default=4, ge=1, description="Attention heads.")
    context: int = Field(default=1024, ge=64, description="Longest trajectory.")
    epochs: int = Field(default=2, ge=1, description="Passes over the data.")
    batch_tokens: int = Field(default=1536, ge=64, description="Tokens of a batch.")
    matrix_lr: float = Field(default=0.02, gt=0, description="Rate of Muon.")
    lr: float = Field(default=5e-3, gt=0, description="Rate of AdamW.")
    observation_weight: float = Field(
        default=0.2, ge=0, description="Weight of predicting what the world answers."
    )
    val_share: float = Field(default=0.05, gt=0, lt=1, description="Held-out share.")
    cpu_minutes: float | None = Field(
        default=None, gt=0, description="End early, with the rate lowered in time."
    )
    env: str = Field(default="babyai", description="Where to measure success.")
    eval_tasks: int = Field(
        default=150,
        ge=0,
        description="Held-in dev tasks for the greedy success; 0: none.",
    )


@dataclass(slots=True)
class _Learner:
    config: CloneConfig
    model: Any
    tokenizer: Any
    train: list[EncodedPath]
    val: list[EncodedPath]

    def losses(self, paths: Sequence[EncodedPath]) -> tuple[Tensor, Tensor]:
        """Mean loss of action tokens, and of all others."""
        ids = pad([path.ids for path in paths], self.model.config.pad_token_id)
        acting = torch.zeros(ids.shape, dtype=torch.bool)
        real = torch.zeros(ids.shape, dtype=torch.bool)
        for row, path in enumerate(paths):
            real[row, : len(path.ids)] = True
            for first, end in path.spans:
                acting[row, first : end + 1] = True
        # Padded on the right under a causal mask: no attention mask is needed.
        logits = self.model(input_ids=ids, use_cache=False).logits[:, :-1]
        each = functional.cross_entropy(
            logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none"
        )
        acts = acting[:, 1:].flatten()
        rest = (real & ~acting)[:, 1:].flatten()
        return each[acts].mean(), each[rest].mean()

    def validate(self) -> float:
        """Loss of action tokens on demonstrations that were not trained on."""
        self.model.eval()
        with torch.inference_mode():
            parts = [float(self.losses([path])[0]) for path in self.val]
        self.model.train()
        return sum(parts) / len(parts)


def clone_policy(
    config: CloneConfig,
    demos: Path,
    out: Path,
    *,
    factory: EnvironmentFactory | None = None,
    progress: Progress = silent,
) -> dict[str, object]:
    """Train tokenizer and policy; write a checkpoint folder.

    Stopped, it goes on after the last finished epoch.

    Args:
        config: Settings.
        demos: Folder of stage `demos`.
        out: Output folder.
        factory: Where success is measured; by default registered as `config.env`.
        progress: Told about every tenth step.

    Returns:
        The manifest; its counts hold losses by epoch and the greedy success.
    """
    settings = {**config.plain(), "demos": file_digest(demos / DEMOS_FILE)}
    done = finished(out, settings)
    if done is not None:
        return done
    began = time.monotonic()
    settle()
    learner = _prepare(config, demos)
    history = _fit(learner, settings, out, progress)
    card = {"kind": "policy", "serializer": SERIALIZER, "env": config.env}
    save_model(learner.model, learner.tokenizer, card, out)
    counts: dict[str, Any] = {
        "train": len(learner.train),
        "val": len(learner.val),
        "tokens": sum(len(path.ids) for path in learner.train),
        "vocab": len(learner.tokenizer),
        "parameters": sum(p.numel() for p in learner.model.parameters()),
        "epochs": history,
    }
    if config.eval_tasks:
        found = find_factory(config.env, factory, config.options)
        tasks = found.tasks("dev", found.types("held_in"), config.eval_tasks)
        counts["greedy"] = greedy_score(found, local_policy(out), tasks)
    return write_manifest(
        out,
        stage="bc",
        config=settings,
        inputs={DEMOS_FILE: settings["demos"]},
        counts=counts,
        seconds=time.monotonic() - began,
        outputs=["model.safetensors", "tokenizer.json"],
    )


def _prepare(config: CloneConfig, folder: Path) -> _Learner:
    demos = read_demos(folder, on_bad=config.on_bad_row)
    tokenizer = train_tokenizer(
        (text for _, demo in demos for text in _texts(demo)),
        config.vocab_size,
        max_length=config.context,
    )
    encoder = PathEncoder(tokenizer)
    sides: dict[bool, list[EncodedPath]] = {True: [], False: []}
    for task, demo in demos:
        after = [*(before for before, _ in demo.steps[1:]), ""]
        actions = [action for _, action in demo.steps]
        steps = list(zip(actions, after, strict=True))
        path = encoder.path(demo.start.goal, demo.start.observation, steps)
        if len(path.ids) <= config.context:
            sides[unit("val", task["id"]) < config.val_share].append(path)
    if not all(sides.values()):
        msg = (
            f"{len(demos)} demonstrations leave {len(sides[False])} to train on and "
            f"{len(sides[True])} to validate on."
        )
        raise ConfigurationError(msg, remedy="Collect more, or raise val_share.")
    torch.manual_seed(config.seed)
    vocab = tokenizer.get_vocab()
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=config.hidden,
            intermediate_size=max(32, config.hidden * 8 // 3 // 32 * 32),
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            num_key_value_heads=config.heads,
            max_position_embeddings=config.context,
            tie_word_embeddings=True,
            pad_token_id=vocab["<pad>"],
            bos_token_id=None,
            eos_token_id=vocab["<|end|>"],
            rms_norm_eps=1e-5,
        )
    )
    model.generation_config = GenerationConfig(
        do_sample=True,
        top_k=0,
        eos_token_id=vocab["<|end|>"],
        pad_token_id=vocab["<pad>"],
    )
    return _Learner(config, model, tokenizer, sides[False], sides[True])


def _texts(demo: Demonstration) -> list[str]:
    first = f"{demo.start.goal}\n{demo.start.observation}"
    seen = [before for before, _ in demo.steps[1:]]
    return [first, *seen, *(action for _, action in demo.steps)]


def _fit(
    learner: _Learner, settings: dict[str, Any], out: Path, progress: Progress
) -> list[dict[str, float]]:
    config, model = learner.config, learner.model
    optimisers = Optimisers(
        model, matrices=config.matrix_lr, rest=config.lr, weight_decay=0.1
    )
    lengths = [len(path.ids) for path in learner.train]
    # Padding makes epochs differ by a batch or two: the plan goes by the first one.
    planned = len(_batches(config, lengths, 0)) * config.epochs
    step, first, spent = 0, 0, 0.0
    history: list[dict[str, float]] = []
    state = load_state(
        out, lambda s: same_settings(s["config"], settings, where=out.name)
    )
    if state:
        model.load_state_dict(state["model"])
        optimisers.load(state["optimisers"])
        step, first, spent = state["step"], state["epoch"], state["cpu"]
        history = state["history"]
    began = time.process_time() - spent
    limit = (config.cpu_minutes or math.inf) * 60
    model.train()
    share = step / planned
    for epoch in range(first, config.epochs):
        for batch in _batches(config, lengths, epoch):
            share = max(step / planned, (time.process_time() - began) / limit)
            if share >= 1 and config.cpu_minutes:
                break
            acting, rest = learner.losses([learner.train[i] for i in batch])
            optimisers.step(
                acting + config.observation_weight * rest, _rate(step, share)
            )
            step += 1
            if step % 10 == 0:
                progress(min(share, 1), 1, loss=acting.item())
        history.append({"step": step, "val_loss": round(learner.validate(), 4)})
        save_state(
            out,
            {
                "config": settings,
                "model": model.state_dict(),
                "optimisers": optimisers.state(),
                "step": step,
                "epoch": epoch + 1,
                "cpu": time.process_time() - began,
                "history": history,
            },
        )
        progress(min(share, 1), 1, val=history[-1]["val_loss"])
        if share >= 1 and config.cpu_minutes:
            break
    model.eval()
    return history


def _batches(config: CloneConfig, lengths: list[int], epoch: int) -> list[list[int]]:
    rng = random.Random(f"{config.seed}-{epoch}")  # noqa: S311 - order, no secret
    return pack(lengths, config.batch_tokens, rng)


def _rate(step: int, share: float) -> float:
    falling = 0.5 * (1 + math.cos(math.pi * min(1.0, share)))
    return min(1.0, (step + 1) / _WARM_UP) * max(0.03, falling)
