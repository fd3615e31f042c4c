"""One search step as a generator: it asks for proposals and scores, and decides."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from langchain_core.messages import BaseMessage

from langchain_agentrm.errors import NoCandidateError, RewardModelError
from langchain_agentrm.search.adaptive import allot_close
from langchain_agentrm.search.beam import Finished, FinishedMode, Kept, allot, keep
from langchain_agentrm.search.blend import blend, first_choices
from langchain_agentrm.search.ids import derive_seed
from langchain_agentrm.search.merge import ActionGrammar, apply_grammar, merge
from langchain_agentrm.search.options import SearchOptions
from langchain_agentrm.search.revisit import Shelf, revisit
from langchain_agentrm.trajectory import Trajectory, Turn, calls_of, describe
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
_EMPTY = Shelf()
_PAPER = SearchOptions()

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
        value: Score of the last action; None at the root and where there is none.
    """

    id: str
    messages: Sequence[BaseMessage]
    prefix: Trajectory
    observation: str
    depth: int = 0
    value: float | None = None

    def then(self, action: str, calls: Sequence[Mapping[str, Any]] = ()) -> Trajectory:
        """The trajectory that ends with `action`, its tool calls beside it."""
        turns = (*self.prefix.turns, Turn(self.observation, action))
        return replace(self.prefix, turns=turns, calls=tuple(calls))

    def listing(self, actions: Sequence[str]) -> OpenState:
        """This state with the actions that its environment admits."""
        return replace(self, prefix=replace(self.prefix, admissible=tuple(actions)))


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
        search: What goes beyond the paper.
    """

    beam_width: int = 1
    expansions: int = 5
    finished: FinishedMode = "compete"
    on_reward_error: RewardErrorPolicy = "policy_order"
    seed: int = 0
    temperature: float | None = None
    include_greedy: bool = False
    margin: float = 0.0
    search: SearchOptions = _PAPER


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
        shelf: Dropped candidates that a revisit may call back.
    """

    kept: Kept
    candidates: tuple[Candidate, ...]
    invalid: dict[str, Candidate] = field(default_factory=dict)
    fallback: str = ""
    policy_usage: Usage = _NOTHING
    reward_usage: Usage = _NOTHING
    dropped_scores: tuple[str, ...] = ()
    shelf: Shelf = _EMPTY

    @property
    def revived(self) -> tuple[Candidate, ...]:
        """Kept candidates that an earlier step had dropped."""
        seen = {c.id for c in self.candidates}
        return tuple(c for c in self.kept.candidates if c.id not in seen)


def action_text(candidate: Candidate) -> str:
    """The candidate's action as a reward model reads it."""
    action: Action | None = candidate.action
    return action if isinstance(action, str) else describe(candidate.message)


def _requests(states: Sequence[OpenState], s: RoundSettings) -> list[ProposalRequest]:
    root = len(states) == 1 and states[0].depth == 0
    each = allot(
        len(states), beam_width=s.beam_width, expansions=s.expansions, root=root
    )
    counts = [each] * len(states)
    if s.search.adaptive is not None:
        values = [state.value for state in states]
        counts = allot_close(values, sum(counts), halving=s.search.adaptive)
    out = []
    for state, n in zip(states, counts, strict=True):
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
    shelf: Shelf = _EMPTY,
) -> Generator[Propose | Evaluate, Any, Selection]:
    """Sample, parse, merge, score and keep: one step of every search in this package.

    Args:
        states: Open states; all are expanded. Without any only the shelf can go on.
        finished: Finished beams with their trajectories.
        grammar: Who reads actions out of messages.
        settings: Widths, seeds and failure policy.
        resolution: Of the reward model.
        comparable: What the reward model's scores are comparable across: under
            `"group"` finished beams are scored again with this step's candidates, under
            `"depth"` they stand aside.
        shelf: What earlier steps dropped, for a revisit.

    Yields:
        `Propose`, then `Evaluate`; each is answered with its batch.

    Returns:
        What is kept, and everything that was seen.

    Raises:
        RewardModelError: If nothing could be scored and `on_reward_error="raise"`.
        NoCandidateError: If no state got any candidate, valid or not.
    """
    step = _Step(settings, resolution, comparable, shelf)
    if not states:
        kept, shelf = step.go_back([f for f, _ in finished])
        return Selection(kept, (), shelf=shelf)
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
        kept, shelf = step.go_back([f for f, _ in done])
        return Selection(kept, (), invalid, policy_usage=proposed.usage, shelf=shelf)
    by_id = {s.id: s for s in states}
    trajectories = [
        by_id[c.parent].then(action_text(c), calls_of(c.message)) for c in distinct
    ]
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
    distinct = blend(distinct, settings.search)
    kept, lost, fallback, shelf = step.decide(distinct, [f for f, _ in done], fallback)
    return Selection(
        kept,
        tuple(distinct),
        invalid,
        fallback,
        proposed.usage,
        reward_usage,
        lost,
        shelf,
    )


