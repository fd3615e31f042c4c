"""Best-of-N inside a graph: N whole trajectories in lockstep, judged at their end."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.types import Command, Send

from langchain_agentrm._nodes import (
    child_node,
    count,
    spend,
    step_event,
    step_payload,
)
from langchain_agentrm._session import emit
from langchain_agentrm.errors import NoCandidateError, RewardModelError
from langchain_agentrm.search import (
    Evaluate,
    Kept,
    Propose,
    Selection,
    apart,
    rollout_wave,
)
from langchain_agentrm.selector import AgentRMSelector
from langchain_agentrm.state import Node, SearchInfo, open_state, path_to
from langchain_agentrm.types import Batch, Candidate, Score, Usage

__all__ = ["RolloutSelector"]


class RolloutSelector(AgentRMSelector):
    """The node of `create_best_of_n`: nothing is pruned, and the end is scored.

    Takes the options of `AgentRMSelector`; `beam_width` is the number of trajectories.
    """

    def _beam(
        self, state: Mapping[str, Any], config: RunnableConfig
    ) -> Generator[Propose | Evaluate, Any, Any]:
        del config
        info: SearchInfo = state["search"]
        nodes: dict[str, Node] = dict(state.get("nodes") or {})
        beams: list[str] = list(state.get("beams") or [])
        stop = self._stop(info, nodes, beams)
        if stop is not None:
            earlier = len(state.get("messages") or [])
            return (yield from self._judge(info, nodes, beams, stop, earlier))
        opened = [b for b in beams if b == info["root"] or nodes[b]["status"] == "open"]
        states = [open_state(info, path_to(nodes, b), None) for b in opened]
        requests = rollout_wave(
            states,
            n=self.settings.beam_width,
            seed=self.settings.seed,
            temperature=self.settings.temperature,
            include_greedy=self.settings.include_greedy,
        )
        batch: Batch[list[Candidate]] = yield Propose(requests)
        drawn = apart(requests, batch.items, self.grammar)
        if not drawn:
            msg = f"The policy returned no candidate for any of {len(states)} states."
            raise NoCandidateError(
                msg, remedy="Check the policy's endpoint and its answers."
            )
        children = [child_node(nodes, c) for c in drawn]
        selection = Selection(Kept(tuple(drawn), ()), tuple(drawn))
        selection = replace(selection, policy_usage=batch.usage)
        info = count(info, nodes, selection, self.budget)
        emit(step_event(info["id"], info["step"], selection, []))
        ended = [b for b in beams if b in nodes and b not in opened]
        kept = [*(c["id"] for c in children), *ended]
        if self.pool is not None:
            self.pool.retain(info["id"], {c["parent"] for c in children})
        sends = [
            Send(self.next_node or "", {"step": step_payload(info, nodes, c)})
            for c in children
        ]
        return Command(update={"search": info, "beams": kept}, goto=sends)

    def _judge(
        self,
        info: SearchInfo,
        nodes: dict[str, Node],
        beams: Sequence[str],
        stop: str,
        earlier: int,
    ) -> Generator[Propose | Evaluate, Any, Any]:
        ends = [b for b in beams if b in nodes]
        scores: list[Score] = []
        usage = Usage()
        fallback = ""
        if ends:
            group = f"{info['id']}:final"
            paths = [replace(self._ended(info, nodes, b), group=group) for b in ends]
            try:
                scored: Batch[Score] = yield Evaluate(paths)
                scores, usage = list(scored.items), scored.usage
            except RewardModelError as error:
                if self.settings.on_reward_error == "raise":
                    raise
                fallback = str(error)
        if scores and not any(score.ok for score in scores):
            fallback = f"no trajectory could be scored: {scores[0].error}"
            if self.settings.on_reward_error == "raise":
                msg = f"None of {len(scores)} trajectories was scored: {fallback}."
                raise RewardModelError(msg, remedy="Check the reward model.")
        for beam, score in zip(ends, scores, strict=False):
            nodes[beam] = Node(**{**nodes[beam], "score": score.value})
        if stop != "invalid":
            # Every trajectory competes with its score, ended by itself or not.
            for beam in ends:
                if nodes[beam]["status"] == "open":
                    nodes[beam] = Node(**{**nodes[beam], "status": "finished"})
        info = SearchInfo(
            **{
                **info,
                "totals": spend(info["totals"], Usage(), usage, self.budget),
                "fallbacks": info["fallbacks"] + ([fallback] if fallback else []),
            }
        )
        return self._finish(info, nodes, ends, stop, None, earlier)
