"""Monte-Carlo tree search in pure functions over visit counts and value sums."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol, Self, TypeVar

__all__ = ["TreeNode", "backup", "mean", "select", "ucb"]


class TreeNode(Protocol):
    """What the search needs to know of a node.

    Attributes:
        n: How often a simulation went through it.
        w: Sum of what those simulations returned.
        parent: The node above; None at the root.
    """

    n: int
    w: float

    @property
    def parent(self) -> Self | None:
        """The node above; None at the root."""
        ...


N = TypeVar("N", bound=TreeNode)


def mean(n: int, w: float) -> float:
    """Average return of a node; 0 where nothing was simulated."""
    return w / n if n else 0.0


def ucb(n: int, w: float, parent_n: int, c: float) -> float:
    """Upper confidence bound: W/n + c·sqrt(ln(N + 1)/n), infinite where unvisited.

    Args:
        n: Visits of the child.
        w: Sum of its returns.
        parent_n: Visits of its parent.
        c: Weight of exploration.

    Returns:
        What the child with the highest bound is chosen by.
    """
    if n <= 0:
        return math.inf
    return w / n + c * math.sqrt(math.log(max(1, parent_n) + 1) / n)


def select(
    children: Sequence[N], parent_n: int, c: float, pick: Callable[[int], int]
) -> N:
    """Choose the child to go down to.

    Args:
        children: At least one child.
        parent_n: Visits of their parent.
        c: Weight of exploration.
        pick: Chooses an index below a number, among unvisited children.

    Returns:
        An unvisited child while there is one, then the one with the highest bound; the
        first of several equal ones.
    """
    fresh = [child for child in children if not child.n]
    if fresh:
        return fresh[pick(len(fresh))]
    return max(children, key=lambda child: ucb(child.n, child.w, parent_n, c))


def backup(leaf: N, value: float, times: int = 1) -> None:
    """Add a return to a node and to every node above it.

    Args:
        leaf: Where the simulation ended.
        value: What it returned.
        times: How many simulations ended there with it.
    """
    node: N | None = leaf
    while node is not None:
        node.n += times
        node.w += value * times
        node = node.parent
