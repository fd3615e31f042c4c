"""The LangGraph side of a search: plain data that a checkpoint can hold.

The search tree's nodes stand once each, by id; beams are ids over them. Dead branches
leave the state in the step that drops them. Live handles (environments) stay in the
branch pool, never in here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NotRequired

from langchain_core.messages import (
    AIMessage,
    AnyMessage,
    BaseMessage,
    HumanMessage,
    ToolCall,
    ToolMessage,
)
from langgraph.channels import DeltaChannel
from langgraph.graph import MessagesState
from typing_extensions import TypedDict

from langchain_agentrm._conversation import opening_messages
from langchain_agentrm.search.rounds import OpenState
from langchain_agentrm.trajectory import Trajectory, Turn
from langchain_agentrm.types import Action, TaskRef

__all__ = [
    "BeamState",
    "Node",
    "NodeStatus",
    "SearchInfo",
    "SearchInput",
    "SearchOutput",
    "SearchResult",
    "StepInput",
    "StepPayload",
    "merge_nodes",
    "observe",
]

NodeStatus = Literal["open", "finished", "invalid"]


class Node(TypedDict):
    """One state of the search tree: an action, and what it led to."""

    id: str
    parent: str
    depth: int
    key: str
    action: Action | None
    text: str
    content: str
    tool_calls: list[dict[str, Any]]
    score: float | None
    votes: int
    status: NodeStatus
    observation: str
    digest: str
    progress: float
    success: bool
    episode_score: float
    logprob: NotRequired[float]
    malformed: NotRequired[list[dict[str, Any]]]


class Totals(TypedDict):
    """What a search spent; each request and token counted once.

    `money` is there where the budget names prices.
    """

    requests: int
    policy_tokens: int
    reward_tokens: int
    money: NotRequired[float]


class SearchInfo(TypedDict):
    """What belongs to the search as a whole."""

    id: str
    root: str
    task: TaskRef | None
    goal: str
    instruction: str
    observation: str
    digest: str
    step: int
    step_limit: int
    started: float
    totals: Totals
    fallbacks: list[str]
    examples: NotRequired[list[dict[str, str]]]
    tools: NotRequired[list[dict[str, Any]]]
    shelf: NotRequired[list[Node]]
    revisits: NotRequired[int]


class SearchResult(TypedDict):
    """What a search found, and what ended it."""

    search: str
    node: str
    score: float | None
    episode_score: float
    success: bool
    progress: float
    actions: list[Action | None]
    steps: int
    ended: str
    totals: Totals
    fallbacks: list[str]


class StepPayload(TypedDict):
    """What a step needs, self-contained: a sent node does not see the state."""

    search: str
    task: TaskRef | None
    node: Node
    actions: list[Action]
    digests: list[str]


class StepInput(TypedDict):
    """Payload of each `Send`: one key of its own, so that no channels leak."""

    step: StepPayload


def merge_nodes(
    nodes: Mapping[str, Node] | None,
    updates: Sequence[Mapping[str, Node | None] | None],
) -> dict[str, Node]:
    """Reducer of `nodes`: add or replace by id; None removes one.

    Updates may be applied one by one or together: the nodes are the same.

    Args:
        nodes: What the channel holds; left as it is.
        updates: The updates of one or more supersteps, oldest first.

    Returns:
        The nodes after them.
    """
    merged: dict[str, Node | None] = dict(nodes or {})
    for update in updates:
        merged.update(update or {})
    return {k: v for k, v in merged.items() if v is not None}


# A plain channel stores the whole tree with every superstep; this one what is new.
_NODES: DeltaChannel[dict[str, Node]] = DeltaChannel(merge_nodes)


class BeamState(MessagesState):
    """State of a search graph; inherit from it to add your own channels."""

    task: NotRequired[TaskRef]
    search: NotRequired[SearchInfo | None]
    nodes: NotRequired[Annotated[dict[str, Node], _NODES]]
    beams: NotRequired[list[str]]
    result: NotRequired[SearchResult]


class SearchInput(TypedDict):
    """Input of `create_beam_search` and `create_best_of_n`: a task."""

    task: TaskRef


class SearchOutput(TypedDict):
    """Output: the winner's messages and the result."""

    messages: list[AnyMessage]
    result: SearchResult


