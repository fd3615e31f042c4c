"""Stage `rm`: value regression from the policy's body, chosen on dev task types."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch.nn import functional
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging as transformers_logging

from langchain_agentrm._files import (
    file_digest,
    finished,
    folder_digest,
    same_settings,
    write_manifest,
)
from langchain_agentrm.errors import CheckpointError
from langchain_agentrm.training._config import Progress, ReadConfig, silent
from langchain_agentrm.training._optim import (
    Optimisers,
    load_state,
    pack,
    save_model,
    save_state,
)
from langchain_agentrm.training._policy import settle
from langchain_agentrm.training._sample_rules import check_tasks_apart
from langchain_agentrm.training._values import (
    Group,
    ValueModel,
    encode_group,
    pick_best,
    sibling_pairs,
)
from langchain_agentrm.training.pool import POOL_FILE
from langchain_agentrm.training.samples import read_samples
from langchain_agentrm.training.tokenizer import PathEncoder
from langchain_agentrm.trajectory import SERIALIZER

__all__ = ["RewardConfig", "train_reward_model"]

_WARM_UP = 30
_GAP = 0.3
_VAL_TOKENS = 8192


class RewardConfig(ReadConfig):
    """Settings of stage `rm`."""

    epochs: int = Field(default=2, ge=1, description="Passes over the data, planned.")
    batch_tokens: int = Field(default=4096, ge=64, description="Tokens of a batch.")
    matrix_lr: float = Field(default=0.01, gt=0, description="Rate of Muon.")
    lr: float = Field(default=2e-3, gt=0, description="Rate of AdamW.")
    weight_decay: float = Field(default=0.05, ge=0, description="Decay of AdamW.")
    evaluations: int = Field(default=4, ge=1, description="Evaluations an epoch.")
    val_tasks: int = Field(default=300, ge=1, description="Validation tasks measured.")
    cpu_minutes: float | None = Field(
        default=None, gt=0, description="End early, with the rate lowered in time."
    )


@dataclass(slots=True)
class _Run:
    """A training run in memory."""

    config: RewardConfig
    settings: dict[str, Any]
    card: dict[str, Any]
    out: Path
    values: ValueModel
    tokenizer: Any
    train: list[Group]
    val: list[Group]
    pool: list[Group]
    history: list[dict[str, float]] = field(default_factory=list)

    @property
    def best(self) -> dict[str, float]:
        """The evaluation that chose the checkpoint; the later one of equals."""
        return max(self.history, key=lambda e: (e["best_of_n"], e["step"]))


def train_reward_model(
    config: RewardConfig,
    samples: Path,
    pool: Path,
    policy: Path,
    out: Path,
    *,
    progress: Progress = silent,
) -> dict[str, object]:
    """Train a reward model and keep the checkpoint that chooses best on dev types.

    Validation loss and sibling accuracy on held-in types are recorded, but they do not
    choose: fitting the held-in types on lowers both and costs success on others.

    Args:
        config: Settings.
        samples: Folder of stage `samples`.
        pool: Folder of stage `pool`.
        policy: Folder of the policy, whose body is the start.
        out: Output folder; a stopped run goes on after its last evaluation.
        progress: Told about every tenth step.

    Returns:
        The manifest; its counts hold every evaluation and the one chosen.
    """
    settings = {
        **config.plain(),
        "train": file_digest(samples / "train.jsonl"),
        "val": file_digest(samples / "val.jsonl"),
        "pool": file_digest(pool / POOL_FILE),
        "policy": folder_digest(policy),
    }
    done = finished(out, settings)
    if done is not None:
        return done
    began = time.monotonic()
    settle()
    run = _prepare(config, settings, samples, pool, policy, out)
    _fit(run, progress)
    return write_manifest(
        out,
        stage="rm",
        config=settings,
        inputs={k: settings[k] for k in ("train", "val", "pool", "policy")},
        counts={
            "tasks": len(run.train),
            "paths": sum(len(group.ids) for group in run.train),
            "labels": sum(len(group.labels) for group in run.train),
            "tokens": sum(group.tokens for group in run.train),
            "pool_tasks": len(run.pool),
            "chosen": run.best,
            "evaluations": run.history,
        },
        seconds=time.monotonic() - began,
        outputs=["model.safetensors"],
    )


def _prepare(
    config: RewardConfig,
    settings: dict[str, Any],
    samples: Path,
    pool: Path,
    policy: Path,
    out: Path,
) -> _Run:
    tokenizer = AutoTokenizer.from_pretrained(policy)
    model = _new_model(policy, config.seed)
    encoder = PathEncoder(tokenizer)
    context = int(model.config.max_position_embeddings)

    files = {
        "train": samples / "train.jsonl",
        "val": samples / "val.jsonl",
        "pool": pool / POOL_FILE,
    }
    tasks = {
        side: read_samples(path, on_bad=config.on_bad_row)
        for side, path in files.items()
    }
    check_tasks_apart(tasks)

    def groups(side: str, limit: int | None = None) -> list[Group]:
        some = tasks[side][:limit]
        encoded = [encode_group(encoder, task, context) for task in some]
        return [group for group in encoded if group.ids]

    card = {
        "kind": "reward",
        "serializer": SERIALIZER,
        "value_range": [0.0, 1.0],
        "base": settings["policy"],
        "data": settings["train"],
    }
    train = [g for g in groups("train") if g.labels]
    val = [g for g in groups("val", config.val_tasks) if g.labels]
    chosen_by = groups("pool")
    return _Run(
        config,
        settings,
        card,
        out,
        ValueModel(model),
        tokenizer,
        train,
        val,
        chosen_by,
    )


def _new_model(policy: Path, seed: int) -> Any:
    # The head is meant to be new here; transformers would print a report about it.
    level = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        model, report = AutoModelForSequenceClassification.from_pretrained(
            policy,
            num_labels=1,
            problem_type="regression",
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    finally:
        transformers_logging.set_verbosity(level)
    lacking = sorted(set(report["missing_keys"]) - {"score.weight"})
    if lacking or not hasattr(model, "score"):
        msg = f"The policy's body does not fit a value head; it lacks {lacking}."
        raise CheckpointError(msg, remedy="Start from a folder that stage `bc` wrote.")
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        model.score.weight.normal_(std=0.01, generator=generator)
    return model


def _fit(run: _Run, progress: Progress) -> None:
    config, model = run.config, run.values.model
    optimisers = Optimisers(
        model,
        matrices=config.matrix_lr,
        rest=config.lr,
        weight_decay=config.weight_decay,
    )
    state = load_state(
        run.out, lambda s: same_settings(s["config"], run.settings, where=run.out.name)
    )
    step, spent, mean = 0, 0.0, 0.0
    if state:
        model.load_state_dict(state["model"])
        optimisers.load(state["optimisers"])
        step, spent, run.history = state["step"], state["cpu"], state["history"]
        # A run begun by an earlier version has none, and begins a new mean.
        mean = state.get("loss", 0.0)
    began = time.process_time() - spent
    limit = (config.cpu_minutes or math.inf) * 60
    plan = [batch for epoch in range(config.epochs) for batch in _batches(run, epoch)]
    every = max(1, len(plan) // (config.epochs * config.evaluations))
    model.train()
    while step < len(plan):
        share = max(step / len(plan), (time.process_time() - began) / limit)
        if share >= 1:
            break
        found, targets = run.values.labelled([run.train[i] for i in plan[step]])
        loss = functional.mse_loss(found, targets)
        optimisers.step(loss, _rate(step, share))
        step += 1
        mean = loss.item() if not mean else 0.98 * mean + 0.02 * loss.item()
        if step % 10 == 0:
            progress(share, 1, loss=mean)
        # The last one would lie just before the end, so it is left to the end.
        if step % every == 0 and step + every <= len(plan):
            _evaluate(run, optimisers, step, mean, time.process_time() - began)
            progress(share, 1, dev=run.history[-1]["best_of_n"])
    if not run.history or run.history[-1]["step"] != step:
        _evaluate(run, optimisers, step, mean, time.process_time() - began)
    progress(1, 1, dev=run.best["best_of_n"])


def _evaluate(
    run: _Run, optimisers: Optimisers, step: int, loss: float, cpu: float
) -> None:
    model = run.values.model
    model.eval()
    with torch.inference_mode():
        found: list[float] = []
        targets: list[float] = []
        for batch in _parts(run.val):
            values, wanted = run.values.labelled(batch)
            found += values.tolist()
            targets += wanted.tolist()
        chosen = run.values.last(run.pool)
    model.train()
    pairs = sibling_pairs(run.val, _GAP)
    mean = sum(targets) / len(targets)
    best, auc = pick_best(run.pool, chosen)
    squares = [(x - y) ** 2 for x, y in zip(found, targets, strict=True)]
    entry = {
        "step": step,
        "loss": loss,
        "val_mse": sum(squares) / len(squares),
        "val_variance": sum((y - mean) ** 2 for y in targets) / len(targets),
        "siblings": sum(found[a] > found[b] for a, b in pairs) / max(1, len(pairs)),
        "pool_auc": auc,
        "best_of_n": best,
        "cpu_seconds": cpu,
    }
    run.history.append({name: round(value, 4) for name, value in entry.items()})
    if run.best["step"] == step:
        save_model(model, run.tokenizer, run.card, run.out)
    save_state(
        run.out,
        {
            "config": run.settings,
            "model": model.state_dict(),
            "optimisers": optimisers.state(),
            "step": step,
            "cpu": cpu,
            "loss": loss,
            "history": run.history,
        },
    )


def _batches(run: _Run, epoch: int) -> list[list[int]]:
    rng = random.Random(f"{run.config.seed}-{epoch}")  # noqa: S311 - order, no secret
    longest = [max(map(len, group.ids)) for group in run.train]
    costs = [group.tokens for group in run.train]
    return pack(longest, run.config.batch_tokens, rng, costs=costs, jitter=20)


def _parts(groups: Sequence[Group]) -> list[list[Group]]:
    # In order, so that values come as `sibling_pairs` counts labels.
    out: list[list[Group]] = [[]]
    tokens = 0
    for group in groups:
        if out[-1] and tokens + group.tokens > _VAL_TOKENS:
            out.append([])
            tokens = 0
        out[-1].append(group)
        tokens += group.tokens
    return out


def _rate(step: int, share: float) -> float:
    return min(1.0, (step + 1) / _WARM_UP) * max(0.02, 1 - share)
