"""An implicit reward's parts: which tokens are a step's, and what the steps add up to.

The reward of a step belongs to the path up to it and to nothing else: its log-ratio is
read in the text that fits when the step is the last one. So it can be remembered, and a
search pays for new steps only, however its older turns are dropped from the context.
"""

from __future__ import annotations

import math
import statistics
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Literal, get_args

from langchain_agentrm._tokens import ChatTokens
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.reward_models._texts import fitted
from langchain_agentrm.reward_models.base import Comparable
from langchain_agentrm.trajectory import Trajectory, render
from langchain_agentrm.types import Score

__all__ = [
    "Ask",
    "Ids",
    "Plan",
    "ReadOut",
    "StepRewards",
    "StepText",
    "comparable_of",
    "step_text",
]

Ids = tuple[int, ...]

ReadOut = Literal["last", "cumulative", "mean", "min"]
"""How the rewards of the steps become one score."""

_REMEMBERED = 1 << 18  # steps, about 300 bytes each
_TEMPLATE = "use a chat template that writes earlier turns as they were"


@dataclass(frozen=True, slots=True)
class StepText:
    """A text that ends with a step, and where the step's tokens are in it.

    Attributes:
        ids: The whole text.
        start: First token of the assistant turn, after its opener.
        end: One past its end-of-turn token.
        dropped: Oldest turns left out of the text.
    """

    ids: Ids
    start: int
    end: int
    dropped: int


@dataclass(slots=True)
class Ask:
    """A text of which the log-probabilities of some spans are wanted."""

    ids: Ids
    steps: list[tuple[bytes, StepText]] = field(default_factory=list)

    @property
    def spans(self) -> list[tuple[int, int]]:
        """First token and one past the last token of each step."""
        return [(step.start, step.end) for _, step in self.steps]


@dataclass(frozen=True, slots=True)
class _Known:
    log_ratio: float
    dropped: int


@dataclass(slots=True)
class Plan:
    """What a batch of trajectories needs.

    Attributes:
        paths: The keys of each trajectory's steps.
        asks: Texts to be read.
        errors: Why a step has no reward, by key.
        known: Steps of this batch that have one.
    """

    paths: list[list[bytes]]
    asks: list[Ask] = field(default_factory=list)
    errors: dict[bytes, str] = field(default_factory=dict)
    known: dict[bytes, _Known] = field(default_factory=dict)


def comparable_of(read: ReadOut) -> Comparable:
    """Tell what a read-out may be compared across.

    A step's reward is an advantage: it says how much better the action is than the
    reference's own in that state. Sums and minima move with the number of steps, and
    the last step's advantage says nothing of the steps before, so a finished path and
    one that goes on cannot be held against each other by them: `"depth"`. A mean has
    no length in it: `"global"`.
    """
    return "global" if read == "mean" else "depth"


def step_text(tokens: ChatTokens, trajectory: Trajectory, limit: int) -> StepText | str:
    """Render a trajectory and find the tokens of its last action.

    The action's tokens are those of the assistant turn with its end-of-turn token;
    what the template writes before and after them is not.

    Args:
        tokens: The models' tokens.
        trajectory: The path up to the step.
        limit: Longest text.

    Returns:
        The text, or why there is none.
    """
    fit = fitted(tokens, trajectory, limit)
    if len(fit.ids) > limit:
        return (
            f"it has {len(fit.ids)} tokens with its oldest turns dropped; the limit is "
            f"{limit}"
        )
    messages = render(trajectory, keep_from=fit.dropped)
    opener = tokens.chat(messages[:-1], generation_prompt=True)
    start = len(opener)
    if not start:
        return "the chat template writes nothing before the answer"
    if fit.ids[:start] != opener:
        return (
            "the chat template does not write the answer after the text that the "
            f"policy is asked with; {_TEMPLATE}"
        )
    before = messages[:-2]
    if before and before[-1]["role"] == "assistant":
        earlier = tokens.chat(before, generation_prompt=False)
        if opener[: len(earlier)] != earlier:
            return f"the chat template writes an earlier turn anew; {_TEMPLATE}"
    end = _turn_end(tokens, fit.ids, start)
    if end == start:
        return "the chat template writes nothing for the answer"
    return StepText(fit.ids, start, end, fit.dropped)


def _turn_end(tokens: ChatTokens, ids: Ids, start: int) -> int:
    """Leave out blanks that a template writes after the end-of-turn token."""
    end = len(ids)
    while end > start and (text := tokens.text(ids[end - 1 : end])) and text.isspace():
        end -= 1
    # Special tokens decode to nothing. Blanks after anything else are the action's.
    ended = end > start and not tokens.text(ids[end - 1 : end])
    return end if ended else len(ids)


