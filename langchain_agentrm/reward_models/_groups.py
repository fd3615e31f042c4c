"""Which trajectories compete, and which of them are one and the same."""

from __future__ import annotations

import json
from collections.abc import Hashable, Sequence

from langchain_agentrm.trajectory import Trajectory

__all__ = ["content_of", "groups_of"]


def groups_of(trajectories: Sequence[Trajectory]) -> list[list[int]]:
    """Part trajectories into those that compete.

    Args:
        trajectories: What is to be scored.

    Returns:
        Their positions by group, in the order in which the groups appear. Without a
        `group`, those compete whose turns up to the candidate's action are the same.
    """
    table: dict[Hashable, list[int]] = {}
    for i, trajectory in enumerate(trajectories):
        table.setdefault(_group_of(trajectory), []).append(i)
    return list(table.values())


def content_of(trajectory: Trajectory) -> Hashable:
    """What makes two trajectories of one group the same candidate."""
    # A call that could not be read leaves no trace in the text.
    calls = json.dumps(trajectory.calls, sort_keys=True, default=str)
    return (trajectory.instruction, trajectory.goal, trajectory.turns, calls)


def _group_of(trajectory: Trajectory) -> Hashable:
    if trajectory.group:
        return (trajectory.search_id, trajectory.group)
    before, last = trajectory.turns[:-1], trajectory.turns[-1:]
    seen = last[0].observation if last else ""
    task = tuple(sorted((k, str(v)) for k, v in (trajectory.task or {}).items()))
    return (
        trajectory.search_id,
        task,
        trajectory.instruction,
        trajectory.goal,
        before,
        seen,
    )
