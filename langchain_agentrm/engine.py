"""Drivers: they run a search's effects, sync, async, or many searches in lockstep.

A search is a generator (`search.rounds.Steps`) that yields `Propose` and `Evaluate`.
The drivers hold everything that touches models: which proposer a policy gets, retries
of the reward model, and the check of what it returned.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from tenacity import (
    AsyncRetrying,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    wait_random_exponential,
)
from typing_extensions import TypeIs

from langchain_agentrm.errors import (
    AgentRMError,
    ConfigurationError,
    RewardModelError,
    is_retryable,
)
from langchain_agentrm.reward_models.base import RewardModel, checked
from langchain_agentrm.search.rounds import Evaluate, Propose
from langchain_agentrm.types import Batch, Score, Usage

if TYPE_CHECKING:
    from langchain_agentrm.sampling.base import Proposer
    from langchain_agentrm.trajectory import Trajectory

__all__ = ["Models", "as_proposer", "drive", "drive_async", "drive_many"]

R = TypeVar("R")
Search = Generator[Propose | Evaluate, Any, R]

_RETRY: dict[str, Any] = {
    "retry": retry_if_exception(is_retryable),
    "stop": stop_after_attempt(3),
    "wait": wait_random_exponential(multiplier=0.2, max=5),
    "reraise": True,
}


def as_proposer(policy: object, **options: Any) -> Proposer:
    """Give a policy its proposer.

    A proposer is taken as it is, the local chat model gets the one that batches all
    beams, any other runnable gets the general one.

    Args:
        policy: A chat model, a runnable that returns an AI message, or a proposer.
        **options: Passed to the general proposer, such as `max_concurrency`.

    Returns:
        A proposer.

    Raises:
        ConfigurationError: If `policy` is none of these.
    """
    if hasattr(policy, "propose") and hasattr(policy, "apropose"):
        return cast("Proposer", policy)
    from langchain_core.runnables import Runnable

    local = getattr(policy, "local_model", None)
    if local is not None:
        from langchain_agentrm.sampling.local import LocalProposer

        chat: Any = policy
        return LocalProposer(
            local, temperature=chat.temperature or 1.0, max_tokens=chat.max_tokens
        )
    if not isinstance(policy, Runnable):
        msg = f"policy={policy!r} is neither a chat model nor a proposer."
        raise ConfigurationError(
            msg,
            remedy="Pass a BaseChatModel such as ChatOpenAI(...) or ChatLocal(...).",
        )
    from langchain_agentrm.sampling.chat import ChatProposer

    return ChatProposer(policy, **options)


class Models:
    """A proposer and a reward model, with the failure rules around them."""

    def __init__(self, proposer: Proposer, reward_model: RewardModel) -> None:
        """Hold both; nothing is called yet."""
        self.proposer = proposer
        self.reward_model = reward_model

    def run(self, effect: Propose | Evaluate) -> Batch[Any]:
        """Carry out one effect."""
        if isinstance(effect, Propose):
            return self.proposer.propose(effect.requests)
        return self._score(effect.trajectories)

    async def arun(self, effect: Propose | Evaluate) -> Batch[Any]:
        """Async twin of `run`."""
        if isinstance(effect, Propose):
            return await self.proposer.apropose(effect.requests)
        return await self._ascore(effect.trajectories)

    def _score(self, trajectories: Sequence[Trajectory]) -> Batch[Score]:
        try:
            for attempt in Retrying(**_RETRY):
                with attempt:
                    return checked(trajectories, self.reward_model.score(trajectories))
        except Exception as error:
            raise _as_reward_error(error) from error
        raise AssertionError  # pragma: no cover - tenacity reraises

    async def _ascore(self, trajectories: Sequence[Trajectory]) -> Batch[Score]:
        try:
            async for attempt in AsyncRetrying(**_RETRY):
                with attempt:
                    batch = await self.reward_model.ascore(trajectories)
                    return checked(trajectories, batch)
        except Exception as error:
            raise _as_reward_error(error) from error
        raise AssertionError  # pragma: no cover - tenacity reraises


def _as_reward_error(error: Exception) -> Exception:
    if isinstance(error, AgentRMError):
        return error
    return RewardModelError(
        f"The reward model failed with {type(error).__name__}: {error}.",
        remedy="Check that it is running and reads this input.",
    )


def drive(search: Search[R], models: Models) -> R:
    """Run one search to its end, synchronously.

    Args:
        search: The search.
        models: Who proposes and scores.

    Returns:
        What the search returns.
    """
    answer: Any = None
    error: AgentRMError | None = None
    while True:
        try:
            effect = search.throw(error) if error else search.send(answer)
        except StopIteration as stop:
            result: R = stop.value
            return result
        answer, error = None, None
        try:
            answer = models.run(effect)
        except RewardModelError as failure:
            error = failure


async def drive_async(search: Search[R], models: Models) -> R:
    """Async twin of `drive`."""
    answer: Any = None
    error: AgentRMError | None = None
    while True:
        try:
            effect = search.throw(error) if error else search.send(answer)
        except StopIteration as stop:
            result: R = stop.value
            return result
        answer, error = None, None
        try:
            answer = await models.arun(effect)
        except RewardModelError as failure:
            error = failure


def drive_many(
    searches: Iterable[Search[R]],
    models: Models,
    *,
    on_wave: Callable[[int], None] | None = None,
) -> list[R]:
    """Run many searches in lockstep: one call per wave for all that wait.

    Args:
        searches: The searches.
        models: Who proposes and scores.
        on_wave: Told after each wave how many searches still run.

    Returns:
        Their results in the order given.
    """
    lockstep = _Lockstep(list(searches), models)
    while lockstep.waiting:
        lockstep.wave()
        if on_wave:
            on_wave(len(lockstep.waiting))
    return [lockstep.results[i] for i in range(len(lockstep.searches))]


class _Lockstep(Generic[R]):
    """Many searches, advanced together."""

    def __init__(self, searches: list[Search[R]], models: Models) -> None:
        self.searches = searches
        self.models = models
        self.results: dict[int, R] = {}
        self.waiting: dict[int, Propose | Evaluate] = {}
        for i in range(len(searches)):
            self._advance(i, None)

    def wave(self) -> None:
        """Serve all proposals; if none waits, all scores.

        Proposals first: whoever waits for scores is then joined by those that catch up.
        """
        asks = {i: e.requests for i, e in self.waiting.items() if _proposes(e)}
        if asks:
            flat = Propose([r for part in asks.values() for r in part])
            self._answer({i: len(p) for i, p in asks.items()}, self.models.run(flat))
            return
        rates = {i: e.trajectories for i, e in self.waiting.items() if _rates(e)}
        try:
            batch = self.models.run(
                Evaluate([t for part in rates.values() for t in part])
            )
        except RewardModelError as error:
            for i in rates:
                self._advance(i, None, error)
        else:
            self._answer({i: len(p) for i, p in rates.items()}, batch)

    def _answer(self, sizes: dict[int, int], batch: Batch[Any]) -> None:
        usages = _usages(list(sizes.values()), batch.usage)
        for (i, share), usage in zip(_shares(sizes, batch), usages, strict=True):
            self._advance(i, Batch(share, usage))

    def _advance(self, i: int, answer: Any, error: Exception | None = None) -> None:
        search = self.searches[i]
        try:
            effect = search.throw(error) if error else search.send(answer)
        except StopIteration as stop:
            self.results[i] = stop.value
            self.waiting.pop(i, None)
        else:
            self.waiting[i] = effect


def _proposes(effect: Propose | Evaluate) -> TypeIs[Propose]:
    return isinstance(effect, Propose)


def _rates(effect: Propose | Evaluate) -> TypeIs[Evaluate]:
    return isinstance(effect, Evaluate)


def _shares(
    sizes: dict[int, int], batch: Batch[Any]
) -> list[tuple[int, Sequence[Any]]]:
    out, at = [], 0
    for i, n in sizes.items():
        out.append((i, batch.items[at : at + n]))
        at += n
    return out


def _usages(sizes: list[int], usage: Usage) -> list[Usage]:
    """Split a batch's usage by request, so that the parts add up to the whole."""
    total = sum(sizes) or 1
    out, done, spent = [], 0, Usage()
    for n in sizes:
        done += n
        upto = Usage(
            usage.requests * done // total,
            usage.input_tokens * done // total,
            usage.output_tokens * done // total,
            usage.cached_tokens * done // total,
        )
        out.append(
            Usage(
                upto.requests - spent.requests,
                upto.input_tokens - spent.input_tokens,
                upto.output_tokens - spent.output_tokens,
                upto.cached_tokens - spent.cached_tokens,
            )
        )
        spent = upto
    return out
