"""Log-ratios of whole episodes in transformers' trainer: the batches, the loss."""

from __future__ import annotations

import inspect
import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers import EvalPrediction, PreTrainedTokenizerBase

from langchain_agentrm._tokens import ChatTokens
from langchain_agentrm.metrics import mean, sibling_accuracy
from langchain_agentrm.reward_models._implicit.steps import Ids, StepRewards
from langchain_agentrm.training._config import derive
from langchain_agentrm.training._trainer import SumTrainer, stack
from langchain_agentrm.training.rollouts import Rollout

__all__ = [
    "Objective",
    "RatioCollator",
    "RatioTrainer",
    "RatioUnit",
    "Spans",
    "encode_rollout",
    "judged_rollouts",
    "pair_units",
    "single_units",
]

Objective = Literal["mse", "step", "centered", "ce", "dpo"]
"""What the summed rewards of an episode are fitted to."""


@dataclass(frozen=True, slots=True)
class Spans:
    """An episode in tokens, and where its actions are.

    Attributes:
        texts: Token ids; one text, or several where turns had to be dropped.
        spans: Text, first token and one past the last token of each step, by step.
    """

    texts: tuple[Ids, ...]
    spans: tuple[tuple[int, int, int], ...]

    @property
    def tokens(self) -> int:
        """Tokens of all texts."""
        return sum(map(len, self.texts))


@dataclass(frozen=True, slots=True)
class RatioUnit:
    """One episode, or a better and a worse one of a task."""

    numbers: tuple[int, ...]


def encode_rollout(tokens: ChatTokens, rollout: Rollout, limit: int) -> Spans | str:
    """Encode an episode exactly as its steps are scored later.

    Args:
        tokens: The policy's tokens.
        rollout: The episode.
        limit: Longest text; whole oldest turns are dropped beyond it.

    Returns:
        The tokens, or why there are none.
    """
    plan = StepRewards(tokens, limit, beta=1.0, read="cumulative").plan(
        [rollout.trajectory]
    )
    if plan.errors:
        return next(iter(plan.errors.values()))
    where = {
        key: (row, step.start, step.end)
        for row, ask in enumerate(plan.asks)
        for key, step in ask.steps
    }
    return Spans(
        tuple(ask.ids for ask in plan.asks),
        tuple(where[key] for key in plan.paths[0]),
    )


def single_units(numbers: Sequence[int]) -> list[RatioUnit]:
    """One unit an episode."""
    return [RatioUnit((number,)) for number in numbers]


def pair_units(
    numbers: Sequence[int],
    rollouts: Sequence[Rollout],
    *,
    gap: float,
    per_task: int,
    seed: int,
) -> list[RatioUnit]:
    """Pairs of episodes of one task, the better first.

    Args:
        numbers: Episodes that may be used.
        rollouts: All episodes, by number.
        gap: Least difference of score.
        per_task: Most pairs of a task; which ones, the seed decides.
        seed: Seed of the run.

    Returns:
        The pairs.
    """
    tasks: dict[str, list[int]] = defaultdict(list)
    for number in numbers:
        tasks[rollouts[number].task["id"]].append(number)
    units = []
    for name, members in tasks.items():
        pairs = [
            (a, b)
            for a in members
            for b in members
            if rollouts[a].score - rollouts[b].score >= gap
        ]
        pairs.sort(key=lambda pair: derive(seed, name, *pair))
        units += [RatioUnit(pair) for pair in sorted(pairs[:per_task])]
    return units


