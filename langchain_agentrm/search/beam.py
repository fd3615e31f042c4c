"""Step-level beam search: who gets how many draws, and who is kept.

Source: AgentRM (ACL 2025), test-time search: W1xW2 actions at the first step, the
reward model keeps W1, each is expanded by W2 until termination. How finished beams
compete, and how ties break, is ours (the paper is silent).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from langchain_agentrm.search.diverse import spread
from langchain_agentrm.search.options import TieBreak
from langchain_agentrm.types import Candidate

__all__ = ["Finished", "FinishedMode", "Kept", "allot", "keep", "rank"]

FinishedMode = Literal["compete", "aside"]


@dataclass(frozen=True, slots=True)
class Finished:
    """A finished beam, as far as ranking needs it."""

    id: str
    value: float
    votes: int = 1
    key: str = ""
    logprob: float | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """What survives a step, best first."""

    candidates: tuple[Candidate, ...]
    finished: tuple[Finished, ...]


Entry = TypeVar("Entry", Candidate, Finished, Candidate | Finished)


def allot(open_beams: int, *, beam_width: int, expansions: int, root: bool) -> int:
    """Draws for each open beam: W1xW2 for the root, W2 for every later beam.

    Args:
        open_beams: Number of open beams.
        beam_width: W1.
        expansions: W2.
        root: Whether the only open beam is the root.

    Returns:
        Draws per beam.
    """
    return beam_width * expansions if root and open_beams == 1 else expansions


def _value(entry: Candidate | Finished) -> float:
    if isinstance(entry, Finished):
        return entry.value
    if entry.score is None or entry.score.value is None:
        msg = f"candidate {entry.id!r} was ranked without a score"
        raise ValueError(msg)
    return entry.score.value


def rank(
    entries: Sequence[Entry], *, resolution: float = 0.0, tie_break: TieBreak = "votes"
) -> list[Entry]:
    """Sort by score, best first; equal scores by votes, then by key.

    Scores closer than `resolution` to the best of their run are equal: a float below it
    depends on the batch's shape, so it must not decide.

    Args:
        entries: Scored candidates and finished beams.
        resolution: The reward model's own.
        tie_break: `"likelihood"` lets the policy's log-probability decide before the
            votes; an entry without one stands behind those that have it.

    Returns:
        The entries, best first.
    """
    ordered = sorted(entries, key=lambda e: (-_value(e), e.key, e.id))
    out: list[Entry] = []
    i = 0
    while i < len(ordered):
        top = _value(ordered[i])
        j = i + 1
        # Equal first: the distance between two unscored ones, -inf each, is no number.
        while j < len(ordered) and (
            _value(ordered[j]) == top or top - _value(ordered[j]) <= resolution
        ):
            j += 1
        out += sorted(
            ordered[i:j],
            key=lambda e: (_unlikely(e, tie_break), -e.votes, e.key, e.id),
        )
        i = j
    return out


def _unlikely(entry: Candidate | Finished, tie_break: TieBreak) -> float:
    if tie_break == "votes":
        return 0.0
    return float("inf") if entry.logprob is None else -entry.logprob


def keep(
    candidates: Sequence[Candidate],
    finished: Sequence[Finished],
    *,
    beam_width: int,
    resolution: float = 0.0,
    mode: FinishedMode = "compete",
    per_parent: int | None = None,
    tie_break: TieBreak = "votes",
) -> Kept:
    """Keep the best W1 of the new candidates and the finished beams.

    Args:
        candidates: Scored, distinct candidates of all parents.
        finished: Finished beams with their scores.
        beam_width: W1.
        resolution: Score differences up to this are ties.
        mode: `"compete"`: a finished beam needs a slot like any other; `"aside"`: it
            takes none, is kept for the end, and W1 candidates go on beside it.
        per_parent: Children of one parent while another has one; None for no limit.
        tie_break: What decides between equal scores.

    Returns:
        What is kept, each best first.
    """
    if mode == "aside":
        best = rank(list(candidates), resolution=resolution, tie_break=tie_break)
        done = rank(list(finished), resolution=resolution, tie_break=tie_break)
        return Kept(tuple(spread(best, beam_width, per_parent=per_parent)), tuple(done))
    pool: list[Candidate | Finished] = [*candidates, *finished]
    ranked = rank(pool, resolution=resolution, tie_break=tie_break)
    slots = spread(ranked, beam_width, per_parent=per_parent)
    return Kept(
        tuple(e for e in slots if isinstance(e, Candidate)),
        tuple(e for e in slots if isinstance(e, Finished)),
    )
