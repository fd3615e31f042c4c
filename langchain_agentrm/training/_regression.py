"""Value regression in transformers' trainer: the batches, the loss, the figures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers import EvalPrediction, PreTrainedTokenizerBase

from langchain_agentrm.metrics import bootstrap, mean, sibling_accuracy
from langchain_agentrm.training._bins import two_hot
from langchain_agentrm.training._examples import Example, Unit, siblings
from langchain_agentrm.training._trainer import SumTrainer, stack
from langchain_agentrm.training._value_model import Positions

__all__ = ["UnitCollator", "ValueTrainer", "judged"]


@dataclass(frozen=True, slots=True)
class UnitCollator:
    """Makes a batch of units.

    Attributes:
        tokenizer: For padding.
        examples: By number.
    """

    tokenizer: PreTrainedTokenizerBase
    examples: Sequence[Example]

    def __call__(self, units: Sequence[Unit]) -> dict[str, Tensor]:
        """Stack the texts of all units and number their reads through.

        Returns:
            Ids and mask [B, T]; of every read its row, column, target and
            example [R]; better and worse read and gap of every pair [P]; the totals of
            the loss's terms [2]; and the examples again by text [B, most], for
            evaluation.
        """
        texts: list[tuple[int, ...]] = []
        reads: list[tuple[int, int, int]] = []
        pairs: list[tuple[int, int, float]] = []
        for unit in units:
            first, before = len(texts), len(reads)
            texts += unit.texts
            reads += [(first + row, place, n) for row, place, n in unit.reads]
            pairs += [(before + a, before + b, gap) for a, b, gap in unit.pairs]
        numbers = [n for _, _, n in reads]
        by_text: list[list[int]] = [[] for _ in texts]
        slots = []
        for row, _, number in reads:
            slots.append(len(by_text[row]))
            by_text[row].append(number)
        most = max(map(len, by_text))
        return {
            **stack(texts, self.tokenizer),
            "rows": torch.tensor([row for row, _, _ in reads]),
            "columns": torch.tensor([place for _, place, _ in reads]),
            "slots": torch.tensor(slots),
            "targets": torch.tensor([self.examples[n].value for n in numbers]),
            "better": torch.tensor([a for a, _, _ in pairs], dtype=torch.long),
            "worse": torch.tensor([b for _, b, _ in pairs], dtype=torch.long),
            "gaps": torch.tensor([gap for _, _, gap in pairs], dtype=torch.float32),
            "totals": torch.tensor([float(len(reads)), float(len(pairs))]),
            "numbers": torch.tensor([x + [-100] * (most - len(x)) for x in by_text]),
        }


class ValueTrainer(SumTrainer):
    """Squared error of values and margins between siblings, each with a share."""

    def __init__(
        self,
        *,
        shares: tuple[float, float],
        margin: float,
        sharpness: float,
        centres: Sequence[float] = (),
        **options: Any,
    ) -> None:
        """Set up.

        Args:
            shares: Of the squared error and of the pairs in the loss.
            margin: What of a pair's gap its values should keep apart.
            sharpness: Factor of the difference of a pair's values.
            centres: Values that several outputs are a distribution over.
            **options: transformers' own.
        """
        super().__init__(**options)
        self._positions = Positions(self.model)
        self._shares = shares
        self._margin = margin
        self._sharpness = sharpness
        self._centres = tuple(centres)

    def sums(self, model: Any, inputs: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        """Sums of both terms [2], and the values by text, padded [B, most]."""
        outputs, _ = self._positions.read(
            model, inputs, (inputs["rows"], inputs["columns"])
        )
        values, losses = self._values(outputs, inputs["targets"])
        apart = values[inputs["better"]] - values[inputs["worse"]]
        margins = -functional.logsigmoid(
            self._sharpness * (apart - self._margin * inputs["gaps"])
        )
        sums = torch.stack(
            [
                self._shares[0] * losses.sum(),
                self._shares[1] * margins.sum(),
            ]
        )
        numbers = inputs["numbers"]
        predicted = torch.full(numbers.shape, -100.0, device=values.device)
        predicted[inputs["rows"], inputs["slots"]] = values.detach()
        return sums, predicted

    def _values(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Values of outputs [R, K], and how far each is from its target [R]."""
        if not self._centres:
            return outputs[:, 0], (outputs[:, 0] - targets) ** 2
        places = torch.tensor(self._centres, device=outputs.device)
        hot = torch.tensor(
            [two_hot(target, self._centres) for target in targets.tolist()],
            device=outputs.device,
        )
        losses = functional.cross_entropy(outputs, hot, reduction="none")
        return outputs.softmax(-1) @ places, losses


def judged(
    examples: Sequence[Example], gap: float, *, by_error: bool
) -> Callable[[EvalPrediction], dict[str, float]]:
    """Make what measures the values of held-out states.

    Args:
        examples: The states, by number.
        gap: Least difference of value that makes a pair of siblings.
        by_error: Choose by the least squared error, and not by siblings.

    Returns:
        What gives the sibling accuracy with its 95 % interval over tasks and its pairs,
        the squared error beside the
        variance, the correlation where it is defined, and what is to be highest in the
        checkpoint that is kept, `choice`.
    """

    def measure(prediction: EvalPrediction) -> dict[str, float]:
        numbers = np.asarray(prediction.label_ids).ravel()
        values = np.asarray(prediction.predictions).ravel()
        found = {
            int(n): float(v) for n, v in zip(numbers, values, strict=True) if n >= 0
        }
        families = siblings(examples, found)
        groups = [[(found[n], examples[n].value) for n in f] for f in families]
        accuracy, pairs = sibling_accuracy(groups, gap=gap)
        low, high = _interval(groups, families, examples, gap)
        true = [examples[n].value for n in found]
        middle = mean(true)
        out = {
            "siblings": accuracy,
            "siblings_low": low,
            "siblings_high": high,
            "pairs": float(pairs),
            "mse": mean([(v - examples[n].value) ** 2 for n, v in found.items()]),
            "variance": mean([(t - middle) ** 2 for t in true]),
        }
        # The error only tells apart what orders equally many pairs.
        out["choice"] = (
            -out["mse"] if by_error else accuracy - 1e-6 * min(1, out["mse"])
        )
        if out["variance"] > 0 and np.ptp(list(found.values())) > 0:
            out["pearson"] = float(np.corrcoef(list(found.values()), true)[0, 1])
        return out

    return measure


def _interval(
    groups: Sequence[Sequence[tuple[float, float]]],
    families: Sequence[Sequence[int]],
    examples: Sequence[Example],
    gap: float,
) -> tuple[float, float]:
    """95 % interval of the sibling accuracy, by drawing tasks."""
    by_task: dict[Hashable, list[float]] = defaultdict(list)
    for group, family in zip(groups, families, strict=True):
        task = examples[family[0]].trajectory.task
        for i, one in enumerate(group):
            for other in group[i + 1 :]:
                right, pairs = sibling_accuracy([(one, other)], gap=gap)
                by_task[task["id"] if task else ""] += [right] * pairs
    return bootstrap(by_task, draws=500)
