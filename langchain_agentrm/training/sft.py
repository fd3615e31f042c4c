"""Stage `sft`: behaviour cloning of a pretrained chat model, with TRL.

The loss is cross-entropy on the tokens of the assistant messages that stage
`dialogues` flagged (AgentRM, step 1). Several GPUs: start the command with
`accelerate launch`; TRL ships configurations for FSDP and DeepSpeed.
"""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import torch
from datasets import Dataset
from pydantic import Field, model_validator
from transformers import PrinterCallback, set_seed
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from langchain_agentrm._files import (
    file_digest,
    finished,
    read_json,
    write_manifest,
    writing,
)
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.training._checkpoints import (
    begin,
    clean,
    last_checkpoint,
    sort_adapter,
)
from langchain_agentrm.training._config import Progress, ReadConfig, silent
from langchain_agentrm.training._finetune import (
    Base,
    Mode,
    adapter,
    load_tokenizer,
    merged,
    resolve_dtype,
)
from langchain_agentrm.training._optim import save_model
from langchain_agentrm.training._sft_rows import Encoded, encode_rows
from langchain_agentrm.training._templates import (
    TrainingTemplate,
    choose_template,
    pinned,
    plain,
    same_rendering,
)
from langchain_agentrm.training._trainer import settle_on_cpu, told
from langchain_agentrm.training.dialogues import TRAJECTORIES_FILE, read_trajectories
from langchain_agentrm.trajectory import SERIALIZER

__all__ = ["FineTuneConfig", "fine_tune"]

_CHECKPOINTS = "checkpoints"
_ADAPTER = "adapter"
# transformers renamed the option; the old name warns where the new one exists.
_RECOMPUTE = next(
    name
    for name in ("activation_checkpointing", "gradient_checkpointing")
    if name in SFTConfig.__dataclass_fields__
)


