"""A chat model that weighs the signals of two candidates, asked in both orders."""

from __future__ import annotations

import random
from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any

from langchain_core.runnables import Runnable

from langchain_agentrm._asking import (
    Ask,
    Effect,
    UnreadableAnswerError,
    adrive,
    answer_text,
    answer_usage,
    drive,
)
from langchain_agentrm.errors import (
    ConfigurationError,
    RewardModelError,
    is_retryable,
)
from langchain_agentrm.reward_agent._calls import told
from langchain_agentrm.reward_agent.judgers.base import EXACT, Signal
from langchain_agentrm.reward_models._judging.count import (
    Ballot,
    duels,
    mean_of,
    pairs_of,
)
from langchain_agentrm.reward_models._judging.parse import read_better
from langchain_agentrm.reward_models._judging.prompts import (
    Table,
    digest,
    question,
    table,
)
from langchain_agentrm.trajectory import Trajectory
from langchain_agentrm.types import Batch, Score, Usage

__all__ = ["LLMJudge"]

PROMPT_VERSION = "signals-v1"

CRITERIA = (
    "You decide between two answers to one request. Signals about each are given with "
    "it. Those of checks run from 0 (failed) to 1 (passed); 'preference' is a reward "
    "model's number on a scale of its own, higher is better. First, an answer that is "
    "factually wrong loses. Then the one that keeps more of what was asked for wins. "
    "Only then does the preference count. Do not contradict a check because an answer "
    "claims otherwise. Neither length, nor style, nor the place in the list counts."
)
"""What the judge goes by, unless a prompt of one's own says otherwise."""


