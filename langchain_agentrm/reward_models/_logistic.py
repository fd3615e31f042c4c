"""The logistic function, and its two parameters by maximum likelihood."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["fit_logistic", "sigmoid"]

_MOST = 700.0
_STEPS = 100


def sigmoid(logit: float) -> float:
    """Map a number to 0..1; a larger one never gets less."""
    # One formula for both signs: with two, rounding can reverse neighbours.
    return 1 / (1 + math.exp(min(_MOST, -logit)))


def fit_logistic(unit: Sequence[float], goals: Sequence[float]) -> tuple[float, float]:
    """Minimise the cross-entropy of sigmoid(scale * unit + offset); it is convex.

    Args:
        unit: Inputs with mean 0 and deviation 1.
        goals: Targets inside 0..1.

    Returns:
        Scale and offset, by Newton's method with halved steps.
    """
    scale, offset = 0.0, 0.0
    loss = _loss(unit, goals, scale, offset)
    for _ in range(_STEPS):
        made = [sigmoid(scale * x + offset) for x in unit]
        rest = [p - y for p, y in zip(made, goals, strict=True)]
        weight = [p * (1 - p) for p in made]
        g1 = math.fsum(r * x for r, x in zip(rest, unit, strict=True))
        g0 = math.fsum(rest)
        h11 = math.fsum(w * x * x for w, x in zip(weight, unit, strict=True)) + 1e-12
        h10 = math.fsum(w * x for w, x in zip(weight, unit, strict=True))
        h00 = math.fsum(weight) + 1e-12
        size = h11 * h00 - h10 * h10
        d1, d0 = (h00 * g1 - h10 * g0) / size, (h11 * g0 - h10 * g1) / size
        step = 1.0
        while step > 1e-10:  # noqa: PLR2004 - nothing left to gain
            one, two = scale - step * d1, offset - step * d0
            new = _loss(unit, goals, one, two)
            if new < loss:
                break
            step /= 2
        else:
            break
        scale, offset, loss = one, two, new
    return scale, offset


def _loss(
    unit: Sequence[float], goals: Sequence[float], scale: float, offset: float
) -> float:
    logits = (scale * x + offset for x in unit)
    return math.fsum(
        max(z, 0.0) + math.log1p(math.exp(-abs(z))) - y * z
        for z, y in zip(logits, goals, strict=True)
    )
