"""Reward heads in float32, and how their outputs become one number."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, Self, get_args

import torch
from safetensors import safe_open
from torch import nn

from langchain_agentrm.errors import ConfigurationError, RewardModelError
from langchain_agentrm.reward_models._checkpoint.detect import Kind, Read
from langchain_agentrm.reward_models._checkpoint.weights import Tensor
from langchain_agentrm.reward_models.layout import Layout

__all__ = ["Aggregation", "Head", "aggregate", "read_tensors"]

Aggregation = Literal["last", "min", "mean", "product"]
"""How the values of a trajectory's steps become one.

`min` and `product` fall with every step: compare them at equal depth only.
"""


class Head(nn.Module):
    """From the body's hidden states to values; float32 whatever the body is.

    Linear layers with ReLU between them. An encoder has its head in the body: its Head
    has no layers and reads the logits.

    Attributes:
        mean: Taken off a single output.
        std: What it is divided by after that.
        read: Where values are read.
        values_of: Lowest and highest value that the outputs are a distribution over.
    """

    def __init__(
        self,
        layers: Iterable[nn.Linear] = (),
        *,
        mean: float = 0.0,
        std: float = 1.0,
        read: Read = "last",
        values_of: tuple[float, float] | None = None,
    ) -> None:
        """Take the layers as they are."""
        super().__init__()
        self.layers = nn.ModuleList(layer.float() for layer in layers)
        self.mean = mean
        self.std = std
        self.read: Read = read
        self.values_of = values_of

    @classmethod
    def of(cls, layout: Layout) -> Self:
        """Read the head that a layout names.

        Args:
            layout: What was found.

        Returns:
            The head, on the CPU.
        """
        parts = [] if layout.kind is Kind.ENCODER else read_tensors(layout.head)
        return cls(
            _linear_layers(parts),
            mean=layout.mean,
            std=layout.std,
            read=layout.read,
            values_of=layout.value_range,
        ).eval()

    def outputs(self, hidden: torch.Tensor) -> torch.Tensor:
        """Apply the layers.

        Args:
            hidden: The body's hidden states [..., H], in any dtype.

        Returns:
            The raw outputs [..., n] in float32.
        """
        x = hidden.float()
        for number, layer in enumerate(self.layers):
            x = layer(x.relu() if number else x)
        return x

    def values(self, outputs: torch.Tensor) -> torch.Tensor:
        """Make one number of each position's outputs.

        Args:
            outputs: What `outputs` gave, [..., n].

        Returns:
            [...]: the normalised output; of two classes of whole texts, logit 1 less
            logit 0; of a step's two classes, the probability of class 1; of a
            distribution over values, its mean.
        """
        if self.values_of is not None:
            low, high = self.values_of
            places = torch.linspace(low, high, outputs.shape[-1], device=outputs.device)
            return outputs.softmax(-1) @ places
        if self.read == "steps":
            return outputs.softmax(-1)[..., 1]
        if outputs.shape[-1] == 1:
            value = outputs[..., 0]
        else:
            value = outputs[..., 1] - outputs[..., 0]
        return (value - self.mean) / self.std

    def read_value(
        self, outputs: torch.Tensor, aggregation: Aggregation = "last"
    ) -> float:
        """Read a text's value.

        Args:
            outputs: The outputs [T, n] at the wanted positions, in order: the last
                token, or the end of every step.
            aggregation: How the values of several steps become one.

        Returns:
            The value; NaN where an output that counts is NaN.

        Raises:
            RewardModelError: If there is no position.
        """
        return aggregate(self.values(outputs).double().tolist(), aggregation)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Values at each position: `values` of `outputs`."""
        return self.values(self.outputs(hidden))


def aggregate(values: Sequence[float], how: Aggregation = "last") -> float:
    """Make one value of the values of steps.

    Args:
        values: One a step, in order.
        how: The last one, the lowest, the mean or the product.

    Returns:
        The value. A NaN among those that count gives NaN.

    Raises:
        RewardModelError: If there are no values.
        ConfigurationError: If there is no such aggregation.
    """
    if not values:
        msg = "There is no step in the text, so that no value can be read."
        raise RewardModelError(
            msg, remedy="Mark the end of every action with the model's step token."
        )
    if how not in get_args(Aggregation):
        msg = f"There is no aggregation {how!r}."
        raise ConfigurationError(msg, remedy="Use last, min, mean or product.")
    # Not Python's own min, which lets a NaN pass or win by its place.
    steps = torch.tensor(values, dtype=torch.float64)
    if how == "last":
        return float(steps[-1])
    if how == "min":
        return float(steps.min())
    if how == "mean":
        return float(steps.mean())
    return float(steps.prod())


def read_tensors(tensors: Sequence[Tensor]) -> list[torch.Tensor]:
    """Read some tensors, each as it is stored, in order."""
    out = []
    for tensor in tensors:
        with safe_open(tensor.file, framework="pt") as opened:
            out.append(opened.get_tensor(tensor.key))
    return out


def _linear_layers(parts: Sequence[torch.Tensor]) -> list[nn.Linear]:
    layers: list[nn.Linear] = []
    for part in parts:
        data = nn.Parameter(part.float().contiguous(), requires_grad=False)
        if part.ndim == 1:
            layers[-1].bias = data
            continue
        layer = nn.Linear(part.shape[1], part.shape[0], bias=False, device="meta")
        layer.weight = data
        layers.append(layer)
    return layers
