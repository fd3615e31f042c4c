"""Goals: what a shopper is asked to buy, in the official order."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from langchain_agentrm_webshop.catalogue import Catalogue, Product

__all__ = ["NO_LIMIT", "Goal", "make_goals"]

NO_LIMIT = 1_000_000.0
"""Price limit of a goal that names none, in dollars."""

_SHUFFLE = 233
_LIMITS = tuple(10.0 * i for i in range(1, 100))


@dataclass(frozen=True, slots=True)
class Goal:
    """One instruction and what its reward looks for.

    Attributes:
        asin: The product it was written for. Others may earn the full reward too.
        category: That product's top category.
        query: Its query.
        name: Its title.
        product_category: Its path of categories.
        instruction: What the shopper reads.
        attributes: Attributes asked for.
        price_upper: Highest price, in dollars.
        options: Values asked for; for made-up goals, by option name.
        weight: How much it counts where the official engine draws goals.
    """

    asin: str
    category: str
    query: str
    name: str
    product_category: str
    instruction: str
    attributes: tuple[str, ...]
    price_upper: float
    options: Mapping[str, str] | tuple[str, ...]
    weight: float = 1.0


def make_goals(
    catalogue: Catalogue, rng: random.Random, *, human: bool = True
) -> list[Goal]:
    """Make all goals of a catalogue, in the order of the official engine.

    That order is fixed. The limits are not: the official engine draws them anew in each
    process, here they come from `rng`.

    Args:
        catalogue: Products and prices.
        rng: Draws the limits; for the official stream, the one that drew the prices.
        human: Goals written by people, or made-up ones, one for each combination of
            option values.
    """
    make = _human if human else _synthetic
    goals = make(catalogue, rng)
    random.Random(_SHUFFLE).shuffle(goals)  # noqa: S311 - the official order
    return goals


def _human(catalogue: Catalogue, rng: random.Random) -> list[Goal]:
    goals = []
    for product in catalogue.products:
        for instruction in product.human:
            if not instruction.attributes:
                continue
            limit, text = _limit(catalogue.prices[product.asin], rng)
            goals.append(
                _goal(
                    product,
                    instruction.text.strip(".") + text,
                    instruction.attributes,
                    limit,
                    instruction.options,
                )
            )
    return goals


def _synthetic(catalogue: Catalogue, rng: random.Random) -> list[Goal]:
    drafts = []
    counts: Counter[str] = Counter()
    for product in catalogue.products:
        if product.instruction is None or not product.instruction_attributes:
            continue
        limit, price = _limit(catalogue.prices[product.asin], rng)
        names = sorted(product.options)
        for values in itertools.product(*(product.options[name] for name in names)):
            options = dict(zip(names, values, strict=True))
            wanted = ", and ".join(f"{k}: {v}" for k, v in options.items())
            text = product.instruction + (f" with {wanted}" if wanted else "") + price
            drafts.append((product, text, limit, options))
            counts.update(product.instruction_attributes)
    return [
        _goal(product, text, product.instruction_attributes, limit, options, counts)
        for product, text, limit, options in drafts
    ]


def _limit(price: float, rng: random.Random) -> tuple[float, str]:
    """Draw a price limit a little above the price, and its words."""
    above = [limit for limit in _LIMITS if limit > price][:4]
    if len(above) < 2:  # noqa: PLR2004 - two are drawn, the larger one stands
        return NO_LIMIT, ""
    limit = max(rng.sample(above, 2))
    return limit, f", and price lower than {limit:.2f} dollars"


def _goal(
    product: Product,
    instruction: str,
    attributes: Sequence[str],
    limit: float,
    options: Mapping[str, str] | tuple[str, ...],
    counts: Mapping[str, int] | None = None,
) -> Goal:
    weight = 1.0
    if counts is not None:
        weight = sum(1.0 / counts[a] for a in attributes) / len(attributes)
    return Goal(
        asin=product.asin,
        category=product.category,
        query=product.query,
        name=product.name,
        product_category=product.product_category,
        instruction=instruction,
        attributes=tuple(attributes),
        price_upper=limit,
        options=options,
        weight=weight,
    )
