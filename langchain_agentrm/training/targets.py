"""Value targets: what the label of a state is made of, as pure functions.

The paper labels a state with the mean return of the episodes through it. The other
targets here are options, to be kept where they win on held-out tasks.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from statistics import fmean
from typing import Literal

from langchain_agentrm.errors import ConfigurationError

__all__ = [
    "ChildWeights",
    "TreePoint",
    "bin_centres",
    "expectation",
    "mean_return",
    "td_lambda",
    "td_tree",
    "two_hot",
    "visit_weight",
]

ChildWeights = Literal["visits", "equal"]
"""How the children of a state are averaged: as often as they were visited, or alike."""

TreePoint = tuple[Hashable | None, float | None, float, int]
"""A state of a tree: its parent (None below the root), its value where it has one, the
episode's score at it, and its visits."""


def mean_return(total: float, visits: int) -> float:
    """Mean return of the episodes through a state.

    Source: AgentRM, "update value" of the tree's back-propagation.

    Args:
        total: Sum of the returns, W.
        visits: Number of them, N.

    Returns:
        W/N.

    Raises:
        ConfigurationError: If there was no visit.
    """
    if visits < 1:
        msg = f"A state with {visits} visits has no mean return."
        raise ConfigurationError(msg, remedy="Leave states out that were not visited.")
    return total / visits


def visit_weight(visits: int, cap: int) -> float:
    """Weight of a label by how many episodes it is the mean of.

    The error of a mean falls with the root of their number; beyond the cap the error of
    the model is what counts.

    Args:
        visits: Episodes through the state.
        cap: Visits beyond which the weight stays the same.

    Returns:
        The root of the visits, at most that of the cap.
    """
    return math.sqrt(max(0, min(visits, cap)))


def td_lambda(
    values: Sequence[float | None], final: float, decay: float
) -> list[float]:
    """TD(lambda) targets along one path; the reward comes at its end only.

    Each target mixes the value of the next state with that state's own target. With a
    decay of 1 it is the path's return, with 0 the value of the next state.

    Args:
        values: Value of each state after an action, in order; None where there is none.
        final: Return of the path.
        decay: Lambda, 0..1.

    Returns:
        One target a state; that of the last one is the return.

    Raises:
        ConfigurationError: If the decay is not in 0..1.
    """
    _check_decay(decay)
    targets: list[float] = []
    target = final
    following: float | None = None
    for value in reversed(values):
        if targets and following is not None:
            target = (1 - decay) * following + decay * target
        targets.append(target)
        following = value
    return targets[::-1]


def td_tree(
    points: Mapping[Hashable, TreePoint], decay: float, children: ChildWeights
) -> dict[Hashable, float]:
    """TD(lambda) targets of all states of a tree.

    The target of a state is the mean over its children of what `td_lambda` takes along
    one path. With `children="visits"` the mean return comes out again, whatever the
    decay, where every visit to a state went on to a child. With `"equal"` it does not
    matter how often a search went to a child, so its preference for good ones goes out
    of the values above; on plain episodes the policy's own preference goes out too.

    Args:
        points: The states below the root by name, parents before their children.
        decay: Lambda, 0..1.
        children: How children are averaged.

    Returns:
        The target of each state; that of a leaf is the score of its episode.

    Raises:
        ConfigurationError: If the decay is not in 0..1.
    """
    _check_decay(decay)
    below: dict[Hashable, list[Hashable]] = {}
    for name, (parent, _, _, _) in points.items():
        if parent is not None:
            below.setdefault(parent, []).append(name)
    targets: dict[Hashable, float] = {}
    for name in reversed(list(points)):
        _, _, score, _ = points[name]
        if name not in below:
            targets[name] = score
            continue
        mixed = []
        weights = []
        for child in below[name]:
            _, value, _, visits = points[child]
            # A state without a value of its own passes its target on.
            near = targets[child] if value is None else value
            mixed.append((1 - decay) * near + decay * targets[child])
            weights.append(float(visits) if children == "visits" else 1.0)
        targets[name] = fmean(mixed, weights if any(weights) else None)
    return {name: targets[name] for name in points}


def bin_centres(bins: int, low: float = 0.0, high: float = 1.0) -> list[float]:
    """Values that a distributional head gives probabilities to.

    Args:
        bins: How many, at least 2.
        low: The lowest.
        high: The highest.

    Returns:
        The values, evenly spaced.

    Raises:
        ConfigurationError: If there are too few bins or no range.
    """
    if bins < 2 or not low < high:  # noqa: PLR2004 - a range has two ends
        msg = f"{bins} bins over {low}..{high} are no distribution."
        raise ConfigurationError(msg, remedy="Use 2 bins or more and low below high.")
    return [low + (high - low) * i / (bins - 1) for i in range(bins)]


def two_hot(value: float, centres: Sequence[float]) -> list[float]:
    """Write a value as probabilities of the two bins next to it.

    Args:
        value: The value; outside the range it counts as the range's end.
        centres: Values of the bins, rising.

    Returns:
        Probabilities whose mean is the value.
    """
    inside = min(max(value, centres[0]), centres[-1])
    out = [0.0] * len(centres)
    upper = next(i for i, centre in enumerate(centres) if centre >= inside)
    if upper == 0:
        out[0] = 1.0
        return out
    share = (inside - centres[upper - 1]) / (centres[upper] - centres[upper - 1])
    out[upper - 1], out[upper] = 1 - share, share
    return out


def expectation(probabilities: Sequence[float], centres: Sequence[float]) -> float:
    """Mean of a distribution over bins, which is its value."""
    return math.fsum(p * c for p, c in zip(probabilities, centres, strict=True))


def _check_decay(decay: float) -> None:
    if not 0 <= decay <= 1:
        msg = f"The decay (lambda) {decay} is not in 0..1."
        raise ConfigurationError(msg, remedy="Use 1 for returns, 0 for next values.")
