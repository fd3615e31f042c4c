"""From messages to comparable candidates: parse, mark what is invalid, merge equals."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Protocol

from langchain_core.messages import AIMessage

from langchain_agentrm.search.ids import node_id
from langchain_agentrm.types import Action, Candidate

__all__ = [
    "ActionGrammar",
    "ToolCallGrammar",
    "apply_grammar",
    "merge",
    "tool_call_key",
]


class ActionGrammar(Protocol):
    """Who owns the action grammar: an environment, or the tool-call default."""

    def parse(self, message: AIMessage) -> Action | None:
        """Read the action out of a message; None if there is none."""
        ...

    def key(self, action: Action) -> str:
        """Normal form by which equal actions are merged."""
        ...


class ToolCallGrammar:
    """The default: tool calls are compared by name and sorted arguments, else text."""

    def parse(self, message: AIMessage) -> Action | None:
        """Read tool calls, or the text where there are none."""
        if message.tool_calls:
            return [{"name": c["name"], "args": c["args"]} for c in message.tool_calls]
        return str(message.text).strip() or None

    def key(self, action: Action) -> str:
        """Sorted JSON of the calls, or the text with blanks collapsed."""
        if isinstance(action, str):
            return " ".join(action.split())
        return tool_call_key(action)


def tool_call_key(calls: Iterable[dict[str, Any]]) -> str:
    """Compare parallel tool calls as one action, whatever the order of arguments."""
    return json.dumps(
        [[c["name"], c["args"]] for c in calls],
        sort_keys=True,
        ensure_ascii=False,
        separators=(",", ":"),
        default=str,
    )


def apply_grammar(
    candidates: Iterable[Candidate], grammar: ActionGrammar, parent: str
) -> list[Candidate]:
    """Fill action, key and node id; what does not parse gets an error instead.

    Args:
        candidates: Proposals of one parent, as the proposer returned them.
        grammar: Who reads actions out of messages.
        parent: Node id of the state they answer.

    Returns:
        The same candidates in the same order.
    """
    out = []
    for candidate in candidates:
        if candidate.error is not None:
            out.append(replace(candidate, parent=parent))
            continue
        action = grammar.parse(candidate.message)
        if action is None:
            out.append(
                replace(candidate, parent=parent, error="no action in the message")
            )
            continue
        key = grammar.key(action)
        out.append(
            replace(
                candidate,
                parent=parent,
                action=action,
                key=key,
                id=node_id(parent, key),
            )
        )
    return out


def merge(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Merge valid candidates of one parent with equal keys, keeping the count.

    Args:
        candidates: Proposals after `apply_grammar`; invalid ones are left out.

    Returns:
        Distinct candidates in the order in which each first came. The first message of
        a key stands for all; `votes` is the policy's vote for it.
    """
    first: dict[tuple[str, str], Candidate] = {}
    for candidate in candidates:
        if candidate.error is not None:
            continue
        at = (candidate.parent, candidate.key)
        seen = first.get(at)
        if seen is None:
            first[at] = candidate
        else:
            first[at] = replace(
                seen,
                votes=seen.votes + candidate.votes,
                source="greedy" if candidate.source == "greedy" else seen.source,
            )
    return list(first.values())