class FineTuneConfig(ReadConfig):
    """Settings of stage `sft`; the defaults are AgentRM's for an 8B Llama."""

    base: str = Field(description="Folder of the model, or its name on the hub.")
    revision: str | None = Field(default=None, description="Commit, tag or branch.")
    mode: Mode = Field(default="full", description="full, lora or qlora.")
    template: str | None = Field(
        default=None,
        description="Training template: llama3, llama3_1, or a file; by default one "
        "that renders what the model's own renders.",
    )
    pad_token: str | None = Field(
        default=None, description="Token to pad with; by default an unused one."
    )
    lr: float | None = Field(
        default=None, gt=0, description="Rate; by default 2e-5 full, 1e-4 LoRA."
    )
    schedule: Literal["cosine", "linear", "constant_with_warmup"] = "cosine"
    warm_up: float = Field(default=0.1, ge=0, lt=1, description="Share of all steps.")
    epochs: float = Field(default=3, gt=0, description="Passes over the data.")
    batch: int = Field(default=64, ge=1, description="Episodes of one step.")
    per_device: int = Field(
        default=1, ge=1, description="Episodes at once on one GPU; divides the batch."
    )
    max_tokens: int = Field(default=4096, ge=8, description="Longest episode.")
    weight_decay: float = Field(default=0.0, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    rank: int = Field(default=32, ge=1, description="Rank of LoRA.")
    alpha: int = Field(default=64, ge=1, description="Scale of LoRA, times its rank.")
    dropout: float = Field(default=0.05, ge=0, lt=1, description="Dropout of LoRA.")
    gradient_checkpointing: bool = True
    precision: Literal["auto", "bf16", "float32"] = Field(
        default="auto", description="auto: bf16 where the GPU has it."
    )
    save_every: int = Field(default=20, ge=1, description="Steps between checkpoints.")

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.batch % self.per_device:
            msg = f"batch={self.batch} is no multiple of per_device={self.per_device}"
            raise ValueError(msg)
        return self

    @property
    def rate(self) -> float:
        """The learning rate."""
        return self.lr or (2e-5 if self.mode == "full" else 1e-4)


def fine_tune(
    config: FineTuneConfig, data: Path, out: Path, *, progress: Progress = silent
) -> dict[str, Any]:
    """Train a chat model on expert episodes.

    `out` gets a plain model folder that any server loads: the adapter of LoRA and QLoRA
    is merged, and lies in `out/adapter` too. A stopped run goes on from its last
    checkpoint, with the same order of data.

    Args:
        config: Settings.
        data: Folder of stage `dialogues`, or a file of such rows.
        out: Output folder.
        progress: Told about each step.

    Returns:
        The manifest; its counts hold tokens, steps and every loss that was logged.

    Raises:
        ConfigurationError: If no training template fits, no row fits the limit, the
            batch cannot be divided among the processes, or the run was begun with
            other settings.
    """
    source = data / TRAJECTORIES_FILE if data.is_dir() else data
    base = Base(config.base, config.revision)
    inputs = {"data": file_digest(source), "base": base.digest}
    # The digest stands for the base: where its folder lies changes nothing.
    settings = {**config.plain(), **inputs}
    done = finished(out, settings)
    if done is not None:
        return done
    began = time.monotonic()
    settle_on_cpu()
    run = prepare(config, base, source, out, progress)
    # Only now: what cannot be prepared must not bind the folder to its settings.
    begin(out, settings)
    trainer = run.trainer
    with writing(out, room_only=True):
        trainer.train(resume_from_checkpoint=last_checkpoint(out))
        # All processes take part: where weights are sharded, saving gathers them.
        trainer.save_model(str(out / _CHECKPOINTS / "final"))
    manifest: dict[str, Any] = {}
    if trainer.is_world_process_zero():
        _finish(run, inputs, out)
        manifest = write_manifest(
            out,
            stage="sft",
            config=settings,
            inputs=inputs,
            counts=run.counts(),
            seconds=time.monotonic() - began,
            outputs=sorted(p.name for p in out.glob("*.safetensors")),
        )
        clean(out)
    trainer.accelerator.wait_for_everyone()
    return manifest or dict(read_json(out / "manifest.json"))


@dataclass(slots=True)
class Run:
    """A prepared run: what stage `sft` trains, and what tests look into."""

    config: FineTuneConfig
    base: Base
    template: TrainingTemplate
    tokenizer: Any
    dtype: torch.dtype
    train: Encoded
    val: Encoded
    trainer: Any

    def counts(self) -> dict[str, Any]:
        """What the manifest says about the run."""
        history = self.trainer.state.log_history
        names = ("step", "epoch", "loss", "eval_loss", "grad_norm", "learning_rate")
        return {
            "rows": len(self.train.input_ids),
            "val_rows": len(self.val.input_ids),
            "tokens": self.train.tokens,
            "trained_tokens": self.train.trained,
            "shortened": self.train.shortened + self.val.shortened,
            "dropped": [*self.train.dropped, *self.val.dropped],
            "steps": self.trainer.state.global_step,
            "processes": self.trainer.args.world_size,
            "dtype": str(self.dtype).removeprefix("torch."),
            "template": self.template.name,
            "parameters": sum(p.numel() for p in self.trainer.model.parameters()),
            "trained_parameters": sum(
                p.numel() for p in self.trainer.model.parameters() if p.requires_grad
            ),
            "history": [{k: e[k] for k in names if k in e} for e in history],
        }


def prepare(
    config: FineTuneConfig, base: Base, source: Path, out: Path, progress: Progress
) -> Run:
    """Load the model, tokenize the rows, and make the trainer."""
    tokenizer = load_tokenizer(base, config.pad_token)
    template = choose_template(tokenizer, config.template)
    rows = read_trajectories(source, on_bad=config.on_bad_row)
    train, val = (
        encode_rows(
            tokenizer,
            template.text,
            [row for row in rows if row["split"] == split],
            config.max_tokens,
        )
        for split in ("train", "val")
    )
    if not train.input_ids:
        msg = (
            f"None of {len(rows)} rows of {source} leaves anything to train on; "
            f"{len(train.dropped)} of split 'train' have no action within "
            f"{config.max_tokens} tokens."
        )
        raise ConfigurationError(msg, remedy="Raise max_tokens, or check the rows.")
    dtype = resolve_dtype(config.precision)
    # Before the model: they tell this process its device, and DeepSpeed how to load.
    arguments = _arguments(config, out, dtype, bool(val.input_ids))
    # LoRA draws its first weights, before the trainer sets any seed.
    set_seed(config.seed)
    quantized = config.mode == "qlora"
    # bf16 keeps 8 bits of a weight: steps at a rate of 2e-5 would be rounded away, so
    # weights that are trained themselves are held in float32.
    held = torch.float32 if config.mode == "full" else dtype
    model = base.load(held, quantized=quantized)
    model.config.use_cache = False
    trainer = SFTTrainer(
        model=model,
        args=arguments,
        train_dataset=_dataset(train),
        eval_dataset=_dataset(val) if val.input_ids else None,
        processing_class=tokenizer,
        peft_config=None
        if config.mode == "full"
        else adapter(config.rank, config.alpha, config.dropout),
        callbacks=[told(progress)],
    )
    trainer.remove_callback(PrinterCallback)
    return Run(config, base, template, tokenizer, dtype, train, val, trainer)


def _arguments(
    config: FineTuneConfig, out: Path, dtype: torch.dtype, validate: bool
) -> SFTConfig:
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    at_once = config.per_device * processes
    if config.batch % at_once:
        msg = (
            f"batch={config.batch} cannot be divided among {processes} processes with "
            f"per_device={config.per_device} each."
        )
        raise ConfigurationError(
            msg, remedy=f"Choose a batch that is a multiple of {at_once}."
        )
    on_gpu = torch.cuda.is_available()
    recompute: dict[str, Any] = {_RECOMPUTE: config.gradient_checkpointing}
    return SFTConfig(
        output_dir=str(out / _CHECKPOINTS),
        # Rows come tokenized and cut, with their labels.
        max_length=None,
        assistant_only_loss=False,
        per_device_train_batch_size=config.per_device,
        per_device_eval_batch_size=config.per_device,
        gradient_accumulation_steps=config.batch // at_once,
        num_train_epochs=config.epochs,
        learning_rate=config.rate,
        lr_scheduler_type=config.schedule,
        warmup_steps=config.warm_up,
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        **recompute,
        bf16=dtype == torch.bfloat16,
        use_cpu=not on_gpu,
        dataloader_pin_memory=on_gpu,
        save_strategy="steps",
        save_steps=config.save_every,
        save_total_limit=2,
        eval_strategy="epoch" if validate else "no",
        logging_steps=1,
        report_to="none",
        disable_tqdm=True,
        seed=config.seed,
        data_seed=config.seed,
    )


def _dataset(rows: Encoded) -> Any:
    return Dataset.from_dict({"input_ids": rows.input_ids, "labels": rows.labels})


def _finish(run: Run, inputs: dict[str, str], out: Path) -> None:
    """Write the model folder in the type that was computed in."""
    final = out / _CHECKPOINTS / "final"
    if run.config.mode == "full":
        model = Base(str(final)).load(run.dtype)
    else:
        model = merged(run.base, final, run.dtype)
        _keep_adapter(final, out / _ADAPTER)
    model.config.use_cache = True
    model.config.pad_token_id = run.tokenizer.pad_token_id
    model.generation_config.pad_token_id = run.tokenizer.pad_token_id
    run.tokenizer.chat_template = _served(run)
    card = {
        "kind": "policy",
        "serializer": SERIALIZER,
        "base": run.config.base,
        "revision": run.config.revision,
        "mode": run.config.mode,
        "template": run.template.name,
        **{f"{name}_digest": value for name, value in inputs.items()},
    }
    save_model(model, run.tokenizer, card, out)


def _served(run: Run) -> str:
    """The template that servers use: the model's own, if it writes the same text."""
    own = run.tokenizer.chat_template
    if isinstance(own, str) and same_rendering(run.tokenizer, own, run.template.text):
        return pinned(plain(own))
    return plain(run.template.text)


def _keep_adapter(source: Path, target: Path) -> None:
    sort_adapter(source)
    target.mkdir(parents=True, exist_ok=True)
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        part = target / f".{name}"
        shutil.copyfile(source / name, part)
        part.replace(target / name)
