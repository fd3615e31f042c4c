"""A policy, a reward model and an environment that answer from a script.

They need no model and no server, give the same answers in every run, and keep a record,
so that a test can say what a search asked for and what it ran.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import Field, PrivateAttr

from langchain_agentrm.testing._game import (
    ExecutedStep,
    ScriptedEnvironment,
    ScriptedFactory,
)
from langchain_agentrm.types import Batch, Score, Usage

if TYPE_CHECKING:
    from langchain_core.callbacks import CallbackManagerForLLMRun
    from langchain_core.runnables import Runnable

    from langchain_agentrm.trajectory import Trajectory

__all__ = [
    "ExecutedStep",
    "ScriptedEnvironment",
    "ScriptedFactory",
    "ScriptedPolicy",
    "ScriptedRewardModel",
]

Answer = str | AIMessage
Script = Callable[[list[BaseMessage], random.Random], Answer] | Sequence[Answer]


class ScriptedPolicy(BaseChatModel):
    """A chat model that answers from a list or a function.

    With a seed, the same messages, seed and `n` give the same answers. A list is read
    in turn: from its start in the order of calls, or, with a seed, from position
    `seed % len(answers)`; temperature 0 always gives the first answer. A function gets
    the messages and a random generator that the seed and the draw determine.

    Args:
        answers: Texts or AI messages, or `fn(messages, rng)` that returns one.
        n: Answers per request; the field makes proposers send one `n=` request.
        seed: Default seed.
        temperature: Default temperature; 0 makes it greedy.
        error: Raised by every request while it is set.
        ignores_n: Answer once whatever `n` is, as some servers do.

    Example:
        ```python
        policy = ScriptedPolicy(answers=["go left", "go right"])
        policy.invoke("Where?").text  # "go left"
        policy.calls  # 1
        ```
    """

    answers: Any
    n: int | None = None
    seed: int | None = None
    temperature: float | None = None
    error: Exception | None = Field(default=None, exclude=True)
    ignores_n: bool = False

    _requests: list[dict[str, Any]] = PrivateAttr(default_factory=list)
    _drawn: int = PrivateAttr(default=0)
    _lock: Any = PrivateAttr(default_factory=threading.Lock)

    @property
    def _llm_type(self) -> str:
        return "agentrm-scripted"

    @property
    def calls(self) -> int:
        """Requests answered or failed so far."""
        return len(self._requests)

    @property
    def requests(self) -> list[dict[str, Any]]:
        """What each request held: `messages`, and options such as `n` and `seed`."""
        return list(self._requests)

    def bind_tools(
        self, tools: Sequence[Any], *, tool_choice: str | None = None, **kwargs: Any
    ) -> Runnable[Any, AIMessage]:
        """Record the tools with each request; the script decides what is called.

        Args:
            tools: Tools in any form that LangChain takes.
            tool_choice: Recorded as it is.
            **kwargs: Recorded as they are.

        Returns:
            This model, bound.
        """
        if tool_choice is not None:
            kwargs["tool_choice"] = tool_choice
        return self.bind(tools=[convert_to_openai_tool(t) for t in tools], **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        del run_manager
        options = dict(kwargs) if stop is None else {**kwargs, "stop": stop}
        n = 1 if self.ignores_n else options.get("n") or self.n or 1
        with self._lock:
            self._requests.append({"messages": list(messages), **options})
            start = self._drawn
            self._drawn += n
        if self.error is not None:
            raise self.error
        seed = options.get("seed", self.seed)
        temperature = options.get("temperature", self.temperature)
        greedy = temperature is not None and temperature <= 0
        answers = [
            self._answer(messages, start + i if seed is None else seed + i, greedy)
            for i in range(n)
        ]
        read = sum(len(str(m.text).split()) for m in messages)
        written = sum(max(1, len(str(a.text).split())) for a in answers)
        # Like OpenAI's models: every choice carries the usage of the whole request.
        for answer in answers:
            answer.usage_metadata = UsageMetadata(
                input_tokens=read, output_tokens=written, total_tokens=read + written
            )
        return ChatResult(
            generations=[
                ChatGeneration(message=a, generation_info={"finish_reason": "stop"})
                for a in answers
            ],
            llm_output={"model_name": "scripted"},
        )

    def _answer(
        self, messages: list[BaseMessage], position: int, greedy: bool
    ) -> AIMessage:
        place = 0 if greedy else position
        if callable(self.answers):
            # No secret depends on it, and the draw must be repeatable.
            answer = self.answers(messages, random.Random(place))  # noqa: S311
        else:
            answer = self.answers[place % len(self.answers)]
        if isinstance(answer, AIMessage):
            return answer.model_copy(deep=True)
        return AIMessage(content=answer)


class ScriptedRewardModel:
    """A reward model that reads the score off the last action.

    Args:
        scores: `fn(trajectory)` that returns a float, or scores by action text; an
            action that the mapping lacks gets an error, not a score.
        resolution: Differences below it are ties.
        comparable: What scores can be compared across.
        error: Raised by every call while it is set.

    Attributes:
        batches: The trajectories of every call so far.

    Example:
        ```python
        reward_model = ScriptedRewardModel({"go left": 0.2, "go right": 0.9})
        ```
    """

    def __init__(
        self,
        scores: Callable[[Trajectory], float] | Mapping[str, float],
        *,
        resolution: float = 0.0,
        comparable: Literal["global", "group", "depth"] = "global",
        error: Exception | None = None,
    ) -> None:
        self.scores = scores
        self.resolution = resolution
        self.comparable: Literal["global", "group", "depth"] = comparable
        self.error = error
        self.batches: list[list[Trajectory]] = []

    @property
    def calls(self) -> int:
        """Batches asked for so far."""
        return len(self.batches)

    def score(self, trajectories: Sequence[Trajectory]) -> Batch[Score]:
        """Score a batch.

        Args:
            trajectories: What competes.

        Returns:
            One score each, in order.
        """
        self.batches.append(list(trajectories))
        if self.error is not None:
            raise self.error
        return Batch([self._score(t) for t in trajectories], Usage(requests=1))

    async def ascore(self, trajectories: Sequence[Trajectory]) -> Batch[Score]:
        """Async twin of `score`.

        Args:
            trajectories: What competes.

        Returns:
            One score each, in order.
        """
        await asyncio.sleep(0)
        return self.score(trajectories)

    def _score(self, trajectory: Trajectory) -> Score:
        if not isinstance(self.scores, Mapping):
            return Score.of(self.scores(trajectory))
        action = trajectory.turns[-1].action
        if action not in self.scores:
            return Score(error=f"the script has no score for action {action!r}")
        return Score.of(self.scores[action])
