"""Trees as generators that ask a policy, run in lockstep or side by side on a loop.

A tree's search yields `Draw` and is sent a `Batch` of candidates. In lockstep every
wave of all trees is one call, which is what a policy in process wants; side by side
each tree goes at its own pace, so that a batching server always has work.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Generator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from langchain_agentrm.errors import PolicyError
from langchain_agentrm.sampling.base import Proposer
from langchain_agentrm.sampling.chat import ChatProposer
from langchain_agentrm.types import Batch, Candidate, ProposalRequest, Usage

__all__ = [
    "After",
    "Answers",
    "Draw",
    "Steps",
    "ignore",
    "run_in_loop",
    "run_lockstep",
    "run_searches",
    "run_side_by_side",
]

T = TypeVar("T")

Answers = Batch[list[Candidate]]
_TRIES = 3
_PAUSE = 0.25


@dataclass(frozen=True, slots=True)
class Draw:
    """Effect: draw candidates. Answered with `Answers`, one list per request.

    Attributes:
        requests: What is asked.
        depth: Actions taken in the least deep of their states.
    """

    requests: Sequence[ProposalRequest]
    depth: int


Steps = Generator[Draw, Answers, None]
"""The search of one tree."""

After = Callable[[Sequence[int], Usage], None]
"""Told which searches went on, and what the policy has used so far."""


def ignore(searches: Sequence[int], usage: Usage) -> None:
    """Take no note."""
    del searches, usage


def run_searches(
    searches: Sequence[Steps],
    proposer: Proposer,
    *,
    in_flight: int = 8,
    threads: bool = True,
    after: After = ignore,
) -> Usage:
    """Run searches in lockstep where the policy lives here, else side by side.

    Args:
        searches: One a tree.
        proposer: The policy.
        in_flight: Trees that a served policy is asked about at once.
        threads: Whether environments may then be stepped in threads.
        after: Told whenever searches went on.

    Returns:
        What the policy used.

    Raises:
        PolicyError: If it answers nothing in a first state, or fails for now.
    """
    if not isinstance(proposer, ChatProposer):
        return run_lockstep(searches, proposer, after=after)
    return run_in_loop(
        run_side_by_side(
            searches, proposer, in_flight=in_flight, threads=threads, after=after
        )
    )


def run_lockstep(
    searches: Sequence[Steps],
    proposer: Proposer,
    *,
    after: After = ignore,
) -> Usage:
    """Run all searches together: one call of the policy per wave.

    Args:
        searches: One a tree.
        proposer: The policy.
        after: Told after each wave.

    Returns:
        What the policy used.

    Raises:
        PolicyError: If it answers nothing in a first state, or fails for now.
    """
    usage = Usage()
    waiting: dict[int, Draw] = {}
    for i, steps in enumerate(searches):
        _advance(waiting, i, steps, None)
    after(range(len(searches)), usage)
    while waiting:
        asked = dict(waiting)
        flat = [r for draw in asked.values() for r in draw.requests]
        plan = _serve(flat, min(draw.depth for draw in asked.values()), tries=1)
        batch = _served(plan, proposer)
        usage += batch.usage
        at = 0
        for i, draw in asked.items():
            share = batch.items[at : at + len(draw.requests)]
            at += len(draw.requests)
            _advance(waiting, i, searches[i], Batch(share))
        after(list(asked), usage)
    return usage


async def run_side_by_side(
    searches: Sequence[Steps],
    proposer: Proposer,
    *,
    in_flight: int,
    threads: bool,
    after: After = ignore,
) -> Usage:
    """Run searches at once on the running loop, each at its own pace.

    Args:
        searches: One a tree.
        proposer: The policy.
        in_flight: Trees that are searched at once.
        threads: Whether environments may be stepped in threads.
        after: Told whenever a search went on.

    Returns:
        What the policy used.

    Raises:
        PolicyError: If it answers nothing in a tree's first state, or fails for now.
    """
    usage = Usage()
    gate = asyncio.Semaphore(in_flight)

    async def one(i: int) -> None:
        nonlocal usage
        answer: Answers | None = None
        async with gate:
            while True:
                waiting: dict[int, Draw] = {}
                if threads:
                    await asyncio.to_thread(_advance, waiting, i, searches[i], answer)
                else:
                    _advance(waiting, i, searches[i], answer)
                after([i], usage)
                if i not in waiting:
                    return
                plan = _serve(waiting[i].requests, waiting[i].depth, tries=_TRIES)
                answer = await _aserved(plan, proposer)
                usage += answer.usage

    tasks = [asyncio.ensure_future(one(i)) for i in range(len(searches))]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return usage


def _advance(
    waiting: dict[int, Draw], i: int, steps: Steps, answer: Answers | None
) -> None:
    try:
        # A generator takes nothing but None before its first yield.
        waiting[i] = next(steps) if answer is None else steps.send(answer)
    except StopIteration:
        waiting.pop(i, None)


@dataclass(frozen=True, slots=True)
class _Try:
    requests: Sequence[ProposalRequest]
    pause: float


def _serve(
    requests: Sequence[ProposalRequest], depth: int, *, tries: int
) -> Generator[_Try, Answers | PolicyError, Answers]:
    """Ask, and ask again for what got no answer at all.

    Requests that stay without an answer get an empty list, which the search counts as
    lost. Late in an episode that is a context that is full; where the policy fails for
    now, or at a first state, there is nothing to go on with.
    """
    items: list[list[Candidate]] = [[] for _ in requests]
    missing = list(range(len(requests)))
    usage = Usage()
    failure: PolicyError | None = None
    for attempt in range(tries):
        pause = _PAUSE * 2**attempt if attempt else 0.0
        answer = yield _Try([requests[i] for i in missing], pause)
        if isinstance(answer, PolicyError):
            failure = answer
            if not answer.retryable:
                break
            continue
        failure = None
        usage += answer.usage
        for i, found in zip(missing, answer.items, strict=True):
            items[i] = list(found)
        missing = [i for i in missing if not items[i]]
        if not missing:
            break
    nothing = len(missing) == len(requests)
    if failure is not None and (failure.retryable or (nothing and depth == 0)):
        raise failure
    return Batch(items, usage)


def _served(
    plan: Generator[_Try, Answers | PolicyError, Answers], proposer: Proposer
) -> Answers:
    answer: Answers | PolicyError | None = None
    while True:
        try:
            wanted = next(plan) if answer is None else plan.send(answer)
        except StopIteration as stop:
            found: Answers = stop.value
            return found
        time.sleep(wanted.pause)
        try:
            answer = proposer.propose(wanted.requests)
        except PolicyError as error:
            answer = error


async def _aserved(
    plan: Generator[_Try, Answers | PolicyError, Answers], proposer: Proposer
) -> Answers:
    answer: Answers | PolicyError | None = None
    while True:
        try:
            wanted = next(plan) if answer is None else plan.send(answer)
        except StopIteration as stop:
            found: Answers = stop.value
            return found
        await asyncio.sleep(wanted.pause)
        try:
            answer = await proposer.apropose(wanted.requests)
        except PolicyError as error:
            answer = error


_loop: asyncio.AbstractEventLoop | None = None
_loop_lock = threading.Lock()


def run_in_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on this process's own loop and wait for it.

    One loop for all chunks: a chat model's connections belong to the loop that opened
    them. It lives in a thread, so that a caller may have a running loop itself.

    Args:
        work: The coroutine.

    Returns:
        What it returns.
    """
    global _loop  # noqa: PLW0603 - one a process, made when it is needed
    with _loop_lock:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            threading.Thread(target=_loop.run_forever, daemon=True).start()
    waiting = asyncio.run_coroutine_threadsafe(work, _loop)
    try:
        return waiting.result()
    except BaseException:
        waiting.cancel()
        raise
