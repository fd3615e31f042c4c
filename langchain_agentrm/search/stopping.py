"""When a search ends by what it holds; budgets and step limits are its driver's."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_agentrm.search.beam import Finished, FinishedMode
from langchain_agentrm.search.options import SearchOptions
from langchain_agentrm.search.revisit import Shelf

__all__ = ["clear_lead", "why_ended"]


def clear_lead(
    finished: Sequence[Finished], opened: Sequence[float | None], margin: float
) -> bool:
    """Tell whether the best finished beam leads every open one by a margin.

    Args:
        finished: Finished beams.
        opened: Scores of the open beams; None where there is no score.
        margin: The least lead.

    Returns:
        False if nothing is finished, or an open beam has no score to compare.
    """
    if not finished:
        return False
    best = max(f.value for f in finished)
    return all(v is not None and best - v >= margin for v in opened)


def why_ended(
    finished: Sequence[Finished],
    opened: Sequence[float | None],
    *,
    beam_width: int,
    mode: FinishedMode,
    options: SearchOptions,
    shelf: Shelf,
) -> str | None:
    """Say why a search is over, before its next step.

    Args:
        finished: Finished beams that are kept.
        opened: Scores of the open beams; None at the root.
        beam_width: W1.
        mode: Whether finished beams compete or stand aside.
        options: Early stop and revisits.
        shelf: Dropped candidates.

    Returns:
        `"finished"`, `"invalid"`, `"early_stop"`, or None if it goes on.
    """
    if mode == "aside" and len(finished) >= beam_width:
        return "finished"
    if not opened:
        if shelf.due([f.value for f in finished], options):
            return None
        return "finished" if finished else "invalid"
    if options.early_stop is not None and clear_lead(
        finished, opened, options.early_stop
    ):
        return "early_stop"
    return None
