"""Stage `explicit`: a value model from any causal checkpoint, in transformers' trainer.

The loss is the squared error between the value of a state and its label (AgentRM, the
explicit reward model). `objective="pairwise"` trains on pairs of siblings alone, and
`"mixed"` on both. TRL's RewardTrainer knows pairs only, so that it could not mix them
with the squared error; here both are one loss in one trainer, with one order of the
data, one rule of truncation and one choice of the checkpoint.

Several GPUs: start the command with `accelerate launch`; TRL ships configurations for
FSDP and DeepSpeed.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from transformers import set_seed

from langchain_agentrm._checkpoint import load_tokenizer
from langchain_agentrm._files import (
    file_digest,
    finished,
    folder_digest,
    write_manifest,
    writing,
)
from langchain_agentrm._tokens import ChatTokens
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.reward_models._checkpoint.sources import find_folder
from langchain_agentrm.training._bins import bin_centres
from langchain_agentrm.training._checkpoints import (
    begin,
    clean,
    last_checkpoint,
    save_best,
)
from langchain_agentrm.training._config import Progress, silent
from langchain_agentrm.training._examples import (
    Example,
    Unit,
    encode,
    examples_of,
    family_units,
    path_units,
    siblings,
)
from langchain_agentrm.training._finetune import Mode
from langchain_agentrm.training._regression import UnitCollator, ValueTrainer, judged
from langchain_agentrm.training._sample_rules import check_tasks_apart
from langchain_agentrm.training._trainer import (
    Listed,
    OptimConfig,
    arguments,
    context_limit,
    first_process,
    settle_on_cpu,
    told,
)
from langchain_agentrm.training._value_model import (
    adapt,
    check_reading,
    choose_padding,
    new_value_model,
    quantized,
)
from langchain_agentrm.training.samples import TaskSamples, read_samples
from langchain_agentrm.trajectory import SERIALIZER

__all__ = ["ExplicitConfig", "train_explicit"]

_RATES = {"full": 1e-5, "lora": 1e-4, "qlora": 1e-4}


class ExplicitConfig(OptimConfig):
    """Settings of stage `explicit`."""

    mode: Mode = Field(default="full", description="full, lora or qlora.")
    objective: Literal["mse", "pairwise", "mixed"] = Field(
        default="mse", description="Squared error, pairs of siblings, or both."
    )
    lr: float | None = Field(
        default=None, gt=0, description="Learning rate; 1e-5 full, 1e-4 LoRA."
    )
    bins: int = Field(
        default=1, ge=1, description="Above 1: a distribution over so many values."
    )
    gap: float = Field(
        default=0.1, gt=0, description="Difference of labels that makes a pair."
    )
    family: int = Field(default=8, ge=2, description="Siblings read together.")
    pair_share: float = Field(
        default=0.5, gt=0, description="mixed: weight of the pairs beside the error."
    )
    margin: float = Field(
        default=1.0, ge=0, description="Share of a gap that values should keep apart."
    )
    sharpness: float = Field(
        default=1.0, gt=0, description="Factor on a pair's difference of values."
    )
    select: Literal["siblings", "mse"] = Field(
        default="siblings",
        description="Held-out figure that chooses: sibling accuracy, or least error.",
    )
    val_tasks: int = Field(default=300, ge=1, description="Validation tasks measured.")


@dataclass(slots=True)
class _Data:
    """Examples, and the units that they are read in."""

    examples: list[Example] = field(default_factory=list)
    units: list[Unit] = field(default_factory=list)
    too_long: int = 0

    @property
    def listed(self) -> Listed:
        """The units as a data set."""
        return Listed(self.units, [unit.tokens for unit in self.units])

    @property
    def pairs(self) -> int:
        """Pairs of siblings in the units."""
        return sum(len(unit.pairs) for unit in self.units)


def train_explicit(
    config: ExplicitConfig,
    samples: Path,
    base: str | Path,
    out: Path,
    *,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Train a value model and keep the checkpoint that orders siblings best.

    The head is new: one output, no bias, all zeros; labels stay raw in 0..1. All states
    of a path are read in one forward pass, which a causal model allows. Checkpoints are
    chosen on held-out tasks, by default by how often siblings are ordered as their
    labels are: a low error comes from knowing how far along an episode is, which says
    nothing about the candidates of one state.

    Args:
        config: Settings.
        samples: Folder of stage `samples`.
        base: Folder or hub id of a causal or sequence-classification checkpoint.
        out: Output folder; a stopped run goes on after its last checkpoint.
        progress: Told about what the trainer logs.

    Returns:
        The manifest; its counts hold every evaluation and the one chosen.

    Raises:
        CheckpointError: If the base or the samples do not fit.
        ConfigurationError: If the settings cannot work, or differ from those that the
            folder was begun with.
    """
    folder = find_folder(base, what="base model")
    settings = {
        **config.plain(),
        "train": file_digest(samples / "train.jsonl"),
        "val": file_digest(samples / "val.jsonl"),
        "base": folder_digest(folder),
    }
    done = finished(out, settings)
    if done is not None:
        return done
    began = time.monotonic()
    settle_on_cpu()
    set_seed(config.seed)
    tokenizer = load_tokenizer(folder)
    model = _model(config, folder)
    choose_padding(tokenizer, model.config, str(base))
    if first_process():
        check_reading(model, tokenizer, str(base))
    limit = context_limit(config, model)
    tokens = ChatTokens(tokenizer)
    tasks = {
        side: read_samples(samples / f"{side}.jsonl", on_bad=config.on_bad_row)
        for side in ("train", "val")
    }
    check_tasks_apart(tasks)
    train = _load(config, tasks["train"], tokens, limit)
    val = _load(config, tasks["val"][: config.val_tasks], tokens, limit, held_out=True)
    pairs = _held_out_pairs(config, train, val)
    # Only now: what cannot be read must not bind the folder to these settings.
    begin(out, settings)
    trainer = ValueTrainer(
        shares=(
            float(config.objective != "pairwise"),
            {"mse": 0.0, "pairwise": 1.0, "mixed": config.pair_share}[config.objective],
        ),
        margin=config.margin,
        sharpness=config.sharpness,
        centres=bin_centres(config.bins) if config.bins > 1 else (),
        model=model,
        args=arguments(
            config,
            out,
            lr=config.lr or _RATES[config.mode],
            units=len(train.units),
            best_by="choice",
        ),
        train_dataset=train.listed,
        eval_dataset=val.listed,
        data_collator=UnitCollator(tokenizer, train.examples),
        processing_class=tokenizer,
        compute_metrics=judged(
            val.examples, config.gap, by_error=config.select == "mse"
        ),
        callbacks=[told(progress)],
        held_out=UnitCollator(tokenizer, val.examples),
    )
    with writing(out, room_only=True):
        trainer.train(resume_from_checkpoint=last_checkpoint(out))
        weights = save_best(trainer, _card(config, settings), out)
    evaluations = trainer.evaluations
    if not trainer.is_world_process_zero():
        return {"stage": "explicit", "seconds": 0.0, "counts": {}}
    manifest = write_manifest(
        out,
        stage="explicit",
        config=settings,
        inputs={name: settings[name] for name in ("train", "val", "base")},
        counts={
            "examples": len(train.examples),
            "texts": sum(len(unit.texts) for unit in train.units),
            "tokens": sum(unit.tokens for unit in train.units),
            "pairs": train.pairs,
            "too_long": train.too_long,
            "val_examples": len(val.examples),
            "val_pairs": pairs,
            "steps": trainer.state.global_step,
            "chosen": next(
                e for e in evaluations if e["step"] == trainer.state.best_global_step
            ),
            "evaluations": evaluations,
        },
        seconds=time.monotonic() - began,
        outputs=weights,
    )
    clean(out)
    return manifest


