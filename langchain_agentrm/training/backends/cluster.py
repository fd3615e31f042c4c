"""Jobs as Ray tasks: scheduling, retries and lost machines are Ray's business."""

from __future__ import annotations

import itertools
import os
import socket
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from langchain_agentrm.errors import (
    ConfigurationError,
    EnvironmentFailedError,
    is_retryable,
)

__all__ = ["RayBackend"]

Job = TypeVar("Job")
Result = TypeVar("Result")

_AHEAD = 4096
"""Jobs handed to Ray at once: more than wait anywhere, few enough to look through."""

_PROBE_S = 10.0


@dataclass(frozen=True, slots=True)
class RayBackend:
    """A Ray cluster. Each job is one task; workers load the models once a process.

    What is lost with a worker or a machine is the job it was working on: Ray runs it
    again elsewhere. Results come back to this process, which alone writes them.

    Every machine needs the same packages and finds the models under the same path. A
    Ray that this process has connected to already is used, and left connected.

    Attributes:
        address: `HOST:PORT` of the cluster's head, `"auto"` for one on this machine, or
            `"local"` for a new one on this machine, which ends with the run. By default
            what RAY_ADDRESS says, else `"local"`.
        workers: Most jobs at once; None: as many as the cluster has room for.
        num_cpus: Cores that a job takes.
        num_gpus: GPUs that a job takes; a share of one is allowed.
        resources: Resources of your own names that a job takes.
        retries: How often a job is begun again when its worker is lost, or when it
            raises an error that a retry can help; -1: without end.
        elastic: Whether to wait for machines with enough room to join; else a job that
            no machine of the cluster has room for is refused.
    """

    address: str | None = None
    workers: int | None = None
    num_cpus: float = 1
    num_gpus: float = 0
    resources: Mapping[str, float] = field(default_factory=dict)
    retries: int = 3
    elastic: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if self.workers is not None and self.workers < 1:
            msg = f"workers={self.workers!r} cannot work on a cluster."
            raise ConfigurationError(msg, remedy="Use 1 or more, or leave it out.")
        if self.retries < -1:
            msg = f"retries={self.retries!r} cannot work."
            raise ConfigurationError(msg, remedy="Use 0 or more, or -1 for no end.")
        wanted = {**self._room, "num_cpus": self.num_cpus, "num_gpus": self.num_gpus}
        for name, amount in wanted.items():
            if not amount >= 0:
                msg = f"{name}={amount!r} cannot work."
                raise ConfigurationError(msg, remedy="Use 0 or more.")

    def run(
        self,
        setup: Callable[[], Callable[[Job], Result]],
        jobs: Sequence[Job],
    ) -> Iterator[tuple[int, Result]]:
        """Run jobs, as `Backend.run` says.

        Yields:
            A job's index, and its result.

        Raises:
            ConfigurationError: If Ray is not installed, no cluster answers, or none of
                its machines has room for a job.
            EnvironmentFailedError: If workers were lost more often than `retries`.
            Exception: What a job raised.
        """
        if not jobs:
            return
        ray = _load_ray()
        with _connected(ray, self.address):
            if not self.elastic:
                self._check_room(ray.nodes())
            yield from self._run(ray, setup, jobs)

    def _run(
        self, ray: Any, setup: Callable[[], Callable[[Any], Any]], jobs: Sequence[Any]
    ) -> Iterator[tuple[int, Any]]:
        as_task = ray.remote(
            num_cpus=self.num_cpus,
            num_gpus=self.num_gpus,
            resources=dict(self.resources),
            max_retries=self.retries,
            retry_exceptions=[_CanBeRepeatedError],
            # By default a process with a GPU ends with its task, and its model with it.
            max_calls=0,
        )
        perform = as_task(_perform)
        run = uuid.uuid4().hex
        given = ray.put(setup)
        waiting = iter(enumerate(jobs))
        asked: dict[Any, int] = {}
        try:
            while True:
                room = (self.workers or _AHEAD) - len(asked)
                for i, job in itertools.islice(waiting, room):
                    asked[perform.remote(run, given, job)] = i
                if not asked:
                    return
                for ref in ray.wait(list(asked), num_returns=1)[0]:
                    result = self._result(ray, ref)
                    yield asked.pop(ref), result
        finally:
            for ref in asked:
                ray.cancel(ref, force=True)

    def _result(self, ray: Any, ref: Any) -> Any:
        try:
            return ray.get(ref)
        except ray.exceptions.RayTaskError as error:
            cause = error.cause
            if isinstance(cause, _CanBeRepeatedError):
                cause = cause.error
            if isinstance(cause, Exception):
                raise cause from error
            raise
        except ray.exceptions.RayError as error:
            msg = f"Ray lost a job and {self.retries} retries of it: {error}"
            raise EnvironmentFailedError(
                msg,
                remedy="Run it again: it goes on. Give a job more memory if its "
                "workers are killed for want of it.",
            ) from error

    @property
    def _room(self) -> dict[str, float]:
        return {**self.resources, "CPU": self.num_cpus, "GPU": self.num_gpus}

    def _check_room(self, nodes: Sequence[Mapping[str, Any]]) -> None:
        offers = [node["Resources"] for node in nodes if node["Alive"]]
        for offer in offers:
            if all(offer.get(name, 0) >= much for name, much in self._room.items()):
                return
        wanted = {name: much for name, much in self._room.items() if much}
        most = {name: max(o.get(name, 0) for o in offers) for name in wanted}
        msg = (
            f"A job takes {wanted}, and none of the cluster's {len(offers)} machines "
            f"has room for it: the most they have is {most}."
        )
        raise ConfigurationError(
            msg, remedy="Ask for less, or set elastic where machines join later."
        )


