"""Which answers are compared, and what their comparisons add up to."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass

from langchain_agentrm.reward_agent.types import Passage

__all__ = ["Outcome", "Pair", "digest", "make_pair", "ring_of"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one pair.

    Attributes:
        scores: Of the first and the second answer, 0.1 to 1.0; None if undecided.
        equal: Whether no difference in facts was found.
        reason: Why, in the model's words or ours.
        passages: What was cited.
        error: What failed, where something did.
    """

    scores: tuple[float, float] | None = None
    equal: bool = False
    reason: str = ""
    passages: tuple[Passage, ...] = ()
    error: str | None = None


@dataclass(slots=True)
class Pair:
    """Two answers to one request, and how far their comparison has come.

    Attributes:
        request: What both answer.
        texts: Both answers; the order is the pair's own.
        members: Places of both among the group's distinct answers.
        points: Where they differ.
        queries: What was searched.
        found: Passages for each query.
        outcome: What came of it; None while it is open.
    """

    request: str
    texts: tuple[str, str]
    members: tuple[int, int]
    points: tuple[str, ...] = ()
    queries: tuple[str, ...] = ()
    found: tuple[tuple[Passage, ...], ...] = ()
    outcome: Outcome | None = None

    @property
    def key(self) -> bytes:
        """What makes two pairs the same."""
        return digest(self.request, *self.texts)


def digest(*parts: str) -> bytes:
    """Hash texts, each with its length, so that no two lists look alike."""
    total = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        total.update(len(data).to_bytes(8, "big"))
        total.update(data)
    return total.digest()


def ring_of(request: str, answers: Sequence[str], seed: int) -> list[tuple[int, int]]:
    """Join distinct answers to a random ring.

    The ring follows from the seed and the texts, never from their order. Source:
    Agentic Reward Modeling draws as many pairs as there are answers at random; the
    ring, in which no answer is left out, is ours.

    Args:
        request: What they answer.
        answers: Distinct texts.
        seed: Of the verifier.

    Returns:
        Pairs of places: each place in exactly two; one pair for two answers, none for
        fewer.
    """
    ring = sorted(range(len(answers)), key=lambda i: answers[i])
    drawn = digest(str(seed), request, *(answers[i] for i in ring))
    # No secret depends on it, and the ring must be repeatable.
    random.Random(drawn).shuffle(ring)  # noqa: S311
    pairs = list(zip(ring, [*ring[1:], *ring[:1]], strict=True))
    return pairs[: len(answers) if len(answers) > 2 else len(answers) - 1]  # noqa: PLR2004


def make_pair(
    request: str, answers: Sequence[str], members: tuple[int, int], seed: int
) -> Pair:
    """Put two answers in an order that only the seed and their texts decide.

    So a comparison made for one group holds for any other with the same two answers.

    Args:
        request: What they answer.
        answers: Distinct texts of the group.
        members: Places of the two.
        seed: Of the verifier.

    Returns:
        The open pair.
    """
    low, high = sorted(members, key=lambda i: answers[i])
    if digest(str(seed), request, answers[low], answers[high])[0] % 2:
        low, high = high, low
    return Pair(request, (answers[low], answers[high]), (low, high))
