"""The reward of a purchase, as WebShop defines it.

`reward = type * (attributes + options + price) / (|attributes| + |options| + 1)`, with
what the official engine counts as a match. The nouns of both titles are inputs, because
they come from a tagger, and taggers differ; see `langchain_agentrm_webshop.taggers`.
Source: Yao et al., WebShop (2022), and the engine published with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langchain_agentrm_webshop.catalogue import Product
    from langchain_agentrm_webshop.goals import Goal

__all__ = ["COLOURS", "Reward", "plain_colour", "reward", "similar", "type_factor"]

_COLOUR_WORDS = """
alabaster apricot aqua ash asphalt azure banana beige black blue blush bordeaux
bronze brown burgundy camel camo caramel champagne charcoal cheetah chestnut
chocolate christmas coffee cognac copper coral cranberry cream crystal dark denim
eggplant elephant espresso fuchsia gold granite grape graphite grass gray green grey
heather indigo ivory ivy khaki lavender lemon leopard light lilac lime magenta
maroon mauve merlot midnight mint mocha multicolor mushroom mustard natural navy
nude olive orange peach pewter pink plum purple rainbow red rose royal rust sand
sapphire seashell silver skull slate steel stone stonewash sunflower tan taupe teal
tiger turquoise violet walnut wheat white wine yellow
"""
COLOURS = tuple(_COLOUR_WORDS.split())
"""Words that stand for a whole option value that contains them, the first one wins."""

_COLOUR_SET = frozenset(COLOURS)
_ARROW = "\u203a"
_SIMILAR = 85


@dataclass(frozen=True, slots=True)
class Reward:
    """A purchase's reward and its parts.

    Attributes:
        value: The reward, 0 to 1.
        type: Factor for the kind of product: 1, 0.5, 0.1 or 0.
        attributes: Goal attributes that the product has.
        options: Goal options that were chosen.
        price: Whether the price is within the limit.
        title: Share of the goal title's nouns in the product's title; 0.2 if it has
            none.
        query: Whether both products came from one query.
        category: Whether they share two parts of their category path.
    """

    value: float
    type: float
    attributes: int
    options: int
    price: bool
    title: float
    query: bool
    category: bool

    def details(self) -> dict[str, float | int | bool]:
        """Return the parts as plain JSON."""
        return asdict(self)


def reward(
    product: Product,
    goal: Goal,
    price: float,
    options: Mapping[str, str],
    nouns: tuple[Sequence[str], Sequence[str]],
) -> Reward:
    """Judge a purchase.

    Args:
        product: What was bought.
        goal: What was asked for.
        price: The product's drawn price, in dollars.
        options: The option values chosen, by option name.
        nouns: The lower-cased nouns of the product's title and of the goal's, repeats
            kept.

    Returns:
        The reward and its parts.
    """
    found = sum(_has_attribute(product, wanted) for wanted in goal.attributes)
    chosen = _count_options(options.values(), goal.options)
    affordable = price <= goal.price_upper
    factor, title, query, category = type_factor(product, goal, nouns)
    points = found + chosen + affordable
    parts = len(goal.attributes) + len(goal.options) + 1
    return Reward(
        value=points / parts * factor,
        type=factor,
        attributes=found,
        options=chosen,
        price=affordable,
        title=title,
        query=query,
        category=category,
    )


def type_factor(
    product: Product, goal: Goal, nouns: tuple[Sequence[str], Sequence[str]]
) -> tuple[float, float, bool, bool]:
    """Judge whether a product is of the kind that was asked for.

    Returns:
        The factor, the title score, and whether query and category match.
    """
    bought, wanted = nouns
    title = len({*bought} & {*wanted}) / len(wanted) if wanted else 0.2
    query = product.query == goal.query
    common = _path(product.product_category) & _path(goal.product_category)
    category = len(common) >= 2  # noqa: PLR2004 - as the engine has it
    # Titles without a common noun are worth nothing even where query and category
    # agree: the engine applies the last two rules whatever the first one found.
    factor = 1.0 if query or category or title > 0.2 else 0.5  # noqa: PLR2004
    if title < 0.1:  # noqa: PLR2004
        factor = 0.1
    if title == 0.0:
        factor = 0.0
    return factor, title, query, category


@lru_cache(maxsize=65_536)
def similar(one: str, two: str) -> bool:
    """Tell whether two short texts have nearly the same words."""
    # Loaded here: naming tasks needs no text comparison.
    from thefuzz import fuzz  # type: ignore[import-untyped]

    return bool(fuzz.token_set_ratio(one, two) > _SIMILAR)


@lru_cache(maxsize=65_536)
def plain_colour(value: str) -> str:
    """Replace a value by the alphabetically first colour word contained in it.

    Letters count, not words: "washed" holds "ash".
    """
    return next((colour for colour in COLOURS if colour in value), value)


def _has_attribute(product: Product, wanted: str) -> bool:
    return any(similar(had, wanted) for had in product.attributes) or any(
        wanted in text for text in product.texts
    )


def _count_options(
    chosen: Iterable[str], wanted: Mapping[str, str] | Sequence[str]
) -> int:
    values = [plain_colour(value) for value in chosen]
    if isinstance(wanted, Mapping):
        goals = [_pair(name, value) for name, value in wanted.items()]
    else:
        goals = [plain_colour(value) for value in wanted]
    return sum(any(similar(value, goal) for value in values) for goal in goals)


def _pair(name: str, value: str) -> str:
    """Read an option of a made-up goal as the engine does, which hands in a pair.

    A colour then replaces the pair only if it *is* the name or the value, and any other
    pair is compared as the text of both.
    """
    exact = sorted({name, value} & _COLOUR_SET)
    return exact[0] if exact else f"{name} {value}"


@lru_cache(maxsize=4096)
def _path(category: str) -> frozenset[str]:
    return frozenset(part.strip() for part in category.split(_ARROW))
