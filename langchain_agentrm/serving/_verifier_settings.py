"""What the verifier service is told once, when it starts."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass, field

from langchain_agentrm.errors import ConfigurationError

__all__ = ["VerifierSettings", "redacted"]

_SECRET = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)$", re.IGNORECASE)
_SHORTEST = 8
"""Shorter values are words that a text may hold anyway."""
_USER = re.compile(r"(?<=//)[^/@\s]+@")


@dataclass(frozen=True, slots=True)
class VerifierSettings:
    """How the service guards and limits.

    Attributes:
        token: Bearer token that clients must send; without one the service answers on
            loopback only.
        allow_code: Whether a verifier may run model-written code, in its sandbox.
        max_body: Largest request body in bytes.
        max_answers: Most answers in one request.
        max_concurrency: Requests in work at once; one more is answered 429. Work that
            outlived its request counts until it ends.
        seconds: Longest time for one request; then it is answered 504.
    """

    token: str | None = field(default=None, repr=False)
    allow_code: bool = False
    max_body: int = 2**20
    max_answers: int = 64
    max_concurrency: int = 16
    seconds: float = 60.0

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        for name in ("max_body", "max_answers", "max_concurrency"):
            if getattr(self, name) < 1:
                msg = f"{name}={getattr(self, name)!r} cannot work."
                raise ConfigurationError(msg, remedy="Use 1 or more.")
        if not (self.seconds > 0 and math.isfinite(self.seconds)):
            msg = f"seconds={self.seconds!r} cannot work."
            raise ConfigurationError(msg, remedy="Use a positive number of seconds.")
        if self.token is not None and (
            not self.token.strip() or not self.token.isascii()
        ):
            # The value stays out of the message: it is a secret gone wrong.
            msg = "token is empty or not ASCII."
            raise ConfigurationError(msg, remedy="Give a token of letters.")


def redacted(text: str, token: str | None = None) -> str:
    """Take secrets out of a text that others will read.

    Args:
        text: Such as an error of a backend.
        token: The service's own token.

    Returns:
        The text without the token, without values of environment variables whose names
        say that they are secret, and without user names in addresses.
    """
    secrets = {v for k, v in os.environ.items() if _SECRET.search(k)} | {token or ""}
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, "***")
    return _USER.sub("***@", text)
