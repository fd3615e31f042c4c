"""From the upstream's candidates to an order: the search core's, over raw choices."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from langchain_agentrm._choose import AnswerGrammar, Choice, ChoiceSettings, choose
from langchain_agentrm.engine import Models, drive_async
from langchain_agentrm.errors import RewardModelError
from langchain_agentrm.reward_models.base import RewardModel
from langchain_agentrm.search import Evaluate, Propose
from langchain_agentrm.serving._proxy_body import Ask
from langchain_agentrm.serving._proxy_settings import ProxySettings
from langchain_agentrm.serving._proxy_upstream import Drawn
from langchain_agentrm.types import Batch, Candidate, ProposalRequest, Usage

__all__ = ["Ranked", "ranked"]


@dataclass(frozen=True, slots=True)
class Ranked:
    """Candidates in order, best first.

    Attributes:
        order: All of them; equal ones stand together, unsound ones last.
        distinct: How many different ones there are among the sound.
        fallback: Why no score decided; empty if one did, or if there was no choice.
        reward_usage: What scoring cost.
    """

    order: tuple[Candidate, ...]
    distinct: int
    fallback: str = ""
    reward_usage: Usage = field(default_factory=Usage)


class _Given:
    """A proposer of what has been drawn already."""

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self.candidates = list(candidates)

    def propose(self, requests: Sequence[ProposalRequest]) -> Batch[list[Candidate]]:
        """Hand them out."""
        return Batch([self.candidates for _ in requests])

    async def apropose(
        self, requests: Sequence[ProposalRequest]
    ) -> Batch[list[Candidate]]:
        """Hand them out."""
        return self.propose(requests)


class _Timed(Models):
    """Scoring that may take only so long."""

    def __init__(
        self,
        given: _Given,
        reward_model: RewardModel,
        seconds: float,
        on_scored: Callable[[float], None],
    ) -> None:
        super().__init__(given, reward_model)
        self._seconds = seconds
        self._on_scored = on_scored

    async def arun(self, effect: Propose | Evaluate) -> Batch[Any]:
        """Carry out one effect."""
        if isinstance(effect, Propose):
            return await super().arun(effect)
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            async with asyncio.timeout(self._seconds):
                return await super().arun(effect)
        except TimeoutError as error:
            msg = f"The reward model gave no scores within {self._seconds:g} s."
            raise RewardModelError(
                msg, remedy="Raise score_seconds, or draw fewer candidates."
            ) from error
        finally:
            self._on_scored(clock() - began)


async def ranked(
    ask: Ask,
    drawn: Drawn,
    reward_model: RewardModel,
    settings: ProxySettings,
    on_scored: Callable[[float], None],
) -> Ranked:
    """Merge equal candidates, score the distinct ones in one batch, and order all.

    Args:
        ask: The request.
        drawn: Its candidates.
        reward_model: Who scores.
        settings: Time for scoring, and what to do where it fails.
        on_scored: Told how many seconds scoring took.

    Returns:
        The order.

    Raises:
        RewardModelError: If nothing could be scored and the settings say `"raise"`.
    """
    candidates = _fair(drawn.candidates)
    if len(candidates) == 1 and not ask.return_scores:
        return Ranked(candidates, int(candidates[0].error is None))
    choice: Choice = await drive_async(
        choose(
            ask.messages,
            AnswerGrammar(),
            ChoiceSettings(
                n=len(candidates),
                on_reward_error=settings.on_reward_error,
                tools=ask.tools,
            ),
            resolution=reward_model.resolution,
            comparable=reward_model.comparable,
        ),
        _Timed(_Given(candidates), reward_model, settings.score_seconds, on_scored),
    )
    selection = choice.selection
    return Ranked(
        tuple(choice.draws(candidates)),
        len(selection.candidates),
        choice.fallback,
        selection.reward_usage,
    )


def _fair(candidates: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
    """Let texts that were cut off compete where nothing is whole.

    A client that asks for few tokens means them.
    """
    if any(c.error is None for c in candidates):
        return candidates
    return tuple(
        c
        if c.message.invalid_tool_calls or not _says_something(c)
        else replace(c, error=None)
        for c in candidates
    )


def _says_something(candidate: Candidate) -> bool:
    message = candidate.message
    return bool(message.tool_calls or str(message.text).strip())
