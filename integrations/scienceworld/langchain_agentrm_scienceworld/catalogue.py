"""Which task types there are, how many variations each split has, and step limits.

The figures are those of ScienceWorld 1.2.3; a test compares them with the simulator.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from langchain_agentrm.environments.base import Split
from langchain_agentrm.errors import UnknownTaskError

__all__ = [
    "ALL",
    "DEV",
    "ETO",
    "HELD_IN",
    "HELD_OUT",
    "MOVE_LIMIT",
    "SIZES",
    "STEP_LIMITS",
    "Sizes",
    "type_name",
]

_OLD = re.compile(r"task-(?:\d|a|b)+-|[()]")


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many variations of a task type each official split has.

    They are numbered through: train from 0, then dev, then test.
    """

    train: int
    dev: int
    test: int

    @property
    def total(self) -> int:
        """Variations of all splits together."""
        return self.train + self.dev + self.test

    def split(self, name: Split) -> range:
        """Variations of a split."""
        return {
            "train": range(self.train),
            "dev": range(self.train, self.train + self.dev),
            "test": range(self.train + self.dev, self.total),
        }[name]


SIZES: Mapping[str, Sizes] = {
    "boil": Sizes(14, 7, 9),
    "change-the-state-of-matter-of": Sizes(14, 7, 9),
    "chemistry-mix": Sizes(16, 8, 8),
    "chemistry-mix-paint-secondary-color": Sizes(18, 9, 9),
    "chemistry-mix-paint-tertiary-color": Sizes(18, 9, 9),
    "find-animal": Sizes(150, 75, 75),
    "find-living-thing": Sizes(150, 75, 75),
    "find-non-living-thing": Sizes(150, 75, 75),
    "find-plant": Sizes(150, 75, 75),
    "freeze": Sizes(14, 7, 9),
    "grow-fruit": Sizes(62, 31, 33),
    "grow-plant": Sizes(62, 31, 33),
    "identify-life-stages-1": Sizes(6, 3, 5),
    "identify-life-stages-2": Sizes(4, 2, 4),
    "inclined-plane-determine-angle": Sizes(84, 42, 42),
    "inclined-plane-friction-named-surfaces": Sizes(692, 346, 348),
    "inclined-plane-friction-unnamed-surfaces": Sizes(80, 40, 42),
    "lifespan-longest-lived": Sizes(62, 31, 32),
    "lifespan-longest-lived-then-shortest-lived": Sizes(62, 31, 32),
    "lifespan-shortest-lived": Sizes(62, 31, 32),
    "measure-melting-point-known-substance": Sizes(218, 109, 109),
    "measure-melting-point-unknown-substance": Sizes(150, 75, 75),
    "melt": Sizes(14, 7, 9),
    "mendelian-genetics-known-plant": Sizes(60, 30, 30),
    "mendelian-genetics-unknown-plant": Sizes(240, 120, 120),
    "power-component": Sizes(10, 5, 5),
    "power-component-renewable-vs-nonrenewable-energy": Sizes(10, 5, 5),
    "test-conductivity": Sizes(450, 225, 225),
    "test-conductivity-of-unknown-substances": Sizes(300, 150, 150),
    "use-thermometer": Sizes(270, 135, 135),
}
"""Variations per task type, in the simulator's order of types."""

ALL: tuple[str, ...] = tuple(SIZES)
"""The 30 task types."""

HELD_OUT: tuple[str, ...] = (
    "inclined-plane-determine-angle",
    "inclined-plane-friction-named-surfaces",
    "inclined-plane-friction-unnamed-surfaces",
    "measure-melting-point-unknown-substance",
    "mendelian-genetics-known-plant",
    "mendelian-genetics-unknown-plant",
)
"""Types that only a test may use: those that ETO's data, and so its models, lack."""

ETO: tuple[str, ...] = tuple(name for name in ALL if name not in HELD_OUT)
"""The 24 types of ETO's data."""

DEV: tuple[str, ...] = (
    "find-plant",
    "freeze",
    "lifespan-longest-lived-then-shortest-lived",
    "power-component-renewable-vs-nonrenewable-energy",
)
"""Types for choosing a checkpoint: each has a held-in type of its kind beside it."""

HELD_IN: tuple[str, ...] = tuple(name for name in ETO if name not in DEV)
"""Types that demonstrations and reward-model training may use."""

STEP_LIMITS: Mapping[str, int] = {
    **dict.fromkeys(ALL, 30),
    "boil": 100,
    **dict.fromkeys(("change-the-state-of-matter-of", "freeze", "melt"), 80),
    "measure-melting-point-known-substance": 120,
    **dict.fromkeys(("grow-fruit", "chemistry-mix"), 60),
    **dict.fromkeys(
        (
            "find-animal",
            "find-living-thing",
            "find-non-living-thing",
            "find-plant",
            "chemistry-mix-paint-secondary-color",
        ),
        15,
    ),
    "power-component": 20,
    **dict.fromkeys(("lifespan-longest-lived", "lifespan-shortest-lived"), 10),
    "lifespan-longest-lived-then-shortest-lived": 12,
}
"""Actions per episode by task type, as in ETO's evaluation, which AgentRM follows."""

MOVE_LIMIT = 200
"""The simulator's own moves after which ETO's evaluation ends an episode."""


def type_name(name: str) -> str:
    """Map a task name of older data sets, such as `task-1-boil`, to its type.

    Older names have a number before them, or brackets, and one was misspelt.

    Args:
        name: An old or a present name.

    Returns:
        The task type.

    Raises:
        UnknownTaskError: If there is none of that name.
    """
    found = _OLD.sub("", name.replace("mendellian", "mendelian"))
    if found not in SIZES:
        msg = f"ScienceWorld has no task type {name!r}."
        raise UnknownTaskError(msg, remedy=f"Choose one of {list(SIZES)}.")
    return found
