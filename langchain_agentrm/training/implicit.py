"""Stage `implicit`: a reward that a policy's own likelihoods give, by LoRA.

The reward of a step is `beta * log(policy(a_t | s_t) / reference(a_t | s_t))`, summed
over the tokens of the action (AgentRM, the implicit reward model). The policy is the
checkpoint with an adapter on, the reference the same with it off.

Objectives, for the sum R of an episode's rewards and its score G:

- `mse`: (R - G)^2, as the paper is summarised;
- `step`: the cumulative sums against the progress after each step;
- `centered`: (R + mean score - G)^2. Scores are never negative and a log-ratio has no
  bias, so `mse` raises the likelihood of every action, and then R grows with the length
  of the episode: failed ones are long. The offset takes this out at once;
- `ce`: cross-entropy of sigmoid(R) and G;
- `dpo`: pairs of episodes of one task. TRL's trainers count the tokens of the
  environment as the model's own in dialogues of several turns; here they are masked.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
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
    write_jsonl,
    write_manifest,
    writing,
)
from langchain_agentrm._tokens import ChatTokens
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.reward_models._checkpoint.sources import find_folder
from langchain_agentrm.reward_models._implicit.probe import check_template
from langchain_agentrm.training._checkpoints import (
    begin,
    clean,
    last_checkpoint,
    save_best,
)
from langchain_agentrm.training._config import Progress, silent, unit
from langchain_agentrm.training._finetune import Base
from langchain_agentrm.training._ratios import (
    Objective,
    RatioCollator,
    RatioTrainer,
    RatioUnit,
    Spans,
    encode_rollout,
    judged_rollouts,
    pair_units,
    single_units,
)
from langchain_agentrm.training._trainer import (
    Listed,
    OptimConfig,
    arguments,
    context_limit,
    settle_on_cpu,
    told,
)
from langchain_agentrm.training._value_model import adapt, quantized
from langchain_agentrm.training.rollouts import ROLLOUTS_FILE, Rollout, read_rollouts
from langchain_agentrm.trajectory import SERIALIZER

__all__ = ["SCORES_FILE", "ImplicitConfig", "train_implicit"]

SCORES_FILE = "val_scores.jsonl"


class ImplicitConfig(OptimConfig):
    """Settings of stage `implicit`."""

    mode: Literal["lora", "qlora"] = Field(
        default="lora", description="The base as it is, or in 4 bits."
    )
    objective: Objective = Field(
        default="centered", description="mse (paper), step, centered, ce or dpo."
    )
    lr: float = Field(default=1e-5, gt=0, description="Learning rate.")
    beta: float = Field(default=0.05, gt=0, description="Factor of the log-ratios.")
    gap: float = Field(
        default=0.1, gt=0, description="Difference of scores that makes a pair."
    )
    pairs_per_task: int = Field(default=16, ge=1, description="dpo: pairs of a task.")
    val_share: float = Field(
        default=1 / 12, gt=0, lt=1, description="Share of tasks kept for validation."
    )


@dataclass(slots=True)
class _Data:
    """Episodes, and the units that they are read in."""

    rollouts: list[Rollout]
    encoded: dict[int, Spans]
    units: list[RatioUnit]
    refused: int

    @property
    def listed(self) -> Listed:
        """The units as a data set."""
        tokens = [sum(self.encoded[n].tokens for n in u.numbers) for u in self.units]
        return Listed(self.units, tokens)


def train_implicit(
    config: ImplicitConfig,
    rollouts: Path,
    base: str | Path,
    out: Path,
    *,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Train an adapter whose likelihoods are rewards.

    The checkpoint that is kept orders most pairs of episodes of a held-out task as
    their scores do. Beside it every evaluation says how the sum of rewards goes with
    the length of the episode, which is what such models learn in place of success.

    Args:
        config: Settings.
        rollouts: Folder of stage `rollouts`.
        base: Folder or hub id of the policy, which is also the reference.
        out: Output folder; a stopped run goes on after its last checkpoint.
        progress: Told about what the trainer logs.

    Returns:
        The manifest; its counts hold every evaluation and the one chosen. The rewards
        of the held-out episodes are in `val_scores.jsonl`.

    Raises:
        CheckpointError: If base or rollouts do not fit.
        ConfigurationError: If the settings cannot work, or differ from those that the
            folder was begun with.
    """
    folder = find_folder(base, what="policy")
    settings = {
        **config.plain(),
        "rollouts": file_digest(rollouts / ROLLOUTS_FILE),
        "base": folder_digest(folder),
    }
    done = finished(out, settings)
    if done is not None:
        return done
    began = time.monotonic()
    settle_on_cpu()
    set_seed(config.seed)
    tokenizer = load_tokenizer(folder)
    tokens = ChatTokens(tokenizer)
    check_template(str(base), tokens)
    model = _model(config, folder)
    limit = context_limit(config, model)
    train, val = _load(config, rollouts / ROLLOUTS_FILE, tokens, limit)
    # Only now: what cannot be read must not bind the folder to these settings.
    begin(out, settings)
    offset = _mean_score(train)
    trainer = RatioTrainer(
        objective=config.objective,
        beta=config.beta,
        offset=offset,
        model=model,
        args=arguments(
            config, out, lr=config.lr, units=len(train.units), best_by="choice"
        ),
        train_dataset=train.listed,
        eval_dataset=val.listed,
        data_collator=RatioCollator(tokenizer, train.rollouts, train.encoded),
        processing_class=tokenizer,
        compute_metrics=judged_rollouts(val.rollouts, config.gap),
        callbacks=[told(progress)],
        held_out=RatioCollator(tokenizer, val.rollouts, val.encoded),
    )
    with writing(out, room_only=True):
        trainer.train(resume_from_checkpoint=last_checkpoint(out))
    evaluations = trainer.evaluations
    scored = _scores(trainer, val)
    card = {
        "kind": "implicit",
        "serializer": SERIALIZER,
        "objective": config.objective,
        "beta": config.beta,
        "offset": offset if config.objective == "centered" else 0.0,
        "base": settings["base"],
        "data": settings["rollouts"],
    }
    with writing(out, room_only=True):
        weights = save_best(trainer, card, out)
    if not trainer.is_world_process_zero():
        return {"stage": "implicit", "seconds": 0.0, "counts": {}}
    write_jsonl(out / SCORES_FILE, scored)
    manifest = write_manifest(
        out,
        stage="implicit",
        config=settings,
        inputs={name: settings[name] for name in ("rollouts", "base")},
        counts={
            "episodes": sum(train.rollouts[n].count for n in train.encoded),
            "distinct": len(train.encoded),
            "units": len(train.units),
            "tokens": sum(spans.tokens for spans in train.encoded.values()),
            "refused": train.refused + val.refused,
            "val_episodes": len(val.encoded),
            "mean_score": round(offset, 4),
            "steps": trainer.state.global_step,
            "chosen": next(
                e for e in evaluations if e["step"] == trainer.state.best_global_step
            ),
            "evaluations": evaluations,
        },
        seconds=time.monotonic() - began,
        outputs=[*weights, SCORES_FILE],
    )
    clean(out)
    return manifest


