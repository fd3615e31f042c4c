"""A verifier out of a plain function, for checks of one's own."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.reward_agent.types import Verdict, VerifierMode
from langchain_agentrm.reward_agent.verifiers._pointwise import abstained, failed
from langchain_agentrm.trajectory import Trajectory
from langchain_agentrm.types import Batch

__all__ = ["FunctionVerifier"]

Answer = float | bool | Verdict | None
Judge = (
    Callable[[Trajectory], Answer | Awaitable[Answer]]
    | Callable[[list[Trajectory]], Sequence[Answer] | Awaitable[Sequence[Answer]]]
)


class FunctionVerifier:
    """Wraps a function that judges a candidate, or a group of them.

    The function answers True or False, a number from 0 to 1, None to abstain, or a
    `Verdict`. It may be a coroutine function: `verify` then runs it on a loop of its
    own. A plain one runs in a thread where the caller is async. What it raises, and a
    number outside 0..1, becomes an abstention with an error.

    Args:
        fn: `fn(trajectory)`; with `mode="group"`, `fn(trajectories)` that returns one
            answer each, in order.
        name: Name of its signal; by default the function's name.
        purpose: One sentence on what it checks; by default the first line of the
            function's docstring.
        mode: Whether a verdict depends on the candidate's rivals.
        applies: Tells cheaply whether there may be something to check.
        reads_admissible: Whether it reads `Trajectory.admissible`.

    Raises:
        ConfigurationError: If `fn` is no function, or has no name and none is given.

    Example:
        ```python
        from langchain_agentrm.reward_agent.verifiers.function import FunctionVerifier
        from langchain_agentrm.trajectory import Trajectory, Turn


        def polite(trajectory):
            '''Checks that the answer says please.'''
            return "please" in trajectory.turns[-1].action


        path = Trajectory((Turn("", "Sit down, please."),))
        FunctionVerifier(polite).verify([path]).items[0].value  # 1.0
        ```
    """

    def __init__(
        self,
        fn: Judge,
        *,
        name: str | None = None,
        purpose: str | None = None,
        mode: VerifierMode = "pointwise",
        applies: Callable[[Trajectory], bool] | None = None,
        reads_admissible: bool = False,
    ) -> None:
        given: object = fn
        if not callable(given):
            msg = f"fn={fn!r} cannot be called."
            raise ConfigurationError(msg, remedy="Pass fn(trajectory).")
        name = name or getattr(fn, "__name__", "")
        if not name or name == "<lambda>":
            msg = f"fn={fn!r} has no name."
            raise ConfigurationError(msg, remedy="Give one with name=.")
        self.name = name
        told = (inspect.getdoc(fn) or "").partition("\n")[0]
        self.purpose = purpose or told or f"Checks {name}."
        self.mode: VerifierMode = mode
        self.reads_admissible = reads_admissible
        self._fn: Callable[[Any], Any] = fn
        self._applies = applies

    def applies(self, trajectory: Trajectory) -> bool:
        """Whether there may be something to check."""
        return True if self._applies is None else self._applies(trajectory)

    def verify(self, trajectories: Sequence[Trajectory]) -> Batch[Verdict]:
        """Check the candidates of one group.

        Args:
            trajectories: What competes.

        Returns:
            One verdict each, in the order given.
        """
        return self._read(
            trajectories, [self._call(a) for a in self._asked(trajectories)]
        )

    async def averify(self, trajectories: Sequence[Trajectory]) -> Batch[Verdict]:
        """Async twin of `verify`; a plain function runs in a thread."""
        answers = await asyncio.gather(*map(self._acall, self._asked(trajectories)))
        return self._read(trajectories, answers)

    def _asked(self, trajectories: Sequence[Trajectory]) -> list[Any]:
        """What the function is called with, once each."""
        if self.mode == "pointwise":
            return list(trajectories)
        return [list(trajectories)] if trajectories else []

    def _call(self, asked: Any) -> Any:
        try:
            answer = self._fn(asked)
            return _finished(answer) if inspect.isawaitable(answer) else answer
        except Exception as error:  # noqa: BLE001 - its rivals are still judged
            return error

    async def _acall(self, asked: Any) -> Any:
        try:
            if inspect.iscoroutinefunction(self._fn):
                return await self._fn(asked)
            answer = await asyncio.to_thread(self._fn, asked)
            return await answer if inspect.isawaitable(answer) else answer
        except Exception as error:  # noqa: BLE001 - its rivals are still judged
            return error

    def _read(
        self, trajectories: Sequence[Trajectory], answers: Sequence[Any]
    ) -> Batch[Verdict]:
        if self.mode == "group" and answers:
            answers = _spread(answers[0], len(trajectories))
        return Batch([_verdict(a) for a in answers])


def _finished(answer: Awaitable[Any]) -> Any:
    """Wait for an answer on a loop of its own: the caller's may be running."""

    async def wait() -> Any:
        return await answer

    context = contextvars.copy_context()
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(context.run, asyncio.run, wait()).result()


def _spread(answer: Any, n: int) -> list[Any]:
    """One answer a candidate out of a group's; a failure is a failure for all."""
    if isinstance(answer, Exception):
        return [answer] * n
    try:
        each = list(answer)
    except TypeError:
        each = []
    if len(each) == n:
        return each
    return [ValueError(f"it answered {answer!r} for {n} candidates")] * n


def _verdict(answer: Any) -> Verdict:
    """Read one answer; what cannot be a value is an abstention that says so."""
    if isinstance(answer, Exception):
        return failed(answer)
    if isinstance(answer, Verdict):
        return answer if answer.value is None else _checked(answer)
    if answer is None:
        return abstained("the function does not tell")
    try:
        return _checked(Verdict(float(answer)))
    except (TypeError, ValueError):
        return failed(ValueError(f"it answered {answer!r}, which is no number"))


def _checked(verdict: Verdict) -> Verdict:
    if verdict.value is not None and 0 <= verdict.value <= 1:
        return verdict
    return failed(ValueError(f"it answered {verdict.value!r}, outside 0 to 1"))
