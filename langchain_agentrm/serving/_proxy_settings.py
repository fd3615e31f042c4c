"""What the proxy is told once, when it starts."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.search.rounds import RewardErrorPolicy

__all__ = ["ProxySettings", "api_base", "shown"]


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """How the proxy draws, scores, guards and limits.

    Attributes:
        n: Candidates of a request that names no number.
        max_n: Most candidates that a request may ask for.
        on_reward_error: Where nothing can be scored: `"policy_order"` answers in the
            policy's own order, marked in `agentrm.fallback`; `"raise"` answers 502.
        token: Bearer token that clients must send; without one the proxy answers on
            loopback only.
        upstream_key: Bearer token that is sent to the upstream.
        forward_authorization: Send the client's `Authorization` to the upstream. The
            proxy's own token then travels in `X-AgentRM-Token`.
        max_body: Largest request body in bytes.
        max_concurrency: Chat requests in work at once; one more is answered 429.
        max_upstream: Requests to the upstream in flight at once.
        seconds: Longest time for one chat request; then it is answered 504.
        score_seconds: Longest time for scoring; then the reward model counts as failed.
        early: Seconds that a streamed request waits before its headers go out. An
            error within them keeps its HTTP status, a later one travels in the stream.
        keep_alive: Seconds between the comments that keep a stream open.
    """

    n: int = 8
    max_n: int = 64
    on_reward_error: RewardErrorPolicy = "policy_order"
    token: str | None = field(default=None, repr=False)
    upstream_key: str | None = field(default=None, repr=False)
    forward_authorization: bool = False
    max_body: int = 8 * 2**20
    max_concurrency: int = 64
    max_upstream: int = 256
    seconds: float = 300.0
    score_seconds: float = 60.0
    early: float = 1.0
    keep_alive: float = 5.0

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        for name in ("n", "max_n", "max_body", "max_concurrency", "max_upstream"):
            if getattr(self, name) < 1:
                _refuse(name, getattr(self, name), "Use 1 or more.")
        for name in ("seconds", "score_seconds", "keep_alive"):
            value = getattr(self, name)
            if not (value > 0 and math.isfinite(value)):
                _refuse(name, value, "Use a positive number of seconds.")
        if not self.early >= 0:
            _refuse("early", self.early, "Use 0 or more seconds.")
        if self.n > self.max_n:
            _refuse("n", self.n, f"Use at most max_n={self.max_n}, or raise max_n.")
        if self.on_reward_error not in {"policy_order", "raise"}:
            _refuse(
                "on_reward_error", self.on_reward_error, "Use 'policy_order' or 'raise'"
            )
        for name in ("token", "upstream_key"):
            secret = getattr(self, name)
            if secret is not None and (not secret.strip() or not secret.isascii()):
                # The value stays out of the message: it is a secret gone wrong.
                msg = f"{name} is empty or not ASCII."
                raise ConfigurationError(msg, remedy="Give a token of letters.")


def _refuse(name: str, value: object, remedy: str) -> None:
    msg = f"{name}={value!r} cannot work."
    raise ConfigurationError(msg, remedy=remedy)


def api_base(upstream: str) -> str:
    """The address below which the upstream answers `/chat/completions`.

    Args:
        upstream: Address of the server; `/v1` is added where it has no path.

    Returns:
        The address without a slash at its end.

    Raises:
        ConfigurationError: If it is no HTTP address.
    """
    parts = urlsplit(upstream)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        msg = f"upstream={shown(upstream)!r} is no HTTP address."
        raise ConfigurationError(
            msg, remedy="Give the server's address, such as http://127.0.0.1:8000/v1."
        )
    path = parts.path.rstrip("/") or "/v1"
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def shown(url: str) -> str:
    """An address as it may be printed: without user name and password."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))
