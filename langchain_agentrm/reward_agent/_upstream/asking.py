"""Questions as the public code asks them: one message, a token limit, the bare text."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.runnables import Runnable

from langchain_agentrm._asking import Ask, Effect, answer_text, answer_usage
from langchain_agentrm.reward_agent._calls import told
from langchain_agentrm.reward_agent.types import Verdict
from langchain_agentrm.types import Usage

__all__ = ["Asker", "lost"]


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


def lost(error: Exception) -> Verdict:
    """Abstain because a request or the sandbox failed."""
    return Verdict(reason="a part of the check failed", error=told(error))
