"""One search step as a generator: it asks for proposals and scores, and decides."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from langchain_core.messages import BaseMessage

from langchain_agentrm.errors import NoCandidateError, RewardModelError
from langchain_agentrm.search.beam import Finished, FinishedMode, Kept, allot, keep
from langchain_agentrm.search.ids import derive_seed
from langchain_agentrm.search.merge import ActionGrammar, apply_grammar, merge
from langchain_agentrm.trajectory import Trajectory, Turn, describe
from langchain_agentrm.types import (
    Action,
    Batch,
    Candidate,
    ProposalRequest,
    Score,
    Usage,
)

__all__ = [
    "Evaluate",
    "OpenState",
    "Propose",
    "RewardErrorPolicy",
    "RoundSettings",
    "Selection",
    "Steps",
    "action_text",
    "select",
]

_NOTHING = Usage()

RewardErrorPolicy = Literal["policy_order", "raise"]


@dataclass(frozen=True, slots=True)
class Propose:
    """Effect: draw candidates. Answered with `Batch[list[Candidate]]`."""

    requests: Sequence[ProposalRequest]


@dataclass(frozen=True, slots=True)
class Evaluate:
    """Effect: score trajectories. Answered with `Batch[Score]`."""

    trajectories: Sequence[Trajectory]


Steps = Generator[Propose | Evaluate, Any, Any]
"""A search written as effects; see `langchain_agentrm.engine` for who runs it."""


@dataclass(frozen=True, slots=True)
class OpenState:
    """A state that is to be expanded.

    Attributes:
        id: Node id.
        messages: What the policy reads.
        prefix: The trajectory so far, without the action that is now sought.
        observation: What that action answers.
        depth: Actions taken so far.
    """

    id: str
    messages: Sequence[BaseMessage]
    prefix: Trajectory
    observation: str
    depth: int = 0

    def then(self, action: str) -> Trajectory:
        """The trajectory that ends with `action`."""
        turns = (*self.prefix.turns, Turn(self.observation, action))
        return replace(self.prefix, turns=turns)


@dataclass(frozen=True, slots=True)
class RoundSettings:
    """How a step is made.

    Attributes:
        beam_width: W1.
        expansions: W2.
        finished: Whether finished beams compete for slots or stand aside.
        on_reward_error: What to do when the reward model gives no score at all.
        seed: Run seed.
        temperature: Overrides the policy's own where it can.
        include_greedy: Let the policy's greedy action be one of each state's draws.
        margin: How much better than the greedy action a candidate must be to replace
            it; needs `include_greedy` and `beam_width=1`.
    """

    beam_width: int = 1
    expansions: int = 5
    finished: FinishedMode = "compete"
    on_reward_error: RewardErrorPolicy = "policy_order"
    seed: int = 0
    temperature: float | None = None
    include_greedy: bool = False
    margin: float = 0.0


@dataclass(frozen=True, slots=True)
class Selection:
    """The outcome of one step.

    Attributes:
        kept: What goes on, best first.
        candidates: All distinct candidates with their scores, for events and traces.
        invalid: Invalid candidates, by the state that has nothing else.
        fallback: Why the policy's own order decided; empty if the scores did.
        policy_usage: What proposing cost.
        reward_usage: What scoring cost.
        dropped_scores: Errors of single candidates that could not be scored.
    """

    kept: Kept
    candidates: tuple[Candidate, ...]
    invalid: dict[str, Candidate] = field(default_factory=dict)
    fallback: str = ""
    policy_usage: Usage = _NOTHING
    reward_usage: Usage = _NOTHING
    dropped_scores: tuple[str, ...] = ()


def action_text(candidate: Candidate) -> str:
    """The candidate's action as a reward model reads it."""
    action: Action | None = candidate.action
    return action if isinstance(action, str) else describe(candidate.message)


def _requests(states: Sequence[OpenState], s: RoundSettings) -> list[ProposalRequest]:
    root = len(states) == 1 and states[0].depth == 0
    n = allot(len(states), beam_width=s.beam_width, expansions=s.expansions, root=root)
    out = []
    for state in states:
        draws = n - 1 if s.include_greedy else n
        if s.include_greedy:
            out.append(
                ProposalRequest(
                    state.id,
                    state.messages,
                    1,
                    derive_seed(s.seed, state.id, -1),
                    greedy=True,
                )
            )
        if draws:
            out.append(
                ProposalRequest(
                    state.id,
                    state.messages,
                    draws,
                    derive_seed(s.seed, state.id),
                    temperature=s.temperature,
                )
            )
    return out


def _policy_order(candidates: Sequence[Candidate]) -> list[Candidate]:
    order = {c.id: i for i, c in enumerate(candidates)}
    return sorted(candidates, key=lambda c: (-c.votes, order[c.id]))


