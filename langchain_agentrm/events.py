"""What a search tells the world; streams, traces and training data only read it.

LangGraph streams them as `custom` data, in this order for one search:
`agentrm.start`, then for every step one `agentrm.step` and one `agentrm.transition` for
each kept action that ran, then `agentrm.end`. A plain node, which does not know where
the search begins and ends, tells steps only. All are plain JSON.

Example:
    ```python no-run: graph and task are yours
    for part in graph.stream(task, stream_mode="custom", version="v2"):
        event = part["data"]
        if is_event(event) and event["event"] == "agentrm.step":
            print(event["step"], [c["score"] for c in event["candidates"]])
    ```
"""

from __future__ import annotations

from typing import Any, Literal, get_args

from typing_extensions import TypedDict, TypeIs

from langchain_agentrm.types import Action, TaskRef

__all__ = [
    "CandidateEvent",
    "EndEvent",
    "Event",
    "EventName",
    "StartEvent",
    "StepEvent",
    "TransitionEvent",
    "is_event",
]

EventName = Literal[
    "agentrm.start", "agentrm.step", "agentrm.transition", "agentrm.end"
]
"""The value of `event` that tells the kinds apart."""


class CandidateEvent(TypedDict):
    """One distinct candidate of a step.

    Attributes:
        id: Node id; the same in every run with the same task, seed and answers.
        parent: Node that it was proposed in; the search's root in the first step.
        action: What would run: a text, or tool calls `{name, args}`. The message's
            text where it holds no action.
        votes: How many equal proposals it stands for.
        score: The reward model's score; None where there is none.
        kept: Whether search went on with it.
        error: Why it has no score or no action; else empty.
    """

    id: str
    parent: str
    action: Action | None
    votes: int
    score: float | None
    kept: bool
    error: str


class StartEvent(TypedDict):
    """A search begins.

    Attributes:
        event: `"agentrm.start"`.
        search: Search id, which all events of one search share.
        root: Id of the search tree's root.
        goal: The task's goal, or the user's request.
        observation: What the agent sees first.
        task: The task; None in a search over a conversation.
    """

    event: Literal["agentrm.start"]
    search: str
    root: str
    goal: str
    observation: str
    task: TaskRef | None


class StepEvent(TypedDict):
    """Candidates were scored and some kept; none of them has run yet.

    Attributes:
        event: `"agentrm.step"`.
        search: Search id; in a plain node the id of the state it answers.
        step: Number of the step, from 1.
        candidates: All distinct candidates, of all beams.
        kept: Ids of those that search goes on with.
        finished: Ids of the finished beams that hold a place beside them.
        fallback: Why the policy's order decided in place of scores; else empty.
    """

    event: Literal["agentrm.step"]
    search: str
    step: int
    candidates: list[CandidateEvent]
    kept: list[str]
    finished: list[str]
    fallback: str


class TransitionEvent(TypedDict):
    """A kept action ran in its branch.

    Told again by a step that is repeated after a failure or a kill.

    Attributes:
        event: `"agentrm.transition"`.
        search: Search id.
        node: Node that the action led to.
        parent: Node that it ran in.
        observation: What the agent sees there.
        done: Whether the episode is over.
        success: Whether the task is solved.
        progress: 0..1, what the environment reports.
    """

    event: Literal["agentrm.transition"]
    search: str
    node: str
    parent: str
    observation: str
    done: bool
    success: bool
    progress: float


class EndEvent(TypedDict):
    """A search ended.

    Attributes:
        event: `"agentrm.end"`.
        search: Search id.
        best: Node that wins; the root where there is no other.
        ended: What ended it, such as `"finished"`, `"max_steps"`, `"invalid"` or
            `"budget:tokens"`.
        steps: Steps taken.
        result: The `SearchResult` of the graph's output.
    """

    event: Literal["agentrm.end"]
    search: str
    best: str
    ended: str
    steps: int
    result: dict[str, Any]


Event = StartEvent | StepEvent | TransitionEvent | EndEvent
"""Any of them; `event` tells which."""


def is_event(data: object) -> TypeIs[Event]:
    """Tell a search's events from whatever else a graph streams as `custom` data.

    Args:
        data: What arrived.

    Returns:
        True for the events of this module.
    """
    return isinstance(data, dict) and data.get("event") in get_args(EventName)
