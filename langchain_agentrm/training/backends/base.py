"""The seam: something that works on jobs elsewhere and hands results back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

__all__ = ["Backend"]

Job = TypeVar("Job")
Result = TypeVar("Result")


class Backend(Protocol):
    """Runs jobs on workers; only the process that asks for them writes anything down.

    A job is a pure function of its own content: it may be run twice, on any machine,
    and gives the same result. So a lost worker costs the jobs that it was working on,
    and a stopped run asks again for those whose results were not written.
    """

    def run(
        self,
        setup: Callable[[], Callable[[Job], Result]],
        jobs: Sequence[Job],
    ) -> Iterator[tuple[int, Result]]:
        """Run jobs and yield each result as soon as it is there, in any order.

        Args:
            setup: Makes the function that does a job, models loaded; called once in
                each worker process. Picklable, as are jobs and results.
            jobs: The jobs. Each is run to its end once, but may be begun more often.

        Yields:
            A job's index, and its result.

        Raises:
            EnvironmentFailedError: If workers died more often than is allowed.
            Exception: What a job raised, as it raised it.
        """
        ...
