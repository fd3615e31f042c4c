"""From a selection to what a graph needs of it: nodes, payloads, events, messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.messages.ai import UsageMetadata

from langchain_agentrm.budgets import Budget
from langchain_agentrm.events import CandidateEvent, StepEvent
from langchain_agentrm.search import Finished, Selection, Shelf, node_id
from langchain_agentrm.search.rounds import action_text
from langchain_agentrm.state import (
    Node,
    SearchInfo,
    SearchResult,
    StepPayload,
    Totals,
    open_state,
    path_to,
)
from langchain_agentrm.trajectory import Trajectory, calls_of
from langchain_agentrm.types import Candidate, Score, Usage

__all__ = [
    "child_node",
    "count",
    "finished_entry",
    "rejected_node",
    "search_result",
    "shelf_of",
    "spend",
    "spent_before",
    "step_event",
    "step_payload",
    "trajectory_of",
    "way_to",
    "winner_message",
]


def finished_entry(node: Node) -> Finished:
    """A finished beam as ranking sees it; without a score it ranks last."""
    score = node["score"]
    value = float("-inf") if score is None else score
    return Finished(node["id"], value, node["votes"], node["key"], node.get("logprob"))


def trajectory_of(info: SearchInfo, nodes: Mapping[str, Node], beam: str) -> Trajectory:
    """The trajectory up to a beam's last action."""
    path = path_to(nodes, beam)
    last = path[-1]
    calls = [*last["tool_calls"], *last.get("malformed", [])]
    return open_state(info, path[:-1], []).then(last["text"], calls)


def child_node(nodes: Mapping[str, Node], candidate: Candidate) -> Node:
    """A kept candidate as a node whose action has not run yet."""
    message = candidate.message
    score = candidate.score.value if candidate.score else None
    parent = nodes.get(candidate.parent)
    node = Node(
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
    if candidate.logprob is not None:
        node["logprob"] = candidate.logprob
    if message.invalid_tool_calls:
        node["malformed"] = [c for c in calls_of(message) if "error" in c]
    return node


def _shelved(nodes: Mapping[str, Node], shelf: Shelf) -> list[Node]:
    """Dropped candidates as plain nodes, which a checkpoint can hold."""
    return [child_node(nodes, candidate) for candidate in shelf.candidates]


def shelf_of(info: SearchInfo) -> Shelf:
    """What earlier steps dropped, read back from the search's state."""
    some = tuple(_candidate(node) for node in info.get("shelf", []))
    return Shelf(some, info.get("revisits", 0))


def _candidate(node: Node) -> Candidate:
    calls = [{**c, "id": f"{node['id']}-{i}"} for i, c in enumerate(node["tool_calls"])]
    return Candidate(
        AIMessage(node["content"], tool_calls=calls),
        parent=node["parent"],
        id=node["id"],
        action=node["action"],
        key=node["key"],
        votes=node["votes"],
        logprob=node.get("logprob"),
        score=Score(node["score"]),
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
    actions, digests = way_to(info, nodes, child["parent"])
    return StepPayload(
        search=info["id"],
        task=info["task"],
        node=child,
        actions=actions,
        digests=digests,
    )


def way_to(
    info: SearchInfo, nodes: Mapping[str, Node], node: str
) -> tuple[list[Any], list[str]]:
    """Actions that lead to a node, and digests of what was seen, the root's first."""
    path = path_to(nodes, node)
    digests = [info["digest"], *(n["digest"] for n in path)]
    return [_replayable(n) for n in path], digests


def _replayable(node: Node) -> Any:
    if node["action"] is not None:
        return node["action"]
    return [{"name": "agentrm.invalid", "args": {"text": node["content"]}}]


def spend(
    totals: Totals, policy: Usage, reward: Usage, budget: Budget | None
) -> Totals:
    """Totals after one more step; money where the budget names prices."""
    after = Totals(
        requests=totals["requests"] + policy.requests,
        policy_tokens=totals["policy_tokens"] + policy.tokens,
        reward_tokens=totals["reward_tokens"] + reward.tokens,
    )
    if budget is not None and budget.priced:
        after["money"] = totals.get("money", 0.0) + budget.cost(policy, reward)
    return after


def search_result(info: SearchInfo, path: Sequence[Node], ended: str) -> SearchResult:
    """What a search found at the end of `path`, and what ended it."""
    last = path[-1] if path else None
    return SearchResult(
        search=info["id"],
        node=last["id"] if last else info["root"],
        score=last["score"] if last else None,
        episode_score=last["episode_score"] if last else 0.0,
        success=last["success"] if last else False,
        progress=last["progress"] if last else 0.0,
        actions=[n["action"] for n in path],
        steps=info["step"],
        ended=ended,
        totals=info["totals"],
        fallbacks=info["fallbacks"],
    )


def spent_before(earlier: Sequence[Mapping[str, Any]]) -> Totals:
    """What a plain node's winners say that their steps cost."""

    def total(name: str) -> Any:
        return sum(meta.get(name, 0) for meta in earlier)

    return Totals(
        requests=total("requests"),
        policy_tokens=total("policy_tokens"),
        reward_tokens=total("reward_tokens"),
        money=total("money"),
    )


def count(
    info: SearchInfo,
    nodes: Mapping[str, Node],
    selection: Selection,
    budget: Budget | None = None,
) -> SearchInfo:
    """The search after one more step: what it cost, and what it dropped."""
    after = SearchInfo(
        **{
            **info,
            "step": info["step"] + 1,
            "totals": spend(
                info["totals"], selection.policy_usage, selection.reward_usage, budget
            ),
            "fallbacks": info["fallbacks"]
            + ([selection.fallback] if selection.fallback else []),
        }
    )
    if selection.shelf.candidates or "shelf" in info:
        after["shelf"] = _shelved(nodes, selection.shelf)
        after["revisits"] = selection.shelf.used
    return after


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
        kept=[
            *(c["id"] for c in candidates if c["kept"]),
            *(c.id for c in selection.revived),
        ],
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
