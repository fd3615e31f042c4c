"""Bounded backtracking: at a dead end the best dropped candidates compete again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from langchain_agentrm.search.beam import Finished, Kept, rank
from langchain_agentrm.search.options import SearchOptions
from langchain_agentrm.types import Candidate

__all__ = ["Shelf", "revisit"]


@dataclass(frozen=True, slots=True)
class Shelf:
    """Candidates that were scored and dropped, and how often they were called back.

    Attributes:
        candidates: Best first; none of them ever ran.
        used: Revisits so far.
    """

    candidates: tuple[Candidate, ...] = ()
    used: int = 0

    def due(self, kept: Sequence[float], options: SearchOptions) -> bool:
        """Tell whether a search stands at a dead end that it may leave.

        Args:
            kept: Scores of all that it would go on or end with.
            options: The bounds.

        Returns:
            True if revisits are left and something dropped is clearly better.
        """
        if self.used >= options.revisits or not self.candidates:
            return False
        best = max(_value(c) for c in self.candidates)
        return not kept or best - max(kept) > options.dead_end


def revisit(
    kept: Kept,
    scored: Sequence[Candidate],
    finished: Sequence[Finished],
    shelf: Shelf,
    options: SearchOptions,
    choose: Callable[[Sequence[Candidate], Sequence[Finished]], Kept],
    *,
    resolution: float = 0.0,
) -> tuple[Kept, Shelf]:
    """Go back if the step was a dead end, and shelve what was dropped.

    Args:
        kept: What the step keeps by itself.
        scored: The step's scored candidates.
        finished: Finished beams before the step.
        shelf: What earlier steps dropped.
        options: The bounds.
        choose: Keeps the best of candidates and finished beams.
        resolution: Score differences up to this are ties.

    Returns:
        What is kept, and the shelf after the step.
    """
    if not options.revisits:
        return kept, shelf
    used = shelf.used
    values = [*map(_value, kept.candidates), *(f.value for f in kept.finished)]
    if shelf.due(values, options):
        kept = choose([*scored, *shelf.candidates], finished)
        used += 1
    going = {c.id for c in kept.candidates}
    dropped = [c for c in (*scored, *shelf.candidates) if c.id not in going]
    best = rank(dropped, resolution=resolution, tie_break=options.tie_break)
    return kept, Shelf(tuple(best[: options.memory]), used)


def _value(candidate: Candidate) -> float:
    score = candidate.score
    return float("-inf") if score is None or score.value is None else score.value
