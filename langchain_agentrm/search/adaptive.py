"""Adaptive expansion: a step's draws go where the scores are close."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["allot_close"]


def allot_close(
    values: Sequence[float | None], total: int, *, halving: float
) -> list[int]:
    """Share a step's draws over its beams by how close each is to the best.

    A beam's weight is 1 for the best and halves with every `halving` behind it. Each
    beam gets one draw; the others go by largest remainder, earlier beams first among
    equals.

    Args:
        values: Score of each open beam, best known; a beam without one counts as best,
            for nothing is known against it.
        total: Draws of the step, at least one for each beam.
        halving: Distance of scores over which a weight halves.

    Returns:
        Draws of each beam; they add up to `total`.

    Raises:
        ValueError: If there are fewer draws than beams.
    """
    if total < len(values):
        msg = f"{total} draws are too few for {len(values)} beams"
        raise ValueError(msg)
    if not values:
        return []
    known = [v for v in values if v is not None]
    best = max(known, default=0.0)
    weights = [1.0 if v is None else 0.5 ** ((best - v) / halving) for v in values]
    spare = total - len(values)
    whole = sum(weights)
    parts = [spare * w / whole for w in weights]
    draws = [1 + int(p) for p in parts]
    order = sorted(range(len(parts)), key=lambda i: (int(parts[i]) - parts[i], i))
    for i in order[: total - sum(draws)]:
        draws[i] += 1
    return draws
