"""Which server answers: the one that has the prefix, as long as it is well.

There is no thread that watches: a server that failed is left alone for a while that
doubles, and whoever comes after that asks for its health first.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import httpx

from langchain_agentrm.errors import ConfigurationError, RewardModelError

__all__ = ["AllDownError", "Choice", "Replica", "Replicas"]

FIRST_REST = 1.0
"""Seconds that a server is left alone after its first failure."""

LONGEST_REST = 30.0
"""The most seconds that a server is left alone."""


class AllDownError(RewardModelError):
    """No server may be asked now.

    Attributes:
        wait: Seconds until one may be asked again.
    """

    def __init__(self, message: str, *, wait: float) -> None:
        """Say when to come back."""
        super().__init__(
            message,
            remedy="Start the servers again; they are tried when that time is over.",
            retryable=True,
        )
        self.wait = wait


@dataclass(slots=True)
class Replica:
    """One server and what is known of it; the pool's lock guards it.

    Attributes:
        url: Address that others are made from.
        shown: The same without user name and password.
        ready: Whether it was checked since it last came up.
        failures: Failures in a row that took it down.
        down_until: When it may be asked again, on the pool's clock; None while up.
        busy_until: Until when it asked to be spared.
        epoch: Counts its ups and downs, so that late news of an old one is told apart.
        error: The last failure.
    """

    url: str
    shown: str
    ready: bool = False
    failures: int = 0
    down_until: float | None = None
    busy_until: float = 0.0
    epoch: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """A server to ask, and whether to ask for its health first."""

    replica: Replica
    probe: bool
    epoch: int


class Replicas:
    """Servers of one model, chosen by rendezvous hashing among those that are well.

    Every key orders the servers in its own way, the same in every process; it is
    answered by the first that is well. One server more or less moves only the keys
    that it gains or loses.
    """

    def __init__(
        self, urls: Sequence[str], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Take the servers' addresses, all of them up until one fails.

        Args:
            urls: Base addresses; a `/v1` at the end is left out.
            clock: Seconds; tests bring their own.

        Raises:
            ConfigurationError: If there is none, one is no HTTP address, or one is
                there twice.
        """
        self.all = tuple(_replica(url) for url in urls)
        if not self.all:
            msg = "A reward-model client needs the address of a server."
            raise ConfigurationError(
                msg, remedy="Give base_url='http://host:port' or base_urls=[...]."
            )
        twice = {
            r.shown for r in self.all if [s.url for s in self.all].count(r.url) > 1
        }
        if twice:
            msg = f"base_urls names {', '.join(sorted(twice))} more than once."
            raise ConfigurationError(msg, remedy="Name each server once.")
        self._clock = clock
        self._lock = threading.Lock()
        # Jitter only: clients that saw a server fail together come back apart.
        self._random = random.Random()  # noqa: S311

    def home(self, key: str) -> str:
        """Name the server that a key goes to as things are now.

        Args:
            key: What belongs together, such as a search's id.

        Returns:
            The address; the key's first server where none is well.
        """
        order = self._order(key)
        with self._lock:
            now = self._clock()
            well = [r for r in order if _may_ask(r, now)]
            return (well or order)[0].url

    def choose(self, key: str, tried: Collection[str] = ()) -> Choice:
        """Pick a server for a key.

        Args:
            key: What belongs together.
            tried: Addresses that failed this request; taken only if there is no other.

        Returns:
            The server. A server that was down and has rested is to be probed.

        Raises:
            AllDownError: If none may be asked now.
        """
        order = self._order(key)
        with self._lock:
            now = self._clock()
            well = [r for r in order if _may_ask(r, now)]
            if not well:
                raise self._all_down(now)
            best = min(well, key=lambda r: (r.url in tried, r.busy_until > now))
            return Choice(best, best.down_until is not None, best.epoch)

    def elsewhere(self, tried: Collection[str]) -> bool:
        """Whether a server that has not been tried may be asked now."""
        with self._lock:
            now = self._clock()
            return any(
                r.url not in tried and _may_ask(r, now) and r.busy_until <= now
                for r in self.all
            )

    def next_try(self) -> float:
        """Seconds until some server may be asked; 0 where one may be asked now."""
        with self._lock:
            return self._wait(self._clock())

    def failed(self, choice: Choice, error: str, *, gone: bool) -> None:
        """Take a server down for a while that doubles each time.

        Args:
            choice: What was asked; if the server came up or went down since then, this
                is old news and changes nothing.
            error: What happened.
            gone: Whether its process may have ended, so that what comes back may be
                another one, to be checked anew.
        """
        replica = choice.replica
        with self._lock:
            if choice.epoch != replica.epoch:
                return
            replica.failures += 1
            rest = min(LONGEST_REST, FIRST_REST * 2 ** min(replica.failures - 1, 16))
            rest *= self._random.uniform(0.8, 1.0)
            replica.down_until = self._clock() + rest
            replica.epoch += 1
            replica.error = error
            replica.ready = replica.ready and not gone

    def spare(self, choice: Choice, seconds: float) -> None:
        """Prefer others for a while, as the server asked."""
        with self._lock:
            choice.replica.busy_until = self._clock() + seconds

    def succeeded(self, choice: Choice) -> None:
        """Note that a server answered."""
        replica = choice.replica
        with self._lock:
            if replica.down_until is not None:
                replica.down_until = None
                replica.epoch += 1
            replica.failures = 0
            replica.busy_until = 0.0
            replica.error = ""

    def checked(self, replica: Replica) -> None:
        """Note that a server is what it should be."""
        with self._lock:
            replica.ready = True

    def others_ready(self, replica: Replica) -> bool:
        """Whether another server was checked and is up."""
        with self._lock:
            return any(
                r.ready and r.down_until is None for r in self.all if r is not replica
            )

    def _wait(self, now: float) -> float:
        return min(max(0.0, (r.down_until or now) - now) for r in self.all)

    def _all_down(self, now: float) -> AllDownError:
        wait = self._wait(now)
        each = "; ".join(
            f"{r.shown}, next try in {max(0.0, (r.down_until or now) - now):.1f} s: "
            f"{r.error}"
            for r in self.all
        )
        many = len(self.all)
        head = "The reward server is" if many == 1 else f"All {many} reward servers are"
        return AllDownError(f"{head} down: {each}", wait=wait)

    def _order(self, key: str) -> list[Replica]:
        return sorted(
            self.all,
            key=lambda r: blake2b(f"{key}\n{r.url}".encode(), digest_size=8).digest(),
        )


def _may_ask(replica: Replica, now: float) -> bool:
    return replica.down_until is None or replica.down_until <= now


def _replica(url: str) -> Replica:
    try:
        parsed = httpx.URL(url.strip())
    except (httpx.InvalidURL, TypeError, AttributeError):
        parsed = httpx.URL()
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        shown = str(url).rpartition("@")[2]
        msg = f"{shown!r} is not the address of a server."
        raise ConfigurationError(msg, remedy="Write it as 'http://host:port'.")
    path = parsed.path.rstrip("/").removesuffix("/v1").rstrip("/")
    parsed = parsed.copy_with(path=path or "/", query=None, fragment=None)
    bare = parsed.copy_with(username=None, password=None)
    return Replica(str(parsed).rstrip("/"), str(bare).rstrip("/"))
