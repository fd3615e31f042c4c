"""What the trainers of reward models share: sums, order, checkpoints, saving."""

from __future__ import annotations

import os
import random
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler
from transformers import (
    PreTrainedTokenizerBase,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.training._checkpoints import CHECKPOINTS
from langchain_agentrm.training._config import Progress, ReadConfig
from langchain_agentrm.training._policy import settle

__all__ = [
    "Listed",
    "OptimConfig",
    "SumTrainer",
    "arguments",
    "context_limit",
    "first_process",
    "settle_on_cpu",
    "stack",
    "told",
]

# transformers renamed the option, and warns of the old name where it has the new one.
_RECOMPUTE = next(
    name
    for name in ("activation_checkpointing", "gradient_checkpointing")
    if name in TrainingArguments.__dataclass_fields__
)


class OptimConfig(ReadConfig):
    """Settings of the optimiser and of the trainer, which all objectives share."""

    epochs: float = Field(default=1.0, gt=0, description="Passes over the data.")
    batch_size: int = Field(default=8, ge=1, description="Units of one forward pass.")
    accumulate: int = Field(default=8, ge=1, description="Forward passes of a step.")
    warmup: float = Field(default=0.03, ge=0, description="Steps; below 1 a share.")
    schedule: str = Field(default="cosine", description="By transformers' name.")
    weight_decay: float = Field(default=0.0, ge=0, description="Decay of AdamW.")
    max_grad_norm: float = Field(default=1.0, gt=0, description="Gradient clipping.")
    max_length: int | None = Field(
        default=4096, ge=16, description="Tokens; older turns are dropped beyond."
    )
    evaluations: int = Field(default=4, ge=1, description="Evaluations an epoch.")
    lora_rank: int = Field(default=16, ge=1, description="Rank of LoRA.")
    lora_alpha: int = Field(default=32, ge=1, description="Alpha of LoRA.")
    gradient_checkpointing: bool = Field(
        default=False, description="Less memory for a third more time."
    )


class Listed(Dataset[Any]):
    """Units in memory, with the tokens of each, by which batches are made alike."""

    def __init__(self, units: Sequence[Any], tokens: Sequence[int]) -> None:
        """Take units and their tokens."""
        self.units = units
        self.tokens = tokens

    def __len__(self) -> int:
        """Count the units."""
        return len(self.units)

    def __getitem__(self, index: int) -> Any:
        """Give a unit."""
        return self.units[index]


class _ByLength(Sampler[int]):
    """Units of like length together, in an order that seed and epoch decide alone."""

    def __init__(self, tokens: Sequence[int], batch: int, seed: int) -> None:
        self._tokens = tokens
        self._batch = batch
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._tokens)

    def __iter__(self) -> Iterator[int]:
        rng = random.Random(f"{self._seed}-{self._epoch}")  # noqa: S311 - order
        order = list(range(len(self._tokens)))
        rng.shuffle(order)
        # Sorted within large blocks only, so that steps still see all of the data.
        block = self._batch * 32
        batches = []
        for at in range(0, len(order), block):
            part = sorted(order[at : at + block], key=lambda i: self._tokens[i])
            batches += [
                part[i : i + self._batch] for i in range(0, len(part), self._batch)
            ]
        # A short batch goes last, else all later ones would be cut in other places.
        short = [b for b in batches if len(b) < self._batch]
        whole = [b for b in batches if len(b) == self._batch]
        rng.shuffle(whole)
        for batch in [*whole, *short]:
            yield from batch


class SumTrainer(Trainer):
    """A trainer whose loss is a sum of terms, each over its own total of weights.

    A step's total is counted over all forward passes and processes of the step, so the
    gradient is the same however a batch is cut. Dividing by each pass's own total, or
    not at all, is the trap of gradient accumulation: with `forward(**kwargs)` the stock
    trainer takes the model to have done it.
    """

    loss_is_scaled_for_ga = True

    def __init__(self, *, held_out: Any = None, **options: Any) -> None:
        """Set up.

        Args:
            held_out: Makes batches of the evaluation data, which has other examples.
            **options: transformers' own.
        """
        super().__init__(**options)
        # A stage reports by its own progress, and prints nothing.
        self.remove_callback(PrinterCallback)
        self._held_out = held_out

    @property
    def evaluations(self) -> list[dict[str, float]]:
        """Figures of every evaluation, with its step."""
        return [
            {
                name.removeprefix("eval_"): round(value, 4)
                for name, value in entry.items()
                # Of the objective itself, not comparable: pairs are not read there.
                if not name.endswith(("_per_second", "_runtime", "_loss", "_choice"))
            }
            for entry in self.state.log_history
            if "eval_choice" in entry
        ]

    def get_eval_dataloader(self, eval_dataset: Any = None) -> DataLoader[Any]:
        """Batch the evaluation data by their own collator."""
        return self._held_out_loader(
            self.eval_dataset if eval_dataset is None else eval_dataset
        )

    def get_test_dataloader(self, test_dataset: Any) -> DataLoader[Any]:
        """Batch data to predict as the evaluation data."""
        return self._held_out_loader(test_dataset)

    def _held_out_loader(self, data: Any) -> DataLoader[Any]:
        loader: DataLoader[Any] = self.accelerator.prepare(
            DataLoader(
                data,
                batch_size=self.args.eval_batch_size,
                collate_fn=self._held_out or self.data_collator,
                pin_memory=self.args.dataloader_pin_memory,
            )
        )
        return loader

    @abstractmethod
    def sums(self, model: Any, inputs: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        """Sums of the terms of the loss [K], and what was predicted [N]."""

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Tensor | int | None]:
        """Take the batches of a step and add up the weights of its terms."""
        batches = []
        for _ in range(num_batches):
            batch = next(epoch_iterator, None)
            if batch is None:
                break
            batches.append(batch)
        if not batches:
            return batches, None
        totals = torch.stack([batch["totals"] for batch in batches]).sum(0)
        gathered: Tensor = self.accelerator.gather(totals.to(device)[None])
        return batches, gathered.sum(0)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Divide the terms by the step's totals, or by the batch's own."""
        alone = num_items_in_batch is None
        totals = inputs["totals"] if alone else num_items_in_batch
        sums, predicted = self.sums(model, inputs)
        loss = (sums / totals.clamp(min=1e-12)).sum()
        if not alone:
            # Gradients are averaged over processes, and totals are of them all.
            loss = loss * self.accelerator.num_processes
        return (loss, {"predicted": predicted}) if return_outputs else loss

    def prediction_step(
        self,
        model: Any,
        inputs: dict[str, Any],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Predict, and hand the numbers of the examples on as labels."""
        del ignore_keys
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad():
            loss, outputs = self.compute_loss(model, inputs, return_outputs=True)
        if prediction_loss_only:
            return loss, None, None
        return loss, outputs["predicted"], inputs["numbers"]

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        data: Any = self.train_dataset if train_dataset is None else train_dataset
        return _ByLength(data.tokens, self.args.train_batch_size, self.args.seed)


