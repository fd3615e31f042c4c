"""From a trajectory to token ids that fit, the candidate never cut."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from langchain_agentrm.errors import CheckpointError
from langchain_agentrm.trajectory import (
    SERIALIZER,
    Trajectory,
    drop_oldest,
    render,
)

if TYPE_CHECKING:
    from langchain_agentrm._tokens import ChatTokens

__all__ = ["Fitted", "fitted", "refuse_other_serializer", "reserve_of"]

_RESERVE = 256


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trajectory's token ids, and how many of its oldest turns were left out."""

    ids: tuple[int, ...]
    dropped: int = 0

    @property
    def signals(self) -> dict[str, float]:
        """What a score says of this: `dropped_turns`, where any was."""
        return {"dropped_turns": float(self.dropped)} if self.dropped else {}


def reserve_of(limit: int) -> int:
    """Tokens set aside for the last observation and the candidate."""
    return min(_RESERVE, limit // 4)


def fitted(tokens: ChatTokens, trajectory: Trajectory, limit: int) -> Fitted:
    """Render and encode a trajectory within a limit, oldest turns dropped first.

    What is dropped follows from the turns before the candidate alone, so that siblings
    keep one prefix; only a last turn beyond its reserve drops more.

    Args:
        tokens: The reward model's tokens.
        trajectory: What to encode.
        limit: Longest text.

    Returns:
        The ids and what was dropped; longer than the limit if even the shortest form
        does not fit.
    """
    whole = tokens.chat(render(trajectory), generation_prompt=False)
    room = limit - reserve_of(limit)
    if len(whole) <= room:
        return Fitted(whole)
    turns = trajectory.turns
    ends = [
        len(
            tokens.chat(
                render(replace(trajectory, turns=turns[: i + 1])),
                generation_prompt=False,
            )
        )
        for i in range(len(turns) - 1)
    ]
    lengths = [b - a for a, b in zip([0, *ends], ends, strict=False)]
    # Each state's decision repeats those of the states before it.
    dropped = drop_oldest(lengths, room)
    ids = whole
    while True:
        if dropped:
            ids = tokens.chat(
                render(trajectory, keep_from=dropped), generation_prompt=False
            )
        if len(ids) <= limit or dropped >= len(turns) - 2:
            return Fitted(ids, dropped)
        dropped += 1


def refuse_other_serializer(file: Path, version: object) -> None:
    """Refuse a model that was trained on trajectories rendered another way.

    Args:
        file: The file that says so.
        version: The rendering that it names.

    Raises:
        CheckpointError: If it is not this release's.
    """
    if version != SERIALIZER:
        msg = (
            f"{file} says serializer {version!r}; this release renders trajectories as "
            f"{SERIALIZER!r}."
        )
        raise CheckpointError(
            msg, remedy="Use the release that the model was trained with, or retrain."
        )
