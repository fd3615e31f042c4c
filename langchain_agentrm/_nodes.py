"""From a selection to what a graph needs of it: nodes, payloads, events, messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.messages.ai import UsageMetadata

from langchain_agentrm.events import CandidateEvent, StepEvent
from langchain_agentrm.search import Finished, Selection, node_id
from langchain_agentrm.search.rounds import action_text
from langchain_agentrm.state import (
    Node,
    SearchInfo,
    StepPayload,
    Totals,
    open_state,
    path_to,
)
from langchain_agentrm.trajectory import Trajectory
from langchain_agentrm.types import Candidate

__all__ = [
    "child_node",
    "count",
    "finished_entry",
    "rejected_node",
    "step_event",
    "step_payload",
    "trajectory_of",
    "winner_message",
]


def finished_entry(node: Node) -> Finished:
    """A finished beam as ranking sees it; without a score it ranks last."""
    score = node["score"]
    value = float("-inf") if score is None else score
    return Finished(node["id"], value, node["votes"], node["key"])


def trajectory_of(info: SearchInfo, nodes: Mapping[str, Node], beam: str) -> Trajectory:
    """The trajectory up to a beam's last action."""
    path = path_to(nodes, beam)
    return open_state(info, path[:-1], []).then(path[-1]["text"])


def child_node(nodes: Mapping[str, Node], candidate: Candidate) -> Node:
    """A kept candidate as a node whose action has not run yet."""
    message = candidate.message
    score = candidate.score.value if candidate.score else None
    parent = nodes.get(candidate.parent)
    return Node(
        id=candidate.id,
        parent=candidate.parent,
        depth=parent["depth"] + 1 if parent else 1,
        key=candidate.key,
        action=candidate.action,
        text=action_text(candidate),
        content=str(message.text),
        tool_calls=[{"name": c["name"], "args": c["args"]} for c in message.tool_calls],
        score=score,
        votes=candidate.votes,
        status="open",
        observation="",
        digest="",
        progress=0.0,
        success=False,
        episode_score=0.0,
    )


def rejected_node(nodes: Mapping[str, Node], parent: str, candidate: Candidate) -> Node:
    """A child for a message without action, which the environment may answer."""
    key = f"invalid:{candidate.message.text}"
    node = child_node(nodes, candidate)
    before = nodes.get(parent)
    return Node(
        **{
            **node,
            "id": node_id(parent, key),
            "parent": parent,
            "key": key,
            "text": str(candidate.message.text),
            "score": before["score"] if before else None,
        }
    )


def step_payload(
    info: SearchInfo, nodes: Mapping[str, Node], child: Node
) -> StepPayload:
    """What a sent step needs to run `child`, replay included."""
    path = path_to(nodes, child["parent"])
    return StepPayload(
        search=info["id"],
        task=info["task"],
        node=child,
        actions=[_replayable(n) for n in path],
        digests=[info["digest"], *(n["digest"] for n in path)],
    )


def _replayable(node: Node) -> Any:
    if node["action"] is not None:
        return node["action"]
    return [{"name": "agentrm.invalid", "args": {"text": node["content"]}}]


def count(info: SearchInfo, selection: Selection) -> SearchInfo:
    """The search after one more step, with what the step cost."""
    totals = info["totals"]
    return SearchInfo(
        **{
            **info,
            "step": info["step"] + 1,
            "totals": Totals(
                requests=totals["requests"] + selection.policy_usage.requests,
                policy_tokens=totals["policy_tokens"] + selection.policy_usage.tokens,
                reward_tokens=totals["reward_tokens"] + selection.reward_usage.tokens,
            ),
            "fallbacks": info["fallbacks"]
            + ([selection.fallback] if selection.fallback else []),
        }
    )


def step_event(
    search: str,
    step: int,
    selection: Selection,
    finished: Sequence[str] = (),
    rejected: Sequence[Node] = (),
) -> StepEvent:
    """What a step tells the stream.

    Args:
        search: Search id.
        step: Number of the step, from 1.
        selection: What was seen and kept.
        finished: Ids of finished beams that were kept.
        rejected: Nodes of messages without action that go to the environment.

    Returns:
        The event.
    """
    kept = {c.id for c in selection.kept.candidates}
    candidates = [
        CandidateEvent(
            id=c.id,
            parent=c.parent,
            action=c.action,
            votes=c.votes,
            score=c.score.value if c.score else None,
            kept=c.id in kept,
            error=(c.score.error or "") if c.score else "",
        )
        for c in selection.candidates
    ]
    candidates += [
        CandidateEvent(
            id=n["id"],
            parent=n["parent"],
            action=n["content"],
            votes=n["votes"],
            score=None,
            kept=True,
            error="no action in the message",
        )
        for n in rejected
    ]
    return StepEvent(
        event="agentrm.step",
        search=search,
        step=step,
        candidates=candidates,
        kept=[c["id"] for c in candidates if c["kept"]],
        finished=list(finished),
        fallback=selection.fallback,
    )


def winner_message(winner: Candidate, selection: Selection, step: int) -> AIMessage:
    """The chosen message, with message and tool-call ids of its own."""
    message = winner.message
    score = winner.score.value if winner.score else None
    usage = selection.policy_usage
    calls = [{**c, "id": f"{winner.id}-{i}"} for i, c in enumerate(message.tool_calls)]
    meta = {
        "score": score,
        "votes": winner.votes,
        "candidates": len(selection.candidates),
        "step": step,
        "policy_tokens": usage.tokens,
        "reward_tokens": selection.reward_usage.tokens,
        "requests": usage.requests,
        "fallback": selection.fallback,
    }
    return message.model_copy(
        update={
            "id": winner.id,
            "tool_calls": calls,
            "usage_metadata": UsageMetadata(
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
                total_tokens=usage.tokens,
            ),
            "response_metadata": {**message.response_metadata, "agentrm": meta},
        }
    )
