"""Questions as the public code asks them: one message, a token limit, the bare text."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.runnables import Runnable

from langchain_agentrm._asking import (
    Ask,
    Effect,
    adrive,
    answer_text,
    answer_usage,
    drive,
)
from langchain_agentrm.reward_agent._calls import told
from langchain_agentrm.reward_agent.types import Verdict
from langchain_agentrm.trajectory import Trajectory
from langchain_agentrm.types import Batch, Usage

__all__ = ["Asker", "Check"]


@dataclass(slots=True)
class Asker:
    """Asks one model, and adds up what it costs.

    Attributes:
        llm: The chat model.
        usage: Spent so far.
    """

    llm: Runnable[Any, Any]
    usage: Usage = field(default_factory=Usage)

    def ask(
        self, prompts: Sequence[str], max_tokens: int, *, system: bool = False
    ) -> Generator[Effect, Any, list[str]]:
        """Ask, all at once.

        Args:
            prompts: One text a question.
            max_tokens: Limit of each answer; what is cut off there is read as it is.
            system: Whether the text goes as a system message.

        Returns:
            The answers.

        Raises:
            Exception: The first one that came in an answer's place.
        """
        kind = SystemMessage if system else HumanMessage
        answers = yield Ask(
            self.llm.bind(max_tokens=max_tokens),
            [[kind(prompt)] for prompt in prompts],
            "agentrm.upstream",
        )
        for answer in answers:
            self.usage += answer_usage(answer)
        return [
            str(a.text) if isinstance(a, AIMessage) else answer_text(a) for a in answers
        ]


class Check:
    """Base of the public code's two checks: what was spent counts whatever fails."""

    llm: Runnable[Any, Any]

    def applies(self, trajectory: Trajectory) -> bool:
        """Whether there is a request."""
        del trajectory
        return True

    def verify(self, trajectories: Sequence[Trajectory]) -> Batch[Verdict]:
        """Check the candidates of one group."""
        return drive(self._steps(trajectories))

    async def averify(self, trajectories: Sequence[Trajectory]) -> Batch[Verdict]:
        """Async twin of `verify`."""
        return await adrive(self._steps(trajectories))

    def _steps(
        self, trajectories: Sequence[Trajectory]
    ) -> Generator[Effect, Any, Batch[Verdict]]:
        asker = Asker(self.llm)
        try:
            verdicts = yield from self._verdicts(asker, trajectories)
        except Exception as error:  # noqa: BLE001 - what was spent must be counted
            lost = Verdict(reason="a part of the check failed", error=told(error))
            verdicts = [lost] * len(trajectories)
        return Batch(verdicts, asker.usage)

    def _verdicts(
        self, asker: Asker, trajectories: Sequence[Trajectory]
    ) -> Generator[Effect, Any, list[Verdict]]:
        raise NotImplementedError
