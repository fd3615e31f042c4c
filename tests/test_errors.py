"""Errors name the remedy, and tell whether a retry can help."""

from __future__ import annotations

import pytest

from langchain_agentrm import errors
from langchain_agentrm.errors import AgentRMError, is_retryable


class _Remote(Exception):
    def __init__(self, **fields):
        self.__dict__.update(fields)


@pytest.mark.parametrize("name", [n for n in errors.__all__ if n.endswith("Error")])
def test_every_error_carries_message_remedy_and_default(name):
    error = getattr(errors, name)("It broke.", remedy="Mend it.")
    assert str(error) == "It broke. Mend it."
    assert error.remedy == "Mend it."
    assert isinstance(error, AgentRMError)
    assert not is_retryable(error)


def test_an_error_may_be_marked_retryable():
    assert is_retryable(errors.RewardModelError("down", retryable=True))
    assert not errors.RewardModelError("down").retryable


@pytest.mark.parametrize(
    ("error", "helps"),
    [
        (_Remote(is_retryable=True), True),
        (_Remote(is_retryable=False, status_code=500), False),
        (_Remote(status_code=429), True),
        (_Remote(status_code=503), True),
        (_Remote(status_code=400), False),
        (_Remote(status_code=401), False),
        (ConnectionResetError("x"), True),
        (TimeoutError("x"), True),
        (ValueError("x"), False),
        (KeyboardInterrupt(), False),
    ],
)
def test_retry_helps_only_where_the_cause_may_pass(error, helps):
    assert is_retryable(error) is helps


def test_configuration_errors_are_value_errors_and_unknown_tasks_lookups():
    assert issubclass(errors.ConfigurationError, ValueError)
    assert issubclass(errors.UnknownTaskError, LookupError)