@dataclass(frozen=True, slots=True)
class _Step:
    """Decides what one step keeps."""

    settings: RoundSettings
    resolution: float
    comparable: str
    shelf: Shelf

    @property
    def mode(self) -> FinishedMode:
        return "aside" if self.comparable == "depth" else self.settings.finished

    def keep(self, candidates: Sequence[Candidate], ended: Sequence[Finished]) -> Kept:
        return keep(
            candidates,
            ended,
            beam_width=self.settings.beam_width,
            resolution=self.resolution,
            mode=self.mode,
            per_parent=self.settings.search.per_parent,
            tie_break=self.settings.search.tie_break,
        )

    def go_back(self, ended: Sequence[Finished]) -> tuple[Kept, Shelf]:
        """The step brought nothing new: what is left is finished or was dropped."""
        return self._revisit(self.keep((), ended), (), ended)

    def _revisit(
        self, kept: Kept, scored: Sequence[Candidate], ended: Sequence[Finished]
    ) -> tuple[Kept, Shelf]:
        return revisit(
            kept,
            scored,
            ended,
            self.shelf,
            self.settings.search,
            self.keep,
            resolution=self.resolution,
        )

    def decide(
        self, distinct: Sequence[Candidate], ended: Sequence[Finished], fallback: str
    ) -> tuple[Kept, tuple[str, ...], str, Shelf]:
        """Keep the best; where nothing was scored, follow the policy's own order."""
        ok = [c for c in distinct if c.score is not None and c.score.ok]
        lost = tuple(
            c.score.error or "" for c in distinct if c.score and not c.score.ok
        )
        if not ok and not fallback:
            fallback = f"no candidate could be scored: {lost[0]}"
            if self.settings.on_reward_error == "raise":
                msg = f"No candidate of {len(distinct)} could be scored: {lost[0]}."
                raise RewardModelError(
                    msg,
                    remedy="Check the reward model, or set "
                    "on_reward_error='policy_order'.",
                )
        if fallback:
            taken = 0 if self.mode == "aside" else len(ended)
            slots = max(0, self.settings.beam_width - taken)
            best = _policy_order(distinct)[:slots]
            return Kept(tuple(best), tuple(ended)), lost, fallback, self.shelf
        kept = self.keep(_apply_margin(ok, self.settings), ended)
        kept, shelf = self._revisit(kept, ok, ended)
        return kept, lost, fallback, shelf


def _apply_margin(
    candidates: list[Candidate], settings: RoundSettings
) -> list[Candidate]:
    """Leave out what is not clearly better than the policy's own first choice."""
    if settings.search.vote_margin:
        first = first_choices(candidates)
        margin = settings.search.vote_margin
    elif settings.margin and settings.include_greedy:
        first = {c.parent: c for c in candidates if c.source == "greedy"}
        margin = settings.margin
    else:
        return candidates
    return [
        c
        for c in candidates
        if c.parent not in first
        or c.id == first[c.parent].id
        or _value(c) > _value(first[c.parent]) + margin
    ]


def _value(candidate: Candidate) -> float:
    score = candidate.score
    return 0.0 if score is None or score.value is None else score.value
