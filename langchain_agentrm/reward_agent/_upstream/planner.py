"""The public code's router: the model writes [[A]], [[B]], both, or anything else."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from langchain_core.runnables import Runnable

from langchain_agentrm._asking import Effect, adrive, drive
from langchain_agentrm.reward_agent._calls import told
from langchain_agentrm.reward_agent._upstream.asking import Asker
from langchain_agentrm.reward_agent.router import Route
from langchain_agentrm.reward_agent.types import Verifier, request_of
from langchain_agentrm.trajectory import Trajectory
from langchain_agentrm.types import Batch

__all__ = ["CONSTRAINT", "FACTUALITY", "Planner"]

CONSTRAINT = "constraint"
FACTUALITY = "factuality"

_TOKENS = 1024
_PROMPT = """Step: plan
Decide which of two checks the answers to a request need.

[Request]
{request}

[Checks]
[[A]]: constraint check, where the request limits the form of the answer, such as its \
length, keywords, format, sections or order.
[[B]]: factuality check, where an answer may state facts about the world.

Write the marks of the checks that are needed, and no other marks."""


class Planner:
    """Chooses by the marks that the model's answer holds; no mark, no check."""

    def __init__(self, llm: Runnable[Any, Any]) -> None:
        """Keep the model."""
        self.llm = llm

    def route(
        self, trajectories: Sequence[Trajectory], verifiers: Sequence[Verifier]
    ) -> Batch[Route]:
        """Ask once for each group."""
        del verifiers
        return drive(self._steps(trajectories))

    async def aroute(
        self, trajectories: Sequence[Trajectory], verifiers: Sequence[Verifier]
    ) -> Batch[Route]:
        """Async twin of `route`."""
        del verifiers
        return await adrive(self._steps(trajectories))

    def _steps(
        self, trajectories: Sequence[Trajectory]
    ) -> Generator[Effect, Any, Batch[Route]]:
        asker = Asker(self.llm)
        prompts = [_PROMPT.format(request=request_of(t)) for t in trajectories]
        try:
            answers = yield from asker.ask(prompts, _TOKENS)
        except Exception as error:  # noqa: BLE001 - no checks, and that is told
            none = Route((), "no checks", f"the planner failed: {told(error)}")
            return Batch([none] * len(trajectories), asker.usage)
        return Batch([_read(answer) for answer in answers], asker.usage)


def _read(answer: str) -> Route:
    marks = {"[[A]]": CONSTRAINT, "[[B]]": FACTUALITY}
    names = tuple(name for mark, name in marks.items() if mark in answer)
    return Route(names, "marked by the planner")
