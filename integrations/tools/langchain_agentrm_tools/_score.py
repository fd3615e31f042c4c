"""AgentBoard's scores: subgoals found in the log, cells equal to a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

__all__ = ["equal_cells", "found"]

_EARTH_KM = 6371
_NEAR_KM = 50


def found(
    subgoals: Sequence[Any], log: Sequence[Any], *, places: bool = False
) -> float:
    """Share of subgoals in a log, each logged value used once.

    Args:
        subgoals: What should be there.
        log: What is there.
        places: Whether dicts with latitude and longitude are equal when they are less
            than 50 km apart and the rest is equal.

    Returns:
        The share, 0..1.
    """
    left = list(log)
    hits = 0
    for subgoal in subgoals:
        if places and _is_place(subgoal):
            at = next(
                (
                    i
                    for i, value in enumerate(left)
                    if _is_place(value) and _same_place(subgoal, value)
                ),
                None,
            )
            if at is not None:
                # As there: the first value equal to it goes.
                left.remove(left[at])
                hits += 1
        elif subgoal in left:
            left.remove(subgoal)
            hits += 1
    return hits / len(subgoals)


def equal_cells(one: Any, two: Any) -> float:
    """Share of equal cells in the common rectangle of two tables, 0..1."""
    rows = min(len(one), len(two))
    columns = min(len(one[0]) if one else 0, len(two[0]) if two else 0)
    cells = [one[i][j] == two[i][j] for i in range(rows) for j in range(columns)]
    return sum(cells) / len(cells) if cells else 0.0


def _is_place(value: Any) -> bool:
    return isinstance(value, dict) and "latitude" in value and "longitude" in value


def _same_place(one: dict[str, Any], two: dict[str, Any]) -> bool:
    rest = [
        {k: v for k, v in d.items() if k not in {"latitude", "longitude"}}
        for d in (one, two)
    ]
    return rest[0] == rest[1] and _kilometres(one, two) < _NEAR_KM


def _kilometres(one: dict[str, Any], two: dict[str, Any]) -> float:
    """Great-circle distance by the haversine formula."""
    lat1, lat2 = math.radians(one["latitude"]), math.radians(two["latitude"])
    dlon = math.radians(two["longitude"]) - math.radians(one["longitude"])
    a = (
        math.sin((lat2 - lat1) / 2) ** 2
        + math.cos(lat1) * math.cos(lat2) * math.sin(dlon / 2) ** 2
    )
    return _EARTH_KM * 2 * math.atan2(math.sqrt(a), math.sqrt(1 - a))
