"""What a search may spend: one frozen value, checked before each wave."""

from __future__ import annotations

from dataclasses import dataclass

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.types import Usage

__all__ = ["Budget", "Price"]

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """What a model's tokens cost, as its provider lists them.

    Attributes:
        input: Money for a million tokens read.
        output: Money for a million tokens written.
        cached: Money for a million read from a cache; None: the same as `input`.

    Raises:
        ConfigurationError: If a price is negative.
    """

    input: float = 0.0
    output: float = 0.0
    cached: float | None = None

    def __post_init__(self) -> None:
        """Refuse prices that pay for being used."""
        for name in ("input", "output", "cached"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < float("inf"):
                msg = f"Price({name}={value!r}) is no price."
                raise ConfigurationError(
                    msg, remedy="Give money for a million tokens, 0 or more."
                )

    def of(self, usage: Usage) -> float:
        """Price a usage.

        Args:
            usage: Tokens read, from a cache and not, and written.

        Returns:
            Money, in the unit of the prices.
        """
        cached = self.input if self.cached is None else self.cached
        fresh = max(0, usage.input_tokens - usage.cached_tokens)
        return (
            fresh * self.input
            + usage.cached_tokens * cached
            + usage.output_tokens * self.output
        ) / _MILLION


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits of one search; None means no limit.

    A limit is checked before a step, so that the last step may overshoot it by what one
    step costs. LangGraph's recursion limit is no substitute: it is 10007 by default.

    Attributes:
        requests: Policy requests.
        tokens: Tokens of policy and reward model together, input and output.
        seconds: Wall-clock seconds since the search began.
        money: In the unit of the prices; needs at least one of them.
        policy_price: What the policy's tokens cost.
        reward_price: What the reward model's tokens cost; None: nothing.

    Raises:
        ConfigurationError: If a limit allows nothing, or money has no price.
    """

    requests: int | None = None
    tokens: int | None = None
    seconds: float | None = None
    money: float | None = None
    policy_price: Price | None = None
    reward_price: Price | None = None

    def __post_init__(self) -> None:
        """Refuse limits that allow nothing."""
        for name in ("requests", "tokens", "seconds", "money"):
            value = getattr(self, name)
            # Written so that NaN is refused too: it would compare as never reached.
            if value is not None and not value > 0:
                msg = f"Budget({name}={value!r}) allows nothing."
                raise ConfigurationError(
                    msg, remedy="Give a positive number, or None for no limit."
                )
        if self.money is not None and not self.priced:
            msg = f"Budget(money={self.money!r}) has no prices."
            raise ConfigurationError(
                msg,
                remedy="Give policy_price=Price(input=..., output=...), in money for "
                "a million tokens, and reward_price= where scoring costs too.",
            )

    @property
    def priced(self) -> bool:
        """Whether money can be counted."""
        return self.policy_price is not None or self.reward_price is not None

    def cost(self, policy: Usage, reward: Usage) -> float:
        """Price what a step used.

        Args:
            policy: Usage of the policy.
            reward: Usage of the reward model.

        Returns:
            Money, in the unit of the prices; 0 without prices.
        """
        pairs = ((self.policy_price, policy), (self.reward_price, reward))
        return sum(price.of(usage) for price, usage in pairs if price is not None)

    def exhausted(
        self, *, requests: int, tokens: int, seconds: float, money: float = 0.0
    ) -> str | None:
        """Name the first limit that was reached.

        Args:
            requests: Spent so far.
            tokens: Spent so far.
            seconds: Spent so far.
            money: Spent so far.

        Returns:
            `"requests"`, `"tokens"`, `"seconds"`, `"money"`, or None.
        """
        spent = {
            "requests": requests,
            "tokens": tokens,
            "seconds": seconds,
            "money": money,
        }
        for name, value in spent.items():
            limit = getattr(self, name)
            if limit is not None and value >= limit:
                return name
        return None
