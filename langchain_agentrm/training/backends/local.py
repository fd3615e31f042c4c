"""Jobs in processes of this machine."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, TypeVar

from langchain_agentrm.errors import ConfigurationError, EnvironmentFailedError
from langchain_agentrm.training._policy import die_with_parent

__all__ = ["LocalBackend"]

Job = TypeVar("Job")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class LocalBackend:
    """A pool of processes that ends with this one, even if this one is killed.

    Attributes:
        workers: Processes; 0 or 1 works in this one.
    """

    workers: int = 2

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if self.workers < 0:
            msg = f"workers={self.workers!r} cannot work."
            raise ConfigurationError(msg, remedy="Use 0 or more.")

    def run(
        self,
        setup: Callable[[], Callable[[Job], Result]],
        jobs: Sequence[Job],
    ) -> Iterator[tuple[int, Result]]:
        """Run jobs, as `Backend.run` says.

        When a job fails, those that are running are waited for and handed over first:
        nothing that was finished is lost.

        Yields:
            A job's index, and its result.

        Raises:
            EnvironmentFailedError: If a worker process died.
            Exception: What a job raised.
        """
        if not jobs:
            return
        if self.workers <= 1:
            work = setup()
            for i, job in enumerate(jobs):
                yield i, work(job)
            return
        pool = ProcessPoolExecutor(
            min(self.workers, len(jobs)),
            # A forked child would share torch's thread pool and deadlock.
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start,
            initargs=(setup,),
        )
        try:
            asked = {pool.submit(_perform, job): i for i, job in enumerate(jobs)}
            yield from self._gather(asked)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _gather(self, asked: dict[Future[Any], int]) -> Iterator[tuple[int, Any]]:
        failed: Exception | None = None
        for future in as_completed(asked):
            try:
                result = future.result()
            except CancelledError:
                continue
            except Exception as error:  # noqa: BLE001 - raised below, after the others
                failed = failed or error
                for other in asked:
                    other.cancel()
            else:
                yield asked[future], result
        if isinstance(failed, BrokenProcessPool):
            msg = f"A worker process of {self.workers} died: {failed}."
            raise EnvironmentFailedError(
                msg,
                remedy="Run it again: it goes on; fewer workers need less memory.",
            ) from failed
        if failed is not None:
            raise failed


_setup: Callable[[], Callable[[Any], Any]] | None = None
_work: Callable[[Any], Any] | None = None


def _start(setup: Callable[[], Callable[[Any], Any]]) -> None:
    global _setup  # noqa: PLW0603 - a pool's initializer has nowhere else to put it
    die_with_parent()
    _setup = setup


def _perform(job: Any) -> Any:
    global _work  # noqa: PLW0603 - one a process
    if _work is None:
        assert _setup is not None  # noqa: S101 - the initializer ran
        # Not in the initializer: what fails there reaches nobody but as a dead pool.
        _work = _setup()
    return _work(job)