class _CanBeRepeatedError(Exception):
    """What Ray is told to retry; carries what the job raised."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


_loaded: dict[str, Callable[[Any], Any]] = {}
"""What this process works with, by run; that of an earlier run is let go."""

_began_on: dict[str, list[str]] = {}


def _perform(run: str, setup: Callable[[], Callable[[Any], Any]], job: Any) -> Any:
    import ray

    gpus = ray.get_runtime_context().get_accelerator_ids()["GPU"]
    if _began_on.setdefault("gpus", gpus) != gpus:
        # CUDA stays on the GPU that a process began with, whichever Ray means now. Ray
        # begins the job again, in another process.
        os._exit(1)
    try:
        if run not in _loaded:
            _loaded.clear()
            _loaded[run] = setup()
        return _loaded[run](job)
    except Exception as error:
        if is_retryable(error):
            raise _CanBeRepeatedError(error) from error
        raise


def _load_ray() -> Any:
    # Read when Ray starts: nothing is reported to its makers unless you say so.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # What a job raises comes back by itself; of other jobs it need not be printed too.
    os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")
    try:
        import ray
    except ImportError as error:
        msg = "Backend 'ray' needs Ray, which is not installed."
        raise ConfigurationError(
            msg, remedy="Run: pip install 'langchain-agentrm[ray]'."
        ) from error
    return ray


@contextmanager
def _connected(ray: Any, address: str | None) -> Iterator[None]:
    if ray.is_initialized():
        yield
        return
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    _probe(address)
    try:
        ray.init(
            address=address,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="error",
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        msg = f"Ray does not answer at {address!r}: {error}"
        raise ConfigurationError(
            msg, remedy="Check the address with `ray status --address ...`."
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _probe(address: str) -> None:
    """Refuse soon what Ray itself would knock at for minutes."""
    host, colon, port = address.rpartition(":")
    if not colon or "/" in host or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _PROBE_S).close()
    except OSError as error:
        msg = f"No Ray cluster answers at {address!r}: {error}."
        raise ConfigurationError(
            msg, remedy="Start one with `ray start --head`, or correct the address."
        ) from error
