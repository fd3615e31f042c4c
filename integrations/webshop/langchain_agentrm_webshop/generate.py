"""A made-up catalogue in the official format, for where the official one is not.

Products come in families: one product and six siblings that differ from it in one
attribute, in colours or sizes on offer, or in the price. What a search reads (title,
description, first bullet, options) names only some attributes and never the price, as
with real products, so that the first hit is often not the best purchase.
"""

from __future__ import annotations

import random
import string
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from langchain_agentrm_webshop._kinds import BRANDS, COLOURS, KINDS, TRAITS, Kind
from langchain_agentrm_webshop.catalogue import Files

__all__ = ["FAMILIES", "generate"]

FAMILIES = 4
"""Families of seven products for each kind."""

_LETTERS = string.ascii_uppercase + string.digits
_LAST_CHEAP = 4
_PRAISE = ("A good choice", "Made to last", "Well loved", "A fine present")
_ASKS = (
    "i am looking for {kind} with {traits}{options}",
    "i need {traits} {kind}{options}",
    "find me {kind} that has {traits}{options}.",
    "i would like to buy {kind}, and it should be {traits}{options}",
    "can you get me {traits} {kind}{options}",
)


@lru_cache(maxsize=2)
def generate(seed: int = 0, families: int = FAMILIES) -> Files:
    """Make a catalogue: of 40 kinds, `families` families of seven products each.

    Args:
        seed: Another seed makes another catalogue.
        families: Families of each kind.

    Returns:
        Files as JSON would give them, with a made-up instruction for each product and
        two human goals for all but the dear ones, whose goals any sibling would meet.
    """
    rng = random.Random(f"webshop:{seed}")  # noqa: S311 - no secret
    drafts = [
        draft
        for kind in KINDS
        for family in range(families)
        for draft in _family(kind, family, rng)
    ]
    rng.shuffle(drafts)
    products, attributes, human = [], {}, {}
    for kind, entry in drafts:
        traits = entry.pop("traits")
        asin = "B0" + "".join(rng.choices(_LETTERS, k=8))
        products.append({"asin": asin, **entry})
        attributes[asin] = {
            "attributes": traits,
            "instruction": f"i am looking for {' '.join(traits[:2])} {kind.query}",
            "instruction_attributes": traits[:2],
        }
        if not entry.pop("dear"):
            human[asin] = [_instruction(kind, entry, traits, rng) for _ in range(2)]
    return Files(products, attributes, human)


def _family(
    kind: Kind, number: int, rng: random.Random
) -> list[tuple[Kind, dict[str, Any]]]:
    pool = list(TRAITS[kind.traits])
    rng.shuffle(pool)
    traits, others = pool[:4], pool[4:]
    colours = rng.sample(COLOURS, 4)
    rest = [colour for colour in COLOURS if colour not in colours]
    sizes = list(kind.sizes[1])
    low, high = kind.prices
    price = round(rng.uniform(low, high), 2)
    # The family's own product, and those that are off by one thing each.
    members = [
        (traits, colours, sizes, price),
        ([*traits[:-1], others[0]], colours, sizes, price),
        ([*traits[:-2], others[1], traits[-1]], colours, sizes, price),
        (traits, [*colours[:2], *rng.sample(rest, 2)], sizes, price),
        (traits, colours, rng.sample(sizes, len(sizes) - 2), price),
        (traits, colours, sizes, round(price * 1.2 + 45.0, 2)),
        (traits, colours, sizes, round(price * 1.4 + 50.0, 2)),
    ]
    use = kind.uses[number % len(kind.uses)]
    drafts = [_entry(kind, use, *member, rng) for member in members]
    return [(kind, {**d, "dear": i > _LAST_CHEAP}) for i, d in enumerate(drafts)]


def _entry(
    kind: Kind,
    use: str,
    traits: list[str],
    colours: Sequence[str],
    sizes: Sequence[str],
    price: float,
    rng: random.Random,
) -> dict[str, Any]:
    title = rng.choice(kind.titles)
    name = (
        f"{rng.choice(BRANDS)} {title} for {use}, {traits[0].title()}, "
        f"{rng.choice(sizes).title()}"
    )
    # Ranges and missing prices occur too, as in the official files.
    pricing = f"${price}"
    chance = rng.random()
    if chance < 0.1:  # noqa: PLR2004
        pricing = f"${price}${round(price + 4.0, 2)}"
    elif chance < 0.12:  # noqa: PLR2004
        pricing = ""
    return {
        "name": name,
        "full_description": f"{title} made for {use.lower()}. It comes in "
        f"{len(colours)} colors.",
        "small_description": [
            f"{rng.choice(_PRAISE)} for {use.lower()} and every day.",
            f"Also: {', '.join(rng.sample(traits, len(traits)))}.",
        ],
        "pricing": pricing,
        "category": kind.category,
        "query": kind.query,
        "product_category": kind.path,
        "images": [""],
        "customization_options": {
            "Color": [{"value": colour, "image": None} for colour in colours],
            kind.sizes[0]: [{"value": size, "image": None} for size in sizes],
        },
        "traits": traits,
    }


def _instruction(
    kind: Kind, entry: dict[str, Any], traits: list[str], rng: random.Random
) -> dict[str, Any]:
    wanted = rng.sample(traits, rng.choice((1, 2, 2, 3)))
    options, words = [], ""
    custom = entry["customization_options"]
    colour = rng.choice(custom["Color"])["value"]
    size = rng.choice(custom[kind.sizes[0]])["value"]
    chance = rng.random()
    if chance < 0.8:  # noqa: PLR2004
        options.append(colour)
        words += f", in {colour} color"
    if chance > 0.3:  # noqa: PLR2004
        options.append(size)
        words += f", and {kind.sizes[0]} {size}"
    text = rng.choice(_ASKS).format(
        kind=kind.query, traits=" and ".join(wanted), options=words
    )
    return {
        "instruction": text,
        "instruction_attributes": wanted,
        "instruction_options": options,
    }