def select(
    states: Sequence[OpenState],
    finished: Sequence[tuple[Finished, Trajectory]],
    grammar: ActionGrammar,
    settings: RoundSettings,
    *,
    resolution: float = 0.0,
    comparable: Literal["global", "group", "depth"] = "global",
) -> Generator[Propose | Evaluate, Any, Selection]:
    """Sample, parse, merge, score and keep: one step of every search in this package.

    Args:
        states: Open states; all are expanded.
        finished: Finished beams with their trajectories.
        grammar: Who reads actions out of messages.
        settings: Widths, seeds and failure policy.
        resolution: Of the reward model.
        comparable: What the reward model's scores are comparable across: under
            `"group"` finished beams are scored again with this step's candidates, under
            `"depth"` they stand aside.

    Yields:
        `Propose`, then `Evaluate`; each is answered with its batch.

    Returns:
        What is kept, and everything that was seen.

    Raises:
        RewardModelError: If nothing could be scored and `on_reward_error="raise"`.
        NoCandidateError: If no state got any candidate, valid or not.
    """
    requests = _requests(states, settings)
    proposed: Batch[list[Candidate]] = yield Propose(requests)
    drawn: dict[str, list[Candidate]] = {s.id: [] for s in states}
    for request, items in zip(requests, proposed.items, strict=True):
        drawn[request.parent] += apply_grammar(items, grammar, request.parent)
    if not any(drawn.values()):
        msg = f"The policy returned no candidate for any of {len(states)} states."
        raise NoCandidateError(
            msg, remedy="Check the policy's endpoint and that it answers with choices."
        )
    distinct = [c for s in states for c in merge(drawn[s.id])]
    valid = {c.parent for c in distinct}
    invalid = {
        s.id: drawn[s.id][0] for s in states if s.id not in valid and drawn[s.id]
    }
    done = list(finished)
    if not distinct:
        kept = keep((), [f for f, _ in done], beam_width=settings.beam_width)
        return Selection(kept, (), invalid, policy_usage=proposed.usage)
    by_id = {s.id: s for s in states}
    trajectories = [by_id[c.parent].then(action_text(c)) for c in distinct]
    again = [t for _, t in done] if comparable == "group" else []
    fallback = ""
    reward_usage = Usage()
    scores: list[Score] = []
    try:
        scored: Batch[Score] = yield Evaluate([*trajectories, *again])
        scores, reward_usage = list(scored.items), scored.usage
    except RewardModelError as error:
        if settings.on_reward_error == "raise":
            raise
        fallback = str(error)
    if scores:
        distinct = [
            replace(c, score=s)
            for c, s in zip(distinct, scores[: len(distinct)], strict=True)
        ]
        if again:
            done = [
                (f if s.value is None else replace(f, value=s.value), t)
                for (f, t), s in zip(done, scores[len(distinct) :], strict=True)
            ]
    kept, lost, fallback = _decide(
        distinct, [f for f, _ in done], fallback, settings, resolution, comparable
    )
    return Selection(
        kept,
        tuple(distinct),
        invalid,
        fallback,
        proposed.usage,
        reward_usage,
        lost,
    )


def _decide(
    distinct: list[Candidate],
    ended: list[Finished],
    fallback: str,
    settings: RoundSettings,
    resolution: float,
    comparable: str,
) -> tuple[Kept, tuple[str, ...], str]:
    """Keep the best; where nothing was scored, follow the policy's own order."""
    ok = [c for c in distinct if c.score is not None and c.score.ok]
    lost = tuple(c.score.error or "" for c in distinct if c.score and not c.score.ok)
    if not ok and not fallback:
        fallback = f"no candidate could be scored: {lost[0]}"
        if settings.on_reward_error == "raise":
            msg = f"No candidate of {len(distinct)} could be scored: {lost[0]}."
            raise RewardModelError(
                msg,
                remedy="Check the reward model, or set on_reward_error='policy_order'.",
            )
    mode = "aside" if comparable == "depth" else settings.finished
    if fallback:
        taken = 0 if mode == "aside" else len(ended)
        slots = max(0, settings.beam_width - taken)
        return (
            Kept(tuple(_policy_order(distinct)[:slots]), tuple(ended)),
            lost,
            fallback,
        )
    kept = keep(
        _apply_margin(ok, settings),
        ended,
        beam_width=settings.beam_width,
        resolution=resolution,
        mode=mode,
    )
    return kept, lost, fallback


def _apply_margin(
    candidates: list[Candidate], settings: RoundSettings
) -> list[Candidate]:
    if not settings.margin or not settings.include_greedy:
        return candidates
    floor = {
        c.parent: (c.score.value or 0.0) + settings.margin
        for c in candidates
        if c.source == "greedy" and c.score is not None
    }
    return [
        c
        for c in candidates
        if c.source == "greedy"
        or c.parent not in floor
        or (c.score is not None and (c.score.value or 0.0) > floor[c.parent])
    ]
