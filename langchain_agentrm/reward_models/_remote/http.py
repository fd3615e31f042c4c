"""Talking HTTP as effects: what a conversation asks for, and what a reply means.

A conversation is a generator that yields `Call`, `Sleep`, `Work` and `Together` and is
sent what came of them; `_edges` carries them out for threads and for event loops, so
that the logic is written once.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from tenacity import BaseRetrying, DoAttempt, DoSleep, RetryCallState

from langchain_agentrm.errors import RewardModelError

__all__ = [
    "RETRY_AFTER_CAP",
    "Call",
    "Conversation",
    "Effect",
    "Reply",
    "ServerFailureError",
    "Sleep",
    "Together",
    "Work",
    "retried",
]

T = TypeVar("T")

RETRY_AFTER_CAP = 30.0
"""Longest wait in seconds that a server may ask for."""

_OK = 200
_BUSY = frozenset({408, 429})
_GATEWAY = frozenset({502, 503, 504})
_SHOWN = 300


@dataclass(frozen=True, slots=True)
class Call:
    """Ask a server; a body makes it a POST.

    Attributes:
        url: Whole address.
        shown: The server's name in messages, without user name and password.
        body: JSON to send.
        seconds: Time for the whole call; the driver's own limit where None.
    """

    url: str
    shown: str
    body: Mapping[str, Any] | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Work:
    """Compute something, off the event loop where there is one."""

    function: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Together:
    """Carry on several conversations at once; answers with their results in order."""

    conversations: Sequence[Generator[Any, Any, Any]]


Effect = Call | Sleep | Work | Together
Conversation = Generator[Effect, Any, T]


class ServerFailureError(RewardModelError):
    """One call that gave no usable answer.

    Attributes:
        status: HTTP status; None where nothing came.
        lost: Whether nothing came, or a gateway said that nobody is behind it.
        unsent: Whether the server surely never saw the call.
        retry_after: Seconds that the server asked to wait, at most `RETRY_AFTER_CAP`.
    """

    def __init__(
        self,
        message: str,
        *,
        remedy: str,
        retryable: bool,
        status: int | None = None,
        lost: bool = False,
        unsent: bool = False,
        retry_after: float | None = None,
    ) -> None:
        """Keep what decides about a retry beside the message."""
        super().__init__(message, remedy=remedy, retryable=retryable)
        self.status = status
        self.lost = lost
        self.unsent = unsent
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered, whatever its status."""

    call: Call
    status: int
    retry_after: str | None
    content: bytes

    def json(self) -> Any:
        """Read the answer of a call that succeeded.

        Raises:
            ServerFailureError: If the status is not 200 or the body is not JSON.
        """
        if self.status != _OK:
            raise self._refused()
        try:
            return json.loads(self.content)
        except ValueError as error:
            text = self._text()
            msg = f"{self.call.shown} answered something that is not JSON: {text!r}."
            raise ServerFailureError(
                msg,
                remedy="Check that the address is the reward server's own.",
                retryable=False,
                status=self.status,
            ) from error

    def _refused(self) -> ServerFailureError:
        status = self.status
        busy = status in _BUSY
        return ServerFailureError(
            f"{self.call.shown} answered {status}: {self.reason()}.",
            remedy=_REMEDIES.get(status, _remedy(status)),
            retryable=busy or status == 500 or status in _GATEWAY,  # noqa: PLR2004
            status=status,
            lost=status in _GATEWAY,
            retry_after=_seconds(self.retry_after),
        )

    def reason(self) -> str:
        """The server's own words, cut short."""
        try:
            body = json.loads(self.content)
        except ValueError:
            return self._text() or "no text"
        error = body.get("error", body) if isinstance(body, dict) else body
        if isinstance(error, dict):
            error = error.get("message", error.get("detail", error))
        return str(error)[:_SHOWN].rstrip(".")

    def _text(self) -> str:
        return self.content[: 4 * _SHOWN].decode("utf-8", "replace")[:80].strip()


_REMEDIES = {
    401: "Give the key as api_key= or in AGENTRM_RM_API_KEY.",
    403: "Give a key that may use this server.",
    404: "Check the address and the model's name, and that vLLM runs with "
    "`--runner pooling`.",
    429: "Send less at once, or add replicas.",
}


def _remedy(status: int) -> str:
    if status >= 500:  # noqa: PLR2004
        return "See the server's log."
    return "The server refuses this input; a repetition would not help."


def _seconds(retry_after: str | None) -> float | None:
    if not retry_after:
        return None
    try:
        wait = float(retry_after)
    except ValueError:
        try:
            wait = parsedate_to_datetime(retry_after).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    # Written so that NaN, which a header may say too, becomes no wait.
    return min(wait, RETRY_AFTER_CAP) if wait > 0 else 0.0


def retried(
    attempt: Callable[[], Conversation[T]], retrying: BaseRetrying
) -> Conversation[T]:
    """Repeat a conversation as tenacity's rules say, waiting by `Sleep`.

    Args:
        attempt: Starts the conversation.
        retrying: When to stop, how long to wait and what to repeat.

    Returns:
        What the attempt that succeeded returns.

    Raises:
        RewardModelError: The last one, when tenacity gives up.
    """
    retrying.begin()
    state = RetryCallState(retrying, None, (), {})
    while True:
        todo = retrying.iter(retry_state=state)
        if isinstance(todo, DoAttempt):
            try:
                state.set_result((yield from attempt()))
            except RewardModelError:
                kind, error, trace = sys.exc_info()
                if kind is not None and error is not None and trace is not None:
                    state.set_exception((kind, error, trace))
        elif isinstance(todo, DoSleep):
            state.prepare_for_next_attempt()
            yield Sleep(float(todo))
        else:
            done: T = todo
            return done
