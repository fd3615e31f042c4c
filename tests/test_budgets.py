"""What a search may spend."""

from __future__ import annotations

import pytest

from langchain_agentrm.budgets import Budget
from langchain_agentrm.errors import ConfigurationError


@pytest.mark.parametrize("name", ["requests", "tokens", "seconds"])
@pytest.mark.parametrize("value", [0, -1])
def test_a_limit_that_allows_nothing_is_refused(name, value):
    with pytest.raises(ConfigurationError, match=f"{name}={value}"):
        Budget(**{name: value})


@pytest.mark.parametrize("name", ["requests", "tokens", "seconds"])
def test_a_limit_is_named_when_it_is_reached_and_not_before(name):
    spent = {"requests": 0, "tokens": 0, "seconds": 0.0}
    budget = Budget(**{name: 10})
    assert budget.exhausted(**{**spent, name: 9}) is None
    assert budget.exhausted(**{**spent, name: 10}) == name
    assert Budget().exhausted(requests=10**9, tokens=10**9, seconds=1e9) is None
