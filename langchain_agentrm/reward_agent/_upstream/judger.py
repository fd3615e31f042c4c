"""The public code's judgers; a draw goes to the candidate that comes first."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any, Literal

from langchain_core.runnables import Runnable

from langchain_agentrm._asking import Effect, adrive, drive
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.reward_agent._upstream.asking import Asker
from langchain_agentrm.reward_agent._upstream.factuality import pairs_drawn
from langchain_agentrm.reward_agent._upstream.planner import CONSTRAINT, FACTUALITY
from langchain_agentrm.reward_agent.judgers.base import EXACT, PREFERENCE, Signal
from langchain_agentrm.reward_agent.types import request_of
from langchain_agentrm.trajectory import Trajectory
from langchain_agentrm.types import Batch, Score

__all__ = ["UpstreamJudger", "judger"]

UpstreamJudger = Literal["weighted_sum", "major_vote", "llm"]

_VOTES = {FACTUALITY: 1.2, CONSTRAINT: 1.1, PREFERENCE: 1.0}
# Floats are added up in these orders, and a draw may hang on it.
_ORDER_OF_TWO = (FACTUALITY, CONSTRAINT, PREFERENCE)
_ORDER_OF_MANY = (CONSTRAINT, PREFERENCE, FACTUALITY)
_TOKENS = 1024
_PROMPT = """Step: judge
Decide between Answer A and Answer B by these judgements; larger is better.

[Request]
{request}

[Factuality]
{factuality}

[Constraints]
{constraint}

[Preference]
{preference}

First, never choose the answer with more factual errors. Then choose the one that \
keeps more constraints. Then the preferred one. Write [[A]] or [[B]], nothing else."""


def judger(kind: UpstreamJudger, llm: Runnable[Any, Any], seed: int) -> _Judger:
    """Make the judger of a name.

    Args:
        kind: Its name.
        llm: The model of `"llm"`.
        seed: Seed of the pairs.

    Returns:
        The judger.

    Raises:
        ConfigurationError: If there is none of that name.
    """
    kinds = {"weighted_sum": _WeightedSum, "major_vote": _MajorVote, "llm": _Model}
    if kind not in kinds:
        msg = f"judger={kind!r} is unknown."
        raise ConfigurationError(msg, remedy=f"Use one of {', '.join(kinds)}.")
    return kinds[kind](llm, seed)


class _Judger:
    """Base: what a winner is depends on the kind."""

    names: frozenset[str] = frozenset()

    def __init__(self, llm: Runnable[Any, Any], seed: int) -> None:
        self.llm = llm
        self.seed = seed

    def resolution(self, preference: float) -> float:
        """Tell below which difference its scores are ties."""
        del preference
        return EXACT

    def judge(
        self, trajectories: Sequence[Trajectory], signals: Sequence[Signal]
    ) -> Batch[Score]:
        """Score the candidates of one group."""
        return drive(self._steps(trajectories, _columns(signals)))

    async def ajudge(
        self, trajectories: Sequence[Trajectory], signals: Sequence[Signal]
    ) -> Batch[Score]:
        """Async twin of `judge`."""
        return await adrive(self._steps(trajectories, _columns(signals)))

    def _steps(
        self, trajectories: Sequence[Trajectory], columns: Mapping[str, Sequence[float]]
    ) -> Generator[Effect, Any, Batch[Score]]:
        raise NotImplementedError


class _WeightedSum(_Judger):
    """Adds all signals up as they are."""

    def _steps(
        self, trajectories: Sequence[Trajectory], columns: Mapping[str, Sequence[float]]
    ) -> Generator[Effect, Any, Batch[Score]]:
        yield from ()
        sums = [0.0] * len(trajectories)
        for name in columns:
            sums = [a + b for a, b in zip(sums, columns[name], strict=True)]
        return _in_turn(_best_first(dict(enumerate(sums))), {"sum": sums})


class _MajorVote(_Judger):
    """Each signal votes for its first best; where all are equal, all share the vote."""

    def _steps(
        self, trajectories: Sequence[Trajectory], columns: Mapping[str, Sequence[float]]
    ) -> Generator[Effect, Any, Batch[Score]]:
        yield from ()
        n = len(trajectories)
        wins: dict[int, float] = {}
        for name, values in columns.items():
            # The fact check knows only those that it met, in the order of its pairs.
            met = (
                [i for pair in pairs_drawn(trajectories, self.seed) for i in pair]
                if name == FACTUALITY
                else range(n)
            )
            seen = {i: values[i] for i in met}
            equal = len(set(seen.values())) == 1
            best = list(seen) if equal else _best_first(seen)[:1]
            for i in best:
                wins[i] = wins.get(i, 0) + _VOTES[name] / len(best)
        order = [*_best_first(wins), *(i for i in range(n) if i not in wins)]
        return _in_turn(order, {"votes": [wins.get(i, 0.0) for i in range(n)]})


class _Model(_Judger):
    """Asks the model about two candidates; neither mark is a draw that stays one."""

    def _steps(
        self, trajectories: Sequence[Trajectory], columns: Mapping[str, Sequence[float]]
    ) -> Generator[Effect, Any, Batch[Score]]:
        if len(trajectories) != 2:  # noqa: PLR2004 - a pair
            msg = f"judger='llm' was given {len(trajectories)} candidates, not two."
            raise ConfigurationError(
                msg, remedy="Use 'weighted_sum', or LLMJudge in an agent of your own."
            )
        asker = Asker(self.llm)
        told = {
            name: str(dict(zip(("Answer A", "Answer B"), columns[name], strict=True)))
            if name in columns
            else "None"
            for name in _ORDER_OF_TWO
        }
        request = request_of(trajectories[0])
        (text,) = yield from asker.ask(
            [_PROMPT.format(request=request, **told)], _TOKENS
        )
        if "[[A]]" in text:
            values = (1.0, 0.0)
        else:
            values = (0.0, 1.0) if "[[B]]" in text else (0.5, 0.5)
        return Batch([Score(value) for value in values], asker.usage)


def _columns(signals: Sequence[Signal]) -> dict[str, Sequence[float]]:
    """The signals by name, in the order in which the public code counts them."""
    given = {signal.name: signal.values for signal in signals}
    pair = len(signals[0].values) == 2  # noqa: PLR2004 - a pair
    order = _ORDER_OF_TWO if pair else _ORDER_OF_MANY
    return {name: given[name] for name in order if name in given}


def _best_first(values: Mapping[int, float]) -> list[int]:
    return sorted(values, key=lambda i: values[i], reverse=True)


def _in_turn(
    order: Sequence[int], signals: Mapping[str, Sequence[float]]
) -> Batch[Score]:
    """Give places, 1.0 for the first and 0.0 for the last; no two are equal."""
    last = max(1, len(order) - 1)
    places = {i: (last - place) / last for place, i in enumerate(order)}
    return Batch(
        [
            Score(places[i], {name: column[i] for name, column in signals.items()})
            for i in range(len(order))
        ]
    )