class LLMJudge:
    """Lets a chat model decide each pair of candidates from texts and signals.

    Each pair is asked about in both orders: a judge that goes by place alone makes
    every pair a tie. Up to `opponents` + 1 candidates meet each other all; of more,
    each meets its neighbours on a seeded ring, as many for each. The score is the share
    of comparisons won, a tie counting half. A candidate alone gets 0.5, no question.

    An answer that cannot be read is asked for once more; then the comparison is lost,
    and `lost_votes` says so. A candidate that lost them all has an error.

    Source: the public code of Agentic Reward Modeling has such a judge for two answers,
    asked once, in one order.

    Args:
        llm: A chat model, or a runnable that returns an AI message.
        prompt: What it is to go by; the form of the answer is added to it.
        seed: Seed of the ring.
        opponents: With how many others each candidate is compared at least.
        max_concurrency: Requests in flight at once.

    Raises:
        ConfigurationError: If `llm` is no chat model, or a number is below 1.
    """

    def __init__(
        self,
        llm: Runnable[Any, Any],
        *,
        prompt: str = CRITERIA,
        seed: int = 0,
        opponents: int = 8,
        max_concurrency: int = 8,
    ) -> None:
        """Check the options; nothing is asked."""
        given: object = llm
        if not isinstance(given, Runnable):
            msg = f"llm is a {type(given).__name__}, not a chat model."
            raise ConfigurationError(
                msg, remedy="Pass a chat model or a runnable that returns an AIMessage."
            )
        for name, value in (
            ("opponents", opponents),
            ("max_concurrency", max_concurrency),
        ):
            if value < 1:
                msg = f"{name}={value!r} is not a positive number."
                raise ConfigurationError(msg, remedy=f"Give {name} of at least 1.")
        self.llm = llm
        self.prompt = prompt
        self.seed = seed
        self.opponents = opponents
        self.max_concurrency = max_concurrency

    @property
    def names(self) -> frozenset[str]:
        """None: it takes all signals as they come."""
        return frozenset()

    def resolution(self, preference: float) -> float:
        """Tell below which difference its scores are ties."""
        del preference
        return EXACT

    def judge(
        self, trajectories: Sequence[Trajectory], signals: Sequence[Signal]
    ) -> Batch[Score]:
        """Score the candidates of one group.

        Args:
            trajectories: Distinct candidates.
            signals: Each with a value for every candidate.

        Returns:
            One score in 0..1 or one error each.

        Raises:
            RewardModelError: If every request failed.
        """
        return drive(self._waves(trajectories, signals))

    async def ajudge(
        self, trajectories: Sequence[Trajectory], signals: Sequence[Signal]
    ) -> Batch[Score]:
        """Async twin of `judge`."""
        return await adrive(self._waves(trajectories, signals))

    def _waves(
        self, trajectories: Sequence[Trajectory], signals: Sequence[Signal]
    ) -> Generator[Effect, Any, Batch[Score]]:
        """Ask about every pair, then once more what could not be read."""
        n = len(trajectories)
        if n == 1:
            return Batch([Score(0.5)])
        view = _with_signals(table(trajectories, seed=self.seed), signals)
        ballots = [
            Ballot(order)
            for a, b in pairs_of(self._ring(trajectories), self.opponents)
            for order in ((a, b), (b, a))
        ]
        usage = Usage()
        open_ = ballots
        for remind in (False, True):
            prompts = [
                question("pairwise", view, b.order, criteria=self.prompt, remind=remind)
                for b in open_
            ]
            answers = yield Ask(
                self.llm,
                prompts,
                "agentrm.signals_judge",
                self.max_concurrency,
                {"agentrm_prompt": PROMPT_VERSION},
            )
            for ballot, answer in zip(open_, answers, strict=True):
                usage += answer_usage(answer)
                _read(ballot, answer)
            open_ = [b for b in open_ if b.error and b.failure is None]
            if not open_:
                break
        failures = [b.failure for b in ballots if b.failure]
        if len(failures) == len(ballots):
            raise _all_failed(failures)
        votes, lost = duels(ballots, n)
        last = next((b.error for b in reversed(ballots) if b.error), "")
        return Batch(
            [mean_of(v, k, last) for v, k in zip(votes, lost, strict=True)], usage
        )

    def _ring(self, trajectories: Sequence[Trajectory]) -> list[int]:
        keys = [
            "\n".join(part for t in path.turns for part in (t.observation, t.action))
            for path in trajectories
        ]
        # By content: neither the order given nor a thread's name may matter.
        ring = sorted(range(len(keys)), key=lambda i: keys[i])
        seed = digest(str(self.seed), trajectories[0].goal, *sorted(keys))
        # No secret depends on it, and the order must be repeatable.
        random.Random(seed).shuffle(ring)  # noqa: S311
        return ring


def _with_signals(view: Table, signals: Sequence[Signal]) -> Table:
    told_ = [
        "\n".join(f"{s.name}: {s.values[i]:.6g}" for s in signals)
        for i in range(len(view.candidates))
    ]
    tag = f"signals-{view.nonce}"
    return replace(
        view,
        candidates=tuple(
            f"{candidate}\n<{tag}>\n{lines}\n</{tag}>"
            for candidate, lines in zip(view.candidates, told_, strict=True)
        ),
    )


def _read(ballot: Ballot, answer: object) -> None:
    ballot.error = ""
    try:
        places = read_better(answer_text(answer))
        ballot.reading = tuple(tuple(ballot.order[p] for p in t) for t in places)
    except UnreadableAnswerError as error:
        ballot.error = f"the judge's answer cannot be read: {error}"
    except Exception as error:  # noqa: BLE001 - other comparisons go on
        ballot.failure = error
        ballot.error = f"the judge failed: {told(error)}"


def _all_failed(failures: Sequence[Exception]) -> RewardModelError:
    msg = (
        f"The judge of the signals failed on all {len(failures)} requests; first "
        f"error: {told(failures[0])}."
    )
    error = RewardModelError(
        msg,
        remedy="Check its endpoint, key and model name.",
        retryable=any(is_retryable(e) for e in failures),
    )
    error.__cause__ = failures[0]
    return error