@dataclass(frozen=True, slots=True)
class RatioCollator:
    """Makes a batch of units.

    Attributes:
        tokenizer: For padding.
        rollouts: By number.
        encoded: By number.
    """

    tokenizer: PreTrainedTokenizerBase
    rollouts: Sequence[Rollout]
    encoded: Mapping[int, Spans]

    def __call__(self, units: Sequence[RatioUnit]) -> dict[str, Tensor]:
        """Stack the texts of all episodes and say whose step each token is.

        Returns:
            Ids and mask [B, T]; `owners` [B, T], the step of each token counted over
            episodes of S steps, else -1; by episode: score [M], weight [M], steps [M],
            progress [M, S] with NaN where there is none; places of the better and the
            worse of each pair [P]; the total of the loss's term [1]; and the numbers of
            the episodes [M, 1].
        """
        numbers = [n for unit in units for n in unit.numbers]
        most = max(len(self.rollouts[n].steps) for n in numbers)
        texts: list[Ids] = []
        marks: list[tuple[int, int, int, int]] = []
        for slot, number in enumerate(numbers):
            encoded, first = self.encoded[number], len(texts)
            texts += encoded.texts
            marks += [
                (first + row, start, end, slot * most + step)
                for step, (row, start, end) in enumerate(encoded.spans)
            ]
        batch: dict[str, Tensor] = stack(texts, self.tokenizer)
        owners = torch.full(batch["input_ids"].shape, -1)
        for row, start, end, owner in marks:
            owners[row, start:end] = owner
        rollouts = [self.rollouts[n] for n in numbers]
        progress = torch.full((len(numbers), most), torch.nan)
        for slot, rollout in enumerate(rollouts):
            # Without progress an environment says something at the end only.
            known = rollout.progress
            last = len(rollout.steps) - 1
            if known is None:
                progress[slot, last] = rollout.score
            else:
                progress[slot, : last + 1] = torch.tensor([*known])
        weights = torch.tensor([float(rollout.count) for rollout in rollouts])
        paired = [unit for unit in units if len(unit.numbers) > 1]
        places = torch.arange(2 * len(paired)).reshape(-1, 2)
        total = float(len(paired)) if paired else float(weights.sum())
        return {
            **batch,
            "owners": owners,
            "scores": torch.tensor([rollout.score for rollout in rollouts]),
            "weights": weights,
            "steps": torch.tensor([len(rollout.steps) for rollout in rollouts]),
            "progress": progress,
            "better": places[:, 0],
            "worse": places[:, 1],
            "totals": torch.tensor([total]),
            "numbers": torch.tensor(numbers)[:, None],
        }


