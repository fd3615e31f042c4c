"""Diverse beams: no parent takes all slots while another has a child to offer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TypeVar

from langchain_agentrm.types import Candidate

__all__ = ["spread"]

Entry = TypeVar("Entry")


def spread(
    ranked: Sequence[Entry], slots: int, *, per_parent: int | None
) -> list[Entry]:
    """Fill slots from a ranking, with at most `per_parent` children of one beam.

    What the limit held back fills the slots that stay empty, so that no slot is lost:
    the root, which is the only parent of its step, gets all of them.

    Args:
        ranked: Candidates and finished beams, best first.
        slots: How many may be kept.
        per_parent: Children of one parent; None for no limit. Finished beams are no
            children of this step and are not counted.

    Returns:
        What is kept, best first.
    """
    if per_parent is None:
        return list(ranked[:slots])
    children: Counter[str] = Counter()
    chosen: list[int] = []
    held_back: list[int] = []
    for i, entry in enumerate(ranked):
        if isinstance(entry, Candidate):
            children[entry.parent] += 1
            if children[entry.parent] > per_parent:
                held_back.append(i)
                continue
        chosen.append(i)
    places = [*chosen, *held_back][:slots]
    return [ranked[i] for i in sorted(places)]