class StepRewards:
    """Rewards of steps, remembered by the path that leads to them."""

    def __init__(
        self, tokens: ChatTokens, limit: int, *, beta: float, read: ReadOut
    ) -> None:
        """Set up.

        Args:
            tokens: The models' tokens.
            limit: Longest text in tokens.
            beta: Factor of the log-ratios.
            read: The read-out.

        Raises:
            ConfigurationError: If an option cannot work.
        """
        if read not in get_args(ReadOut):
            msg = f"read={read!r} is no read-out."
            raise ConfigurationError(
                msg, remedy=f"Use one of {', '.join(get_args(ReadOut))}."
            )
        if not (math.isfinite(beta) and beta > 0):
            msg = f"beta={beta!r} does not work."
            raise ConfigurationError(msg, remedy="Use a positive number, such as 0.05.")
        self.limit = limit
        self._tokens = tokens
        self._beta = beta
        self._read = read
        self._kept: OrderedDict[bytes, _Known] = OrderedDict()

    def __len__(self) -> int:
        """Count the steps remembered."""
        return len(self._kept)

    def forget(self) -> None:
        """Forget all steps."""
        self._kept.clear()

    def plan(self, trajectories: Sequence[Trajectory]) -> Plan:
        """Find out which texts must be read.

        Args:
            trajectories: What competes.

        Returns:
            The plan; one text serves all new steps of a path that it contains.
        """
        plan = Plan([_keys(t) for t in trajectories])
        planned: set[bytes] = set()
        for trajectory, keys in zip(trajectories, plan.paths, strict=True):
            ask: Ask | None = None
            first = len(keys) - 1 if self._read == "last" else 0
            for i in range(len(keys) - 1, first - 1, -1):
                key = keys[i]
                if key in plan.errors or key in plan.known or key in planned:
                    continue
                if (known := self._kept.get(key)) is not None:
                    self._kept.move_to_end(key)
                    plan.known[key] = known
                    continue
                path = replace(trajectory, turns=trajectory.turns[: i + 1])
                text = step_text(self._tokens, path, self.limit)
                if isinstance(text, str):
                    plan.errors[key] = text
                    continue
                planned.add(key)
                if ask is None or ask.ids[: len(text.ids)] != text.ids:
                    ask = Ask(text.ids)
                    plan.asks.append(ask)
                ask.steps.append((key, text))
        return plan

    def settle(
        self, plan: Plan, answers: Sequence[Sequence[float | str]]
    ) -> list[Score]:
        """Take in what was read and score the trajectories.

        Args:
            plan: The plan.
            answers: Of each ask, the log-ratio of each step, or why there is none.

        Returns:
            One score or error per trajectory.
        """
        for ask, found in zip(plan.asks, answers, strict=True):
            for (key, text), ratio in zip(ask.steps, found, strict=True):
                if isinstance(ratio, str):
                    plan.errors[key] = ratio
                elif math.isfinite(ratio):
                    plan.known[key] = _Known(ratio, text.dropped)
                    self._remember(key, plan.known[key])
                else:
                    plan.errors[key] = f"its log-ratio is {ratio!r}"
        return [self._score(plan, keys) for keys in plan.paths]

    def _remember(self, key: bytes, known: _Known) -> None:
        self._kept[key] = known
        if len(self._kept) > _REMEMBERED:
            self._kept.popitem(last=False)

    def _score(self, plan: Plan, keys: Sequence[bytes]) -> Score:
        if not keys:
            return Score(error="the trajectory has no turns")
        wanted = keys[-1:] if self._read == "last" else keys
        skipped = len(keys) - len(wanted)
        for i, key in enumerate(wanted, skipped + 1):
            if key in plan.errors:
                return Score(error=f"turn {i} of {len(keys)}: {plan.errors[key]}")
        known = [plan.known[key] for key in wanted]
        ratios = [step.log_ratio for step in known]
        signals = {"step_reward": self._beta * ratios[-1]}
        if known[-1].dropped:
            signals["dropped_turns"] = float(known[-1].dropped)
        return Score.of(self._beta * _read_out(self._read, ratios), **signals)


def _read_out(read: ReadOut, ratios: Sequence[float]) -> float:
    if read == "last":
        return ratios[-1]
    if read == "cumulative":
        return math.fsum(ratios)
    return statistics.fmean(ratios) if read == "mean" else min(ratios)


def _keys(trajectory: Trajectory) -> list[bytes]:
    """Name each step by all that the models read up to it."""
    last = _digest(b"", trajectory.instruction, trajectory.goal)
    keys: list[bytes] = []
    for turn in trajectory.turns:
        last = _digest(last, turn.observation, turn.action)
        keys.append(last)
    return keys


def _digest(before: bytes, *texts: str) -> bytes:
    return blake2b(before + repr(texts).encode(), digest_size=16).digest()
