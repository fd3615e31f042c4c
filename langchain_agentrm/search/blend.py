"""The policy's own opinion as a part of the score: its votes and its likelihood."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.search.options import SearchOptions
from langchain_agentrm.types import Candidate, Score

__all__ = ["blend", "first_choices"]

_UNKNOWN = "the policy gave no log-probability, and likelihood_weight needs one"


def blend(candidates: Sequence[Candidate], options: SearchOptions) -> list[Candidate]:
    """Add the weighted votes and likelihoods to the scores.

    Score = reward + vote_weight x share of the parent's draws + likelihood_weight x
    probability among the parent's distinct candidates. The parts stay readable in
    `Score.signals`.

    Args:
        candidates: Distinct candidates of a step, scored or not.
        options: The weights.

    Returns:
        The same candidates in the same order. One that lacks a log-probability which
        the weights need gets an error in place of its score.

    Raises:
        ConfigurationError: If the weights need log-probabilities and the policy gives
            none at all.
    """
    if not options.blends or not candidates:
        return list(candidates)
    if options.likelihood_weight and all(c.logprob is None for c in candidates):
        msg = (
            f"likelihood_weight={options.likelihood_weight} needs log-probabilities, "
            f"but the policy gave none for {len(candidates)} candidates."
        )
        raise ConfigurationError(
            msg,
            remedy="Ask the policy for them, as with ChatOpenAI(logprobs=True), or set "
            "likelihood_weight=0.",
        )
    families: dict[str, list[Candidate]] = {}
    for c in candidates:
        families.setdefault(c.parent, []).append(c)
    return [_blended(c, families[c.parent], options) for c in candidates]


def _blended(
    candidate: Candidate, siblings: Sequence[Candidate], options: SearchOptions
) -> Candidate:
    score = candidate.score
    if score is None or score.value is None:
        return candidate
    if options.likelihood_weight and candidate.logprob is None:
        return replace(candidate, score=Score(error=_UNKNOWN))
    share = candidate.votes / sum(c.votes for c in siblings)
    signals = {**score.signals, "reward": score.value, "vote_share": share}
    value = score.value + options.vote_weight * share
    if candidate.logprob is not None:
        signals["likelihood"] = likely = _likelihood(candidate.logprob, siblings)
        value += options.likelihood_weight * likely
    return replace(candidate, score=Score.of(value, **signals))


def _likelihood(logprob: float, siblings: Sequence[Candidate]) -> float:
    """Probability among the siblings; shifted by the highest, so that none is lost."""
    known = [c.logprob for c in siblings if c.logprob is not None]
    highest = max(known)
    mass = math.fsum(math.exp(p - highest) for p in known)
    return math.exp(logprob - highest) / mass


def first_choices(candidates: Sequence[Candidate]) -> dict[str, Candidate]:
    """Find what the policy itself would do in each state.

    Args:
        candidates: Distinct candidates, in the order in which they came.

    Returns:
        By parent the candidate with the most votes; the first of several.
    """
    out: dict[str, Candidate] = {}
    for c in candidates:
        seen = out.get(c.parent)
        if seen is None or c.votes > seen.votes:
            out[c.parent] = c
    return out