class RatioTrainer(SumTrainer):
    """Fits `beta * log(policy / reference)`, summed by step, to what episodes scored.

    The reference is the policy with its adapter off.
    """

    def __init__(
        self, *, objective: Objective, beta: float, offset: float, **options: Any
    ) -> None:
        """Set up.

        Args:
            objective: What is fitted.
            beta: Factor of the log-ratios.
            offset: Added to an episode's sum by objective `"centered"`.
            **options: transformers' own.
        """
        super().__init__(**options)
        self._objective = objective
        self._beta = beta
        self._offset = offset
        # Logits of a large vocabulary are most of the memory: only those of actions.
        model: Any = self.model
        forward = model.get_base_model().forward
        self._some = "logits_to_keep" in inspect.signature(forward).parameters

    def rewards(self, model: Any, inputs: Mapping[str, Any]) -> Tensor:
        """Rewards of all steps [M, S]; 0 beyond an episode's end."""
        policy = self._log_probs(model, inputs)
        adapted = self.accelerator.unwrap_model(model)
        with torch.no_grad(), adapted.disable_adapter():
            reference = self._log_probs(model, inputs)
        slots, most = inputs["progress"].shape
        flat = torch.zeros(slots * most, device=policy.device)
        owners = inputs["owners"][inputs["owners"] >= 0]
        flat = flat.index_add(0, owners, self._beta * (policy - reference))
        return flat.view(slots, most)

    def _log_probs(self, model: Any, inputs: Mapping[str, Any]) -> Tensor:
        """Log-probabilities of all tokens that belong to a step, row by row."""
        ids, mine = inputs["input_ids"], inputs["owners"] >= 0
        # The token before says how likely a token is.
        before = mine[:, 1:]
        kept = before.any(0).nonzero()[:, 0]
        extra = {"logits_to_keep": kept} if self._some else {}
        logits = model(
            input_ids=ids,
            attention_mask=inputs["attention_mask"],
            use_cache=False,
            **extra,
        ).logits
        if not self._some:
            logits = logits[:, kept]
        logits = logits[before[:, kept]].float()
        targets = ids[:, 1:][before]
        picked = logits.gather(1, targets[:, None])[:, 0]
        found: Tensor = picked - logits.logsumexp(-1)
        return found

    def sums(self, model: Any, inputs: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        """Sum of the objective over episodes or pairs [1], and the rewards [M, S]."""
        rewards = self.rewards(model, inputs)
        predicted = rewards.detach()
        # Evaluation reads single episodes, which have no pairs.
        if self._objective == "dpo":
            totals = rewards.sum(1)
            apart = totals[inputs["better"]] - totals[inputs["worse"]]
            return functional.softplus(-apart).sum()[None], predicted
        losses = self._losses(rewards, inputs)
        return (inputs["weights"] * losses).sum()[None], predicted

    def _losses(self, rewards: Tensor, inputs: Mapping[str, Any]) -> Tensor:
        scores = inputs["scores"]
        if self._objective == "step":
            known = ~inputs["progress"].isnan()
            squares = (rewards.cumsum(1) - inputs["progress"].nan_to_num()) ** 2
            found: Tensor = (squares * known).sum(1) / known.sum(1)
            return found
        totals = rewards.sum(1)
        if self._objective == "ce":
            return functional.binary_cross_entropy_with_logits(
                totals, scores.clamp(0, 1), reduction="none"
            )
        offset = self._offset if self._objective == "centered" else 0.0
        return functional.mse_loss(totals + offset, scores, reduction="none")


def judged_rollouts(
    rollouts: Sequence[Rollout], gap: float
) -> Callable[[EvalPrediction], dict[str, float]]:
    """Make what measures the rewards of held-out episodes.

    Args:
        rollouts: The episodes, by number.
        gap: Least difference of score that makes a pair of one task.

    Returns:
        What gives how often the better of two episodes has the higher sum
        (`pairs_right` of `pairs`), the mean score of the episodes that each read-out
        chooses (`pick_*`) beside that of any (`mean_score`), and the correlations of
        the sum with score and length, where they are defined. `choice` chooses the
        checkpoint.
    """

    def measure(prediction: EvalPrediction) -> dict[str, float]:
        numbers = [int(n) for n in np.asarray(prediction.label_ids)[:, 0]]
        steps = {
            n: [float(x) for x in row[: len(rollouts[n].steps)]]
            for n, row in zip(numbers, np.asarray(prediction.predictions), strict=True)
        }
        sums = {n: float(np.sum(row)) for n, row in steps.items()}
        tasks: dict[str, list[int]] = defaultdict(list)
        for n in steps:
            tasks[rollouts[n].task["id"]].append(n)
        groups = [[(sums[n], rollouts[n].score) for n in t] for t in tasks.values()]
        right, pairs = sibling_accuracy(groups, gap=gap)
        out = {"pairs_right": right, "pairs": float(pairs)}
        readings: dict[str, Callable[[list[float]], float]] = {
            "cumulative": sum,
            "mean": statistics.fmean,
            "min": min,
            "last": lambda row: row[-1],
        }
        for name, read in readings.items():
            chosen = [max(t, key=lambda n: read(steps[n])) for t in tasks.values()]
            out[f"pick_{name}"] = mean([rollouts[n].score for n in chosen])
        out["mean_score"] = mean(
            [
                sum(rollouts[n].score * rollouts[n].count for n in t)
                / sum(rollouts[n].count for n in t)
                for t in tasks.values()
            ]
        )
        columns = {
            "sum": list(sums.values()),
            "score": [rollouts[n].score for n in sums],
            "length": [float(len(steps[n])) for n in sums],
        }
        for a, b in (("sum", "score"), ("sum", "length"), ("score", "length")):
            if np.ptp(columns[a]) > 0 and np.ptp(columns[b]) > 0:
                found = np.corrcoef(columns[a], columns[b])[0, 1]
                out[f"corr_{a}_{b}"] = float(found)
        # Sums only tell apart what orders equally many pairs.
        out["choice"] = right + 1e-6 * out["pick_cumulative"]
        return out

    return measure