def path_to(nodes: Mapping[str, Node], node: str) -> list[Node]:
    """Nodes from the root's child down to `node`."""
    out: list[Node] = []
    while node in nodes:
        out.append(nodes[node])
        node = nodes[node]["parent"]
    return out[::-1]


def first_messages(info: SearchInfo) -> list[BaseMessage]:
    """What every beam's conversation begins with."""
    return opening_messages(
        info["instruction"],
        info["goal"],
        info["observation"],
        info.get("examples", ()),
        root=info["root"],
    )


def node_messages(node: Node, *, answered: bool = True) -> list[BaseMessage]:
    """A node as messages: what the policy said, and what it saw then."""
    calls = [
        ToolCall(name=c["name"], args=c["args"], id=f"{node['id']}-{i}")
        for i, c in enumerate(node["tool_calls"])
    ]
    out: list[BaseMessage] = [
        AIMessage(content=node["content"], tool_calls=calls, id=node["id"])
    ]
    if answered:
        out += observation_messages(node, node["observation"])
    return out


def observation_messages(node: Node, observation: str) -> list[BaseMessage]:
    """An observation as the message kind that fits the action."""
    if node["tool_calls"]:
        return [
            ToolMessage(
                observation,
                tool_call_id=f"{node['id']}-{i}",
                id=f"{node['id']}-seen-{i}",
            )
            for i in range(len(node["tool_calls"]))
        ]
    return [HumanMessage(observation, id=f"{node['id']}-seen")]


def open_state(
    info: SearchInfo,
    path: Sequence[Node],
    conversation: Sequence[BaseMessage] | None,
) -> OpenState:
    """Make the search core's view of one open beam.

    Args:
        info: The search.
        path: Nodes from the root's child to the beam's last node; empty at the root.
        conversation: What precedes the path; None where the environment's start does.

    Returns:
        What `search.select` expands.
    """
    head = first_messages(info) if conversation is None else list(conversation)
    for node in path:
        head += node_messages(node)
    seen = [info["observation"], *(n["observation"] for n in path)]
    turns = tuple(Turn(o, n["text"]) for o, n in zip(seen[:-1], path, strict=True))
    prefix = Trajectory(
        turns=turns,
        goal=info["goal"],
        instruction=info["instruction"],
        task=info["task"],
        search_id=info["id"],
        group=f"{info['id']}:{info['step']}",
        tools=tuple(info.get("tools", [])),
    )
    return OpenState(
        id=path[-1]["id"] if path else info["root"],
        messages=head,
        prefix=prefix,
        observation=seen[-1],
        depth=len(path),
        value=path[-1]["score"] if path else None,
    )


def observe(
    payload: StepPayload,
    observation: str,
    *,
    done: bool = False,
    success: bool = False,
    score: float = 0.0,
    progress: float = 0.0,
    digest: str = "",
) -> dict[str, dict[str, Node]]:
    """Make a step node's update: what the sent action led to.

    Args:
        payload: What the selector sent.
        observation: What the agent sees next.
        done: Whether the episode is over.
        success: Whether the task is solved.
        score: Episode score so far, 0..1.
        progress: Progress, 0..1.
        digest: Digest of the observation, for a checked replay.

    Returns:
        The update for `BeamState`.
    """
    node = Node(
        **{
            **payload["node"],
            "observation": observation,
            "status": "finished" if done else payload["node"]["status"],
            "success": success,
            "episode_score": score,
            "progress": progress,
            "digest": digest,
        }
    )
    return {"nodes": {node["id"]: node}}
