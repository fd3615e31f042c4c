"""What a search tells the world; streams, traces and training data only read it."""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import TypedDict

from langchain_agentrm.types import Action

__all__ = [
    "CandidateEvent",
    "EndEvent",
    "Event",
    "StartEvent",
    "StepEvent",
    "TransitionEvent",
]


class CandidateEvent(TypedDict):
    """One distinct candidate of a step."""

    id: str
    parent: str
    action: Action | None
    votes: int
    score: float | None
    kept: bool
    error: str


class StartEvent(TypedDict):
    """A search begins."""

    event: Literal["agentrm.start"]
    search: str
    root: str
    goal: str
    observation: str
    task: dict[str, Any] | None


class StepEvent(TypedDict):
    """Candidates were scored and some kept."""

    event: Literal["agentrm.step"]
    search: str
    step: int
    candidates: list[CandidateEvent]
    kept: list[str]
    finished: list[str]
    fallback: str


class TransitionEvent(TypedDict):
    """A kept action ran in its branch."""

    event: Literal["agentrm.transition"]
    search: str
    node: str
    parent: str
    observation: str
    done: bool
    success: bool
    progress: float


class EndEvent(TypedDict):
    """A search ended."""

    event: Literal["agentrm.end"]
    search: str
    best: str
    ended: str
    steps: int
    result: dict[str, Any]


Event = StartEvent | StepEvent | TransitionEvent | EndEvent
