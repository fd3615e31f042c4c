"""One call a query, several at once, each with its own time limit and failure."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import copy_context
from typing import TypeVar

from langchain_core.runnables import RunnableConfig

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.reward_agent.types import Passage
from langchain_agentrm.types import Batch, Usage

__all__ = ["SearchEach", "aeach", "check_limits", "each"]

T = TypeVar("T")


class SearchEach(ABC):
    """Evidence from something that answers one query at a time.

    Args:
        timeout: Seconds a query may take; None for no limit.
        max_concurrency: Queries under way at once.

    Raises:
        ConfigurationError: If a limit cannot work.
    """

    def __init__(self, *, timeout: float | None, max_concurrency: int) -> None:
        check_limits(timeout, max_concurrency)
        self.timeout = timeout
        self.max_concurrency = max_concurrency
        # What is found here is no output of the graph that it runs in.
        self._config = RunnableConfig(tags=["nostream"], run_name="agentrm.evidence")

    @abstractmethod
    def _one(self, query: str) -> Sequence[Passage]:
        """Answer one query."""

    @abstractmethod
    async def _aone(self, query: str) -> Sequence[Passage]:
        """Async twin of `_one`."""

    def search(self, queries: Sequence[str]) -> Batch[Sequence[Passage] | Exception]:
        """Search, several queries at once in threads.

        Args:
            queries: What is to be found.

        Returns:
            For each query its passages, or the exception in their place; `TimeoutError`
            for one that is late, whose thread is left behind.
        """
        found = each(
            self._one,
            queries,
            timeout=self.timeout,
            max_concurrency=self.max_concurrency,
        )
        return Batch(found, Usage(len(queries)))

    async def asearch(
        self, queries: Sequence[str]
    ) -> Batch[Sequence[Passage] | Exception]:
        """Async twin of `search`, on the running loop; what is late is cancelled."""
        found = await aeach(
            self._aone,
            queries,
            timeout=self.timeout,
            max_concurrency=self.max_concurrency,
        )
        return Batch(found, Usage(len(queries)))


def check_limits(timeout: float | None, max_concurrency: int) -> None:
    """Refuse limits that cannot work.

    Args:
        timeout: Seconds a query may take; None for no limit.
        max_concurrency: Queries under way at once.

    Raises:
        ConfigurationError: If one is not positive.
    """
    if timeout is not None and not timeout > 0:
        msg = f"timeout={timeout!r} is not a positive number of seconds."
        raise ConfigurationError(msg, remedy="Give seconds, or None for no limit.")
    if max_concurrency < 1:
        msg = f"max_concurrency={max_concurrency!r} is not a positive number."
        raise ConfigurationError(msg, remedy="Give max_concurrency of at least 1.")


def each(
    call: Callable[[str], T],
    queries: Sequence[str],
    *,
    timeout: float | None,
    max_concurrency: int,
) -> list[T | Exception]:
    """Call once a query, in threads.

    A thread cannot be stopped: one that runs past its limit is left behind, and what it
    brings in the end is dropped.

    Args:
        call: What answers a query.
        queries: The queries.
        timeout: Seconds each may take from its own start; None for no limit.
        max_concurrency: Calls under way at once.

    Returns:
        For each query, in order, the answer or the exception in its place.
    """
    done: queue.SimpleQueue[tuple[int, T | BaseException]] = queue.SimpleQueue()

    def work(place: int) -> None:
        try:
            done.put((place, call(queries[place])))
        except BaseException as error:  # noqa: BLE001 - the caller's thread raises it
            done.put((place, error))

    answers: dict[int, T | Exception] = {}
    waiting = deque(range(len(queries)))
    ends: dict[int, float] = {}
    while waiting or ends:
        while waiting and len(ends) < max_concurrency:
            place = waiting.popleft()
            ends[place] = time.monotonic() + timeout if timeout else float("inf")
            # A daemon: what hangs must not keep the program from ending.
            threading.Thread(
                target=copy_context().run, args=(work, place), daemon=True
            ).start()
        left = min(ends.values()) - time.monotonic()
        try:
            place, answer = done.get(timeout=max(0.0, left) if timeout else None)
        except queue.Empty:
            now = time.monotonic()
            for place in [p for p, end in ends.items() if end <= now]:
                del ends[place]
                answers[place] = _late(queries[place], timeout)
            continue
        if ends.pop(place, None) is None:
            continue
        if isinstance(answer, BaseException) and not isinstance(answer, Exception):
            raise answer
        answers[place] = answer
    return [answers[place] for place in range(len(queries))]


async def aeach(
    call: Callable[[str], Awaitable[T]],
    queries: Sequence[str],
    *,
    timeout: float | None,  # noqa: ASYNC109 - each query has its own, from its start
    max_concurrency: int,
) -> list[T | Exception]:
    """Async twin of `each`, on the running loop; what runs late is cancelled."""
    slots = asyncio.Semaphore(max_concurrency)

    async def one(query: str) -> T | Exception:
        async with slots:
            limit = asyncio.timeout(timeout)
            try:
                async with limit:
                    return await call(query)
            except Exception as error:  # noqa: BLE001 - it stands in the answer's place
                return _late(query, timeout) if limit.expired() else error

    return list(await asyncio.gather(*(one(query) for query in queries)))


def _late(query: str, timeout: float | None) -> TimeoutError:
    return TimeoutError(f"no answer to {query!r} within {timeout:g} s")
