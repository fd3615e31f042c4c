"""One limit on calls in flight, for threads and for event loops alike."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from langchain_core.outputs import ChatResult

    from langchain_agentrm.sampling._draws import Draws, Outcome

__all__ = ["Limiter", "adrive", "drive", "in_threads"]

T = TypeVar("T")
R = TypeVar("R")


class Limiter:
    """At most `limit` calls at once, over all steps that share it."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._threads = threading.BoundedSemaphore(limit)
        # A semaphore belongs to the loop that first waited on it, and a proposer
        # outlives the loop of one `asyncio.run`.
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = (
            WeakKeyDictionary()
        )

    @cached_property
    def pool(self) -> ThreadPoolExecutor:
        """Threads for single draws; they only ever wait for the server."""
        return ThreadPoolExecutor(self.limit, thread_name_prefix="agentrm-draw")

    def run(self, call: Callable[[], ChatResult]) -> Outcome:
        """Make one call, returning its error instead of raising it."""
        with self._threads:
            try:
                return _not_empty(call())
            except Exception as error:  # noqa: BLE001 - siblings go on
                return error

    async def arun(self, call: Callable[[], Awaitable[ChatResult]]) -> Outcome:
        """Async twin of `run`."""
        loop = asyncio.get_running_loop()
        semaphore = self._loops.get(loop)
        if semaphore is None:
            semaphore = self._loops[loop] = asyncio.Semaphore(self.limit)
        async with semaphore:
            try:
                return _not_empty(await call())
            except Exception as error:  # noqa: BLE001 - siblings go on
                return error


def _not_empty(result: ChatResult) -> Outcome:
    if result.generations:
        return result
    return ValueError("the reply holds no choices")


def drive(
    draws: Draws, call: Callable[[dict[str, Any]], ChatResult], limiter: Limiter
) -> list[ChatResult]:
    """Make the calls that `draws` asks for, several in threads."""

    def one(options: dict[str, Any]) -> Outcome:
        return limiter.run(lambda: call(options))

    try:
        calls = next(draws)
        while True:
            if len(calls) == 1:
                outcomes = [one(calls[0])]
            else:
                futures = [
                    limiter.pool.submit(copy_context().run, one, c) for c in calls
                ]
                outcomes = [f.result() for f in futures]
            calls = draws.send(outcomes)
    except StopIteration as stop:
        return _results(stop)


async def adrive(
    draws: Draws,
    call: Callable[[dict[str, Any]], Awaitable[ChatResult]],
    limiter: Limiter,
) -> list[ChatResult]:
    """Async twin of `drive`."""

    def one(options: dict[str, Any]) -> Awaitable[Outcome]:
        return limiter.arun(lambda: call(options))

    try:
        calls = next(draws)
        while True:
            if len(calls) == 1:
                outcomes = [await one(calls[0])]
            else:
                outcomes = await asyncio.gather(*(one(c) for c in calls))
            calls = draws.send(outcomes)
    except StopIteration as stop:
        return _results(stop)


def _results(stop: StopIteration) -> list[ChatResult]:
    results: list[ChatResult] = stop.value
    return results


def in_threads(function: Callable[[T], R], items: Sequence[T], limit: int) -> list[R]:
    """Map over items at once, each in a copy of the caller's context."""
    if len(items) <= 1:
        return [function(item) for item in items]
    with ThreadPoolExecutor(min(limit, len(items))) as pool:
        futures = [pool.submit(copy_context().run, function, i) for i in items]
        return [f.result() for f in futures]
