"""One choice among candidates: what the chat model and the middleware share.

A choice is one step of `search.select` whose beam is as wide as the draw: so all
candidates come back ranked, by the rules that rank a search's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from langchain_agentrm._nodes import rejected_node, step_event
from langchain_agentrm._session import emit
from langchain_agentrm.errors import ConfigurationError, NoCandidateError
from langchain_agentrm.reward_models.base import Comparable
from langchain_agentrm.search import (
    Evaluate,
    Kept,
    OpenState,
    Propose,
    RoundSettings,
    Selection,
    ToolCallGrammar,
    apply_grammar,
    root_id,
    select,
)
from langchain_agentrm.search.merge import ActionGrammar
from langchain_agentrm.search.rounds import RewardErrorPolicy
from langchain_agentrm.trajectory import Trajectory, conversation_prefix, describe
from langchain_agentrm.types import Action, Candidate

__all__ = [
    "AnswerGrammar",
    "Choice",
    "ChoiceSettings",
    "InvalidPolicy",
    "check_n",
    "choose",
    "info",
    "standing",
]

InvalidPolicy = Literal["return", "raise"]


@dataclass(frozen=True, slots=True)
class ChoiceSettings:
    """How a choice is made.

    Attributes:
        n: Candidates to draw.
        seed: Run seed.
        on_reward_error: What to do when nothing can be scored.
        on_invalid: What to do when no candidate holds an action: `"return"` the
            policy's first answer, marked, or `"raise"`.
        tools: Tools offered, as JSON schemas.
    """

    n: int
    seed: int = 0
    on_reward_error: RewardErrorPolicy = "policy_order"
    on_invalid: InvalidPolicy = "return"
    tools: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """The outcome of a choice.

    Attributes:
        ranked: Distinct candidates, best first; never empty. Those whose score failed
            follow the scored ones. An invalid one stands here only if alone.
        selection: All that was seen, and what it cost.
        fallback: Why no score decided; empty if one did.
        root: Id of the conversation that the candidates answer.
        step: Number of this choice since the user's last message, from 1.
        grammar: Who read the actions.
    """

    ranked: tuple[Candidate, ...]
    selection: Selection
    fallback: str
    root: str
    step: int
    grammar: ActionGrammar

    @property
    def winner(self) -> Candidate:
        """The chosen candidate."""
        return self.ranked[0]

    def draws(self, drawn: Sequence[Candidate]) -> list[Candidate]:
        """Rank single draws: equal ones stand together, invalid ones last.

        Args:
            drawn: What the proposer returned, before merging.

        Returns:
            As many candidates, each with its own message and its group's score.
        """
        parsed = apply_grammar(drawn, self.grammar, self.root)
        out = [
            replace(draw, score=best.score, votes=best.votes)
            for best in self.ranked
            for draw in parsed
            if draw.error is None and draw.id == best.id
        ]
        return out + [draw for draw in parsed if draw.error is not None]


class AnswerGrammar(ToolCallGrammar):
    """Tool calls, else text; malformed calls and malformed answers are no action.

    Args:
        read: Reads a structured answer out of a text and raises `ValueError` where that
            fails; None where any text will do.
    """

    def __init__(self, read: Callable[[str], Any] | None = None) -> None:
        self.read = read

    def parse(self, message: AIMessage) -> Action | None:
        """Read tool calls, or the text where there are none."""
        if message.invalid_tool_calls:
            return None
        action = super().parse(message)
        if isinstance(action, str) and self.read is not None:
            try:
                self.read(action)
            except ValueError:
                return None
        return action

    def key(self, action: Action) -> str:
        """As for tool calls and text; structured answers by sorted JSON."""
        if isinstance(action, str) and self.read is not None:
            return json.dumps(json.loads(action), sort_keys=True, ensure_ascii=False)
        return super().key(action)


def check_n(n: object) -> int:
    """Tell how many candidates to draw.

    Args:
        n: What the caller gave.

    Returns:
        The number.

    Raises:
        ConfigurationError: If it is no positive whole number.
    """
    if isinstance(n, int) and not isinstance(n, bool) and n >= 1:
        return n
    msg = f"n={n!r} is no number of candidates."
    raise ConfigurationError(msg, remedy="Give a whole number of at least 1.")


def choose(
    messages: Sequence[BaseMessage],
    grammar: ActionGrammar,
    settings: ChoiceSettings,
    *,
    resolution: float,
    comparable: Comparable,
) -> Generator[Propose | Evaluate, Any, Choice]:
    """Draw, parse, merge, score and rank the answers to a conversation.

    Args:
        messages: The conversation.
        grammar: Who reads actions out of messages.
        settings: Number, seed and failure policy.
        resolution: Of the reward model.
        comparable: What its scores are comparable across.

    Yields:
        `Propose`, then `Evaluate`; each is answered with its batch.

    Returns:
        The candidates, best first; the event of the choice was written.

    Raises:
        RewardModelError: If nothing could be scored and `on_reward_error="raise"`.
        NoCandidateError: If nothing came, or nothing valid and `on_invalid="raise"`.
    """
    state = _open(messages, settings.tools)
    plan = RoundSettings(
        beam_width=settings.n,
        expansions=1,
        on_reward_error=settings.on_reward_error,
        seed=settings.seed,
    )
    selection: Selection = yield from select(
        [state], (), grammar, plan, resolution=resolution, comparable=comparable
    )
    step = 1 + _taken(messages)
    if not selection.candidates:
        first = selection.invalid[state.id]
        fallback = f"no candidate is an action: {first.error}"
        if settings.on_invalid == "raise":
            msg = f"None of the policy's {settings.n} candidates is an action: "
            msg += f"{first.error}."
            raise NoCandidateError(
                msg, remedy="Check the policy's prompt, its tools and its token limit."
            )
        emit(
            step_event(
                state.id,
                step,
                selection,
                rejected=[rejected_node({}, state.id, first)],
            )
        )
        return Choice((first,), selection, fallback, state.id, step, grammar)
    ranked = selection.kept.candidates
    scored = {c.id for c in ranked}
    rest = tuple(c for c in selection.candidates if c.id not in scored)
    kept = replace(selection, kept=Kept(ranked[:1], ()))
    emit(step_event(state.id, step, kept))
    return Choice((*ranked, *rest), kept, selection.fallback, state.id, step, grammar)


def info(choice: Choice, *, n: int) -> dict[str, Any]:
    """What the winner's `response_metadata["agentrm"]` holds, as plain JSON.

    Args:
        choice: The choice.
        n: Candidates that came.

    Returns:
        `score`, `rank`, `n`, `votes`, `scores` (of the distinct candidates, best
        first; None where scoring failed), what it cost, and `fallback`.
    """
    winner, selection = choice.winner, choice.selection
    return {
        **standing(winner, 0, n),
        "scores": [c.score.value if c.score else None for c in choice.ranked],
        "candidates": len(selection.candidates),
        "step": choice.step,
        "requests": selection.policy_usage.requests,
        "policy_tokens": selection.policy_usage.tokens,
        "reward_tokens": selection.reward_usage.tokens,
        "fallback": choice.fallback,
    }


def standing(candidate: Candidate, rank: int, n: int) -> dict[str, Any]:
    """Where one candidate stands."""
    score = candidate.score
    error = candidate.error or (score.error if score else None)
    out: dict[str, Any] = {
        "score": score.value if score else None,
        "rank": rank,
        "n": n,
        "votes": candidate.votes,
    }
    return {**out, "error": error} if error else out


def _open(
    messages: Sequence[BaseMessage], tools: tuple[Mapping[str, Any], ...]
) -> OpenState:
    root = root_id(*map(_fingerprint, messages))
    last = _last_human(messages)
    # A conversation may open without a user's message; then there is no goal to read.
    said = messages if last >= 0 else [HumanMessage(""), *messages]
    prefix, seen = conversation_prefix(said)
    prefix = Trajectory(
        turns=prefix.turns,
        goal=prefix.goal,
        instruction=prefix.instruction,
        # One for all steps that follow a user's message: servers route by it.
        search_id=root_id(*map(_fingerprint, messages[: last + 1])),
        group=root,
        tools=tools,
    )
    return OpenState(root, messages, prefix, seen)


def _last_human(messages: Sequence[BaseMessage]) -> int:
    return max((i for i, m in enumerate(messages) if m.type == "human"), default=-1)


def _taken(messages: Sequence[BaseMessage]) -> int:
    return sum(
        isinstance(m, AIMessage) and "agentrm" in m.response_metadata
        for m in messages[_last_human(messages) + 1 :]
    )


def _fingerprint(message: BaseMessage) -> str:
    if isinstance(message, AIMessage):
        return f"ai:{describe(message)}"
    content = message.content
    if not isinstance(content, str):
        content = json.dumps(content, sort_keys=True, default=str)
    return f"{message.type}:{content}"
