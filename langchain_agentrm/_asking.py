"""Questions to chat models, asked by generators that know neither sync nor async.

A generator yields `Effect`s and is sent their answers, so that what to ask and how to
read it is written once. `drive` and `adrive` run such a generator to its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import Runnable, RunnableConfig

from langchain_agentrm.types import Usage

__all__ = [
    "Ask",
    "Effect",
    "Together",
    "UnreadableAnswerError",
    "adrive",
    "answer_text",
    "answer_usage",
    "drive",
]

T = TypeVar("T")

_CUT_OFF = frozenset({"length", "max_tokens", "MAX_TOKENS"})


class UnreadableAnswerError(ValueError):
    """A chat model's answer is not of the form that was asked for."""


class Effect(Protocol):
    """Something that a generator wants done; its answer is sent back."""

    def run(self) -> Any:
        """Do it now."""
        ...

    async def arun(self) -> Any:
        """Do it on the running loop."""
        ...


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask a chat model many things at once.

    The answer is a list as long as `prompts`: AI messages, or the exceptions that came
    in their place, for `answer_text` to read.

    Attributes:
        model: A chat model, or a runnable that returns an AI message.
        prompts: One message list a question.
        run_name: Name in traces.
        max_concurrency: Requests in flight at once.
        metadata: For traces, such as the version of the prompt.
    """

    model: Runnable[Any, Any]
    prompts: Sequence[Sequence[BaseMessage]]
    run_name: str
    max_concurrency: int = 8
    metadata: dict[str, Any] = field(default_factory=dict)

    def run(self) -> list[Any]:
        """Ask in a thread pool."""
        return self.model.batch(
            [list(p) for p in self.prompts], self._config(), return_exceptions=True
        )

    async def arun(self) -> list[Any]:
        """Ask on the running loop."""
        return await self.model.abatch(
            [list(p) for p in self.prompts], self._config(), return_exceptions=True
        )

    def _config(self) -> RunnableConfig:
        # What is written here is no output of the graph that it runs in.
        return RunnableConfig(
            max_concurrency=self.max_concurrency,
            tags=["nostream"],
            run_name=self.run_name,
            metadata=self.metadata,
        )


@dataclass(frozen=True, slots=True)
class Together:
    """Several effects, whose answers come as a list; at once where there is a loop."""

    effects: Sequence[Effect]

    def run(self) -> list[Any]:
        """Run one after the other."""
        return [effect.run() for effect in self.effects]

    async def arun(self) -> list[Any]:
        """Run all at once."""
        return list(await asyncio.gather(*(effect.arun() for effect in self.effects)))


def drive(steps: Generator[Effect, Any, T]) -> T:
    """Run a generator of effects to its end.

    Args:
        steps: What yields effects and is sent their answers.

    Returns:
        What the generator returns.
    """
    try:
        effect = next(steps)
        while True:
            effect = steps.send(effect.run())
    except StopIteration as stop:
        result: T = stop.value
        return result


async def adrive(steps: Generator[Effect, Any, T]) -> T:
    """Async twin of `drive`, on the running loop."""
    try:
        effect = next(steps)
        while True:
            effect = steps.send(await effect.arun())
    except StopIteration as stop:
        result: T = stop.value
        return result


def answer_text(answer: object) -> str:
    """Read the text of one of `Ask`'s answers.

    Args:
        answer: An AI message, a text, or the exception that came in its place.

    Returns:
        The text.

    Raises:
        UnreadableAnswerError: If the answer was cut off at the token limit.
        TypeError: If it is neither a message nor a text.
        Exception: The exception itself, where one came.
    """
    if isinstance(answer, Exception):
        raise answer
    if isinstance(answer, str):
        return answer
    if not isinstance(answer, AIMessage):
        msg = f"{type(answer).__name__} is not an AIMessage"
        raise TypeError(msg)
    metadata = answer.response_metadata
    if (metadata.get("finish_reason") or metadata.get("stop_reason")) in _CUT_OFF:
        msg = "it was cut off at the token limit"
        raise UnreadableAnswerError(msg)
    return str(answer.text)


def answer_usage(answer: object) -> Usage:
    """Count one request and its tokens, as far as the answer tells them."""
    told = answer.usage_metadata if isinstance(answer, AIMessage) else None
    if told is None:
        return Usage(1)
    cached = told.get("input_token_details", {}).get("cache_read", 0)
    return Usage(1, told["input_tokens"], told["output_tokens"], cached)