class _Told(TrainerCallback):
    """Tells a stage's progress what the trainer logs."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def on_log(
        self,
        args: TrainingArguments,
        state: Any,
        control: Any,
        logs: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> None:
        del args, control
        if not state.is_world_process_zero:
            return
        figures = {
            name.removeprefix("eval_"): float(value)
            for name, value in (logs or {}).items()
            if isinstance(value, int | float) and not name.endswith("per_second")
        }
        figures.pop("total_flos", None)
        self._progress(state.global_step, max(1, state.max_steps), **figures)


def arguments(
    config: OptimConfig, out: Path, *, lr: float, units: int, best_by: str
) -> TrainingArguments:
    """Make the trainer's arguments.

    Args:
        config: Settings.
        out: The stage's folder.
        lr: Learning rate.
        units: Units of the training data.
        best_by: The figure of an evaluation that chooses the checkpoint.

    Returns:
        The arguments.

    Raises:
        ConfigurationError: If this process sees several GPUs.
    """
    gpu = torch.cuda.is_available()
    recompute: dict[str, Any] = {}
    if config.gradient_checkpointing:
        recompute = {_RECOMPUTE: True, f"{_RECOMPUTE}_kwargs": {"use_reentrant": False}}
    made = TrainingArguments(
        output_dir=str(out / CHECKPOINTS),
        num_train_epochs=config.epochs,
        per_device_train_batch_size=config.batch_size,
        per_device_eval_batch_size=config.batch_size,
        gradient_accumulation_steps=config.accumulate,
        learning_rate=lr,
        lr_scheduler_type=config.schedule,
        warmup_steps=config.warmup,
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        bf16=gpu and torch.cuda.is_bf16_supported(),
        use_cpu=not gpu,
        seed=config.seed,
        data_seed=config.seed,
        logging_steps=10,
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=gpu,
        eval_strategy="steps",
        save_strategy="steps",
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model=best_by,
        greater_is_better=True,
        label_names=["numbers"],
        **recompute,
    )
    if made.n_gpu > 1:
        msg = f"One process sees {made.n_gpu} GPUs."
        raise ConfigurationError(
            msg,
            remedy="Start one process a GPU: accelerate launch --config_file CONFIG, "
            "or hide all GPUs but one with CUDA_VISIBLE_DEVICES.",
        )
    step = config.batch_size * config.accumulate * made.world_size
    steps = max(1, round(config.epochs * max(1, units // step)))
    every = max(1, round(steps / (config.epochs * config.evaluations)))
    made.eval_steps = made.save_steps = every
    return made


def told(progress: Progress) -> TrainerCallback:
    """Make the callback that reports to a stage's progress."""
    return _Told(progress)


def settle_on_cpu() -> None:
    """Use one thread where the work is done by a CPU."""
    if not torch.cuda.is_available():
        settle()


def first_process() -> bool:
    """Tell whether this is the first of the processes that train together.

    Under FSDP the others may hold no weights before training begins.
    """
    return int(os.environ.get("RANK", "0")) == 0


def context_limit(config: OptimConfig, model: Any) -> int:
    """Longest text in tokens: what is asked for, within what the model takes."""
    text = model.config.get_text_config(decoder=True)
    context = int(getattr(text, "max_position_embeddings", 0) or 1 << 30)
    return min(config.max_length or context, context)


def stack(rows: Sequence[Sequence[int]], tokenizer: PreTrainedTokenizerBase) -> Any:
    """Stack token rows, padded on the right, with their attention mask."""
    width = max(map(len, rows))
    # What is masked away may be any token where there is none for it.
    pad = tokenizer.pad_token_id or 0
    ids = torch.tensor([[*row, *[pad] * (width - len(row))] for row in rows])
    sizes = torch.tensor([len(row) for row in rows])
    mask = (torch.arange(width) < sizes[:, None]).long()
    return {"input_ids": ids, "attention_mask": mask}
