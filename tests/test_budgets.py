"""What a search may spend."""

from __future__ import annotations

import pytest

from langchain_agentrm.budgets import Budget, Price
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.types import Usage


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


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
def test_money_that_buys_nothing_is_refused(value):
    with pytest.raises(ConfigurationError, match="money="):
        Budget(money=value, policy_price=Price(1.0))


def test_money_needs_a_price():
    with pytest.raises(ConfigurationError, match="policy_price"):
        Budget(money=1.0)


@pytest.mark.parametrize("name", ["input", "output", "cached"])
@pytest.mark.parametrize("value", [-0.1, float("inf"), float("nan")])
def test_a_negative_price_is_refused(name, value):
    with pytest.raises(ConfigurationError, match=name):
        Price(**{name: value})


def test_tokens_are_priced_by_kind():
    usage = Usage(1, input_tokens=3_000_000, output_tokens=500_000)
    warm = Usage(1, 3_000_000, 500_000, cached_tokens=2_000_000)
    price = Price(input=2.0, output=8.0, cached=0.5)
    assert price.of(usage) == 10.0
    assert price.of(warm) == 7.0
    assert Price(input=2.0, output=8.0).of(warm) == 10.0
    both = Budget(policy_price=price, reward_price=Price(input=1.0))
    assert both.cost(usage, usage) == 13.0
    assert Budget().cost(usage, usage) == 0.0


def test_money_is_a_limit_like_the_others():
    budget = Budget(money=0.5, policy_price=Price(1.0))
    spent = {"requests": 10**9, "tokens": 10**9, "seconds": 1e9}
    assert budget.exhausted(**spent, money=0.49) is None
    assert budget.exhausted(**spent, money=0.5) == "money"