def _model(config: ImplicitConfig, folder: Path) -> Any:
    gpu = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    if config.mode == "qlora":
        quantized()
    model = Base(str(folder)).load(
        torch.bfloat16 if gpu else torch.float32, quantized=config.mode == "qlora"
    )
    return adapt(
        model,
        "CAUSAL_LM",
        rank=config.lora_rank,
        alpha=config.lora_alpha,
        quantised=config.mode == "qlora",
    )


def _load(
    config: ImplicitConfig, path: Path, tokens: ChatTokens, limit: int
) -> tuple[_Data, _Data]:
    rows = read_rollouts(path, on_bad=config.on_bad_row)
    sides: dict[bool, _Data] = {held: _Data([], {}, [], 0) for held in (False, True)}
    why = ""
    for row in rows:
        # The same hash as stage samples takes, so that both models hold out alike.
        data = sides[unit("val", row.task["id"]) < config.val_share]
        spans = encode_rollout(tokens, row, limit)
        if isinstance(spans, str):
            data.refused, why = data.refused + 1, spans
            continue
        data.encoded[len(data.rollouts)] = spans
        data.rollouts.append(row)
    train, val = sides[False], sides[True]
    val.units = single_units(list(val.encoded))
    if config.objective == "dpo":
        train.units = pair_units(
            list(train.encoded),
            train.rollouts,
            gap=config.gap,
            per_task=config.pairs_per_task,
            seed=config.seed,
        )
    else:
        train.units = single_units(list(train.encoded))
    if not train.units or not val.units:
        msg = (
            f"{path} gives {len(train.units)} units to train by {config.objective!r} "
            f"and {len(val.units)} held-out episodes of {len(rows)}"
            + (f"; one was refused, for {why}." if why else ".")
        )
        raise ConfigurationError(
            msg, remedy="Give more tasks, a longer max_length or a smaller gap."
        )
    return train, val


def _mean_score(data: _Data) -> float:
    weights = [data.rollouts[n].count for n in data.encoded]
    scores = [data.rollouts[n].score for n in data.encoded]
    pairs = zip(weights, scores, strict=True)
    return sum(weight * score for weight, score in pairs) / sum(weights)


def _scores(trainer: RatioTrainer, val: _Data) -> list[dict[str, Any]]:
    prediction: Any = trainer.predict(val.listed)
    rows = []
    for row, number in zip(
        prediction.predictions, prediction.label_ids[:, 0], strict=True
    ):
        rollout = val.rollouts[int(number)]
        rewards = [float(x) for x in row[: len(rollout.steps)]]
        rows.append(
            {
                "task": rollout.task,
                "actions": [action for action, _ in rollout.steps],
                "rewards": rewards,
                "score": rollout.score,
                "count": rollout.count,
            }
        )
    return rows
