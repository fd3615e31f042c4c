"""Best-of-N: whole trajectories in lockstep; nothing is merged and nothing pruned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from langchain_agentrm.search.ids import derive_seed, node_id
from langchain_agentrm.search.merge import ActionGrammar, apply_grammar
from langchain_agentrm.search.rounds import OpenState
from langchain_agentrm.types import Candidate, ProposalRequest

__all__ = ["apart", "rollout_wave"]


def rollout_wave(
    states: Sequence[OpenState],
    *,
    n: int,
    seed: int,
    temperature: float | None,
    include_greedy: bool,
) -> list[ProposalRequest]:
    """Ask for the next action of every rollout.

    Args:
        states: The root alone at first, then one state per open rollout.
        n: Number of rollouts.
        seed: Run seed.
        temperature: Sampling temperature; None leaves the policy's own.
        include_greedy: Whether the first rollout is the policy's greedy one; its later
            states are told by their id, which ends in `g`.

    Returns:
        One request per state; at the root one for the greedy draw and one for the rest.
    """
    out = []
    for state in states:
        root = state.depth == 0
        if include_greedy and (root or state.id.endswith("g")):
            at = derive_seed(seed, state.id, -1)
            out.append(ProposalRequest(state.id, state.messages, 1, at, greedy=True))
            if not root or n == 1:
                continue
        draws = (n - include_greedy) if root else 1
        at = derive_seed(seed, state.id)
        out.append(
            ProposalRequest(
                state.id, state.messages, draws, at, temperature=temperature
            )
        )
    return out


def apart(
    requests: Sequence[ProposalRequest],
    items: Sequence[Sequence[Candidate]],
    grammar: ActionGrammar,
) -> list[Candidate]:
    """Read the draws' actions, giving equal draws nodes of their own.

    Args:
        requests: What was asked, by `rollout_wave`.
        items: What came, in the same order.
        grammar: Who reads actions out of messages.

    Returns:
        One candidate per rollout that is still alive; invalid ones carry their error.
    """
    out = []
    for request, drawn in zip(requests, items, strict=True):
        for i, candidate in enumerate(apply_grammar(drawn, grammar, request.parent)):
            mark = "g" if request.greedy else "s"
            text = candidate.key or f"invalid:{candidate.message.text}"
            ident = node_id(request.parent, f"{i}{mark}|{text}")[:15] + mark
            out.append(replace(candidate, id=ident))
    return out
