"""The error model: every failure names the thing, the value and the remedy.

Vocabulary:

- A *configuration* mistake (wrong option, unknown task, headless checkpoint) raises at
  once and is never retried.
- A *remote* failure (policy or reward-model server) is retried by whoever owns the
  connection, and only if a retry can help (`is_retryable`).
- A *bad candidate or rollout* is data: it travels as `Candidate.error` or `Score.error`
  and never cancels its siblings. It becomes an exception only when nothing is left.
"""

from __future__ import annotations

__all__ = [
    "AgentRMError",
    "BudgetExceededError",
    "CheckpointError",
    "ConfigurationError",
    "EnvironmentFailedError",
    "ForkError",
    "NoCandidateError",
    "PolicyError",
    "ReplayMismatchError",
    "RewardModelError",
    "UnknownTaskError",
    "is_retryable",
]


class AgentRMError(Exception):
    """Base of all errors of this package.

    Attributes:
        retryable: Whether the same call may succeed when repeated.
        remedy: What the caller can do about it, one sentence.
    """

    retryable: bool = False

    def __init__(
        self, message: str, *, remedy: str = "", retryable: bool | None = None
    ) -> None:
        """Join message and remedy into the text that a user reads."""
        super().__init__(f"{message} {remedy}".strip())
        self.remedy = remedy
        if retryable is not None:
            self.retryable = retryable


class ConfigurationError(AgentRMError, ValueError):
    """An option or a combination of options that cannot work."""


class UnknownTaskError(AgentRMError, LookupError):
    """A task, task type, split or environment that does not exist."""


class CheckpointError(AgentRMError):
    """A model folder that lacks a part, or whose parts disagree."""


class PolicyError(AgentRMError):
    """The policy gave no usable answer at all."""


class NoCandidateError(PolicyError):
    """The policy answered, but nothing in its answers is an action."""


class RewardModelError(AgentRMError):
    """The reward model gave no usable score at all."""


class EnvironmentFailedError(AgentRMError):
    """The engine behind an environment raised."""


class ForkError(AgentRMError):
    """The environment's state can be neither copied nor replayed."""


class ReplayMismatchError(ForkError):
    """A replay of recorded actions showed other observations than recorded."""


class BudgetExceededError(AgentRMError):
    """A budget was spent before there was any result to return."""


def is_retryable(error: BaseException) -> bool:
    """Tell whether repeating the call that raised `error` may succeed.

    One predicate for LangGraph's `RetryPolicy(retry_on=)`, tenacity's
    `retry_if_exception` and LangChain's `ModelRetryMiddleware(retry_on=)`. Knows this
    package's errors, LangChain's model errors (429, 5xx, time-outs and lost connections
    are retryable; 400, 401 and context overflow are not) and the standard library's
    connection errors.

    Args:
        error: The exception that was raised.

    Returns:
        True if a retry can help.
    """
    if isinstance(error, AgentRMError):
        return error.retryable
    flag = getattr(error, "is_retryable", None)
    if isinstance(flag, bool):
        return flag
    status = getattr(error, "status_code", None)
    if isinstance(status, int):
        return status in {408, 409, 429} or status >= 500  # noqa: PLR2004
    return isinstance(error, ConnectionError | TimeoutError)