def _model(config: ExplicitConfig, folder: Path) -> Any:
    gpu = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    # A whole model is trained in float32 with bfloat16 arithmetic; a frozen base needs
    # no more than bfloat16.
    small = gpu and config.mode != "full"
    model = new_value_model(
        folder,
        dtype=torch.bfloat16 if small else torch.float32,
        outputs=config.bins,
        quantization=quantized() if config.mode == "qlora" else None,
    )
    if config.mode == "full":
        return model
    return adapt(
        model,
        "SEQ_CLS",
        rank=config.lora_rank,
        alpha=config.lora_alpha,
        quantised=config.mode == "qlora",
    )


def _load(
    config: ExplicitConfig,
    tasks: Sequence[TaskSamples],
    tokens: ChatTokens,
    limit: int,
    *,
    held_out: bool = False,
) -> _Data:
    data = _Data()
    side = "val" if held_out else "train"
    for samples in tasks:
        examples = examples_of(samples)
        first = len(data.examples)
        texts = {
            first + i: ids
            for i, ids in enumerate(encode(tokens, examples, limit))
            if ids is not None
        }
        data.too_long += len(examples) - len(texts)
        data.examples += examples
        if held_out or config.objective == "mse":
            data.units += path_units(texts)
            continue
        units = family_units(texts, data.examples, gap=config.gap, most=config.family)
        keep_all = config.objective == "mixed"
        data.units += [unit for unit in units if unit.pairs or keep_all]
    if not data.units:
        msg = (
            f"{side}.jsonl gives {len(data.examples)} labels, {data.too_long} of them "
            f"longer than {limit} tokens, and nothing to train on by "
            f"{config.objective!r}."
        )
        raise ConfigurationError(
            msg, remedy="Give more tasks, a longer max_length or a smaller gap."
        )
    return data


def _held_out_pairs(config: ExplicitConfig, train: _Data, val: _Data) -> int:
    read = {n for unit in val.units for _, _, n in unit.reads}
    pairs = 0
    for family in siblings(val.examples, read):
        values = [val.examples[n].value for n in family]
        pairs += sum(
            abs(x - y) >= config.gap
            for i, x in enumerate(values)
            for y in values[i + 1 :]
        )
    if config.select == "siblings" and not pairs:
        msg = (
            f"None of {len(val.examples)} held-out states has a sibling {config.gap} "
            f"apart, and {len(train.examples)} train states cannot choose a checkpoint."
        )
        raise ConfigurationError(
            msg, remedy="Hold out more tasks, or choose with select='mse'."
        )
    return pairs


def _card(config: ExplicitConfig, settings: dict[str, Any]) -> dict[str, Any]:
    card: dict[str, Any] = {
        "kind": "reward",
        "serializer": SERIALIZER,
        "objective": config.objective,
        "base": settings["base"],
        "data": settings["train"],
    }
    if config.objective != "pairwise":
        card["value_range"] = [0.0, 1.0]
    if config.bins > 1:
        card["distribution"] = {"low": 0.0, "high": 1.0}
    return card
