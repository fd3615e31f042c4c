"""Page texts and what can be clicked on them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from langchain_agentrm_webshop.catalogue import Product

__all__ = [
    "BACK",
    "BUY",
    "NEXT",
    "PREVIOUS",
    "SUB_PAGES",
    "Page",
    "done_page",
    "item_page",
    "results_page",
    "search_page",
    "sub_page",
]

BACK, NEXT, PREVIOUS, BUY = "back to search", "next >", "< prev", "buy now"
SUB_PAGES = ("description", "features", "reviews", "attributes")

_BLANKS = " \t\n\r\f"
_HEAD = "Instruction:"
_FORGERY = str.maketrans(
    {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "'": "\\u0027"}
)


class Page(NamedTuple):
    """A page as the agent sees it.

    Attributes:
        text: Its segments, joined.
        clickables: What `click[...]` takes, each with what it does: `""` for a button,
            `"asin"` for a product, `"=name"` for a value of the option `name`.
    """

    text: str
    clickables: Mapping[str, str]


def search_page(instruction: str) -> Page:
    """Make the page of a new session."""
    text = _join(["WebShop", _HEAD, instruction, "Search"])
    return Page(text, {"search": ""})


def results_page(
    instruction: str, products: Sequence[Product], number: int, total: int
) -> Page:
    """A page of hits.

    Args:
        instruction: What the shopper reads.
        products: The hits of this page.
        number: Which page it is; the official engine lets it run past both ends.
        total: How many hits there are.
    """
    buttons = [BACK, *([PREVIOUS] if number > 1 else []), NEXT]
    parts = [_HEAD, instruction, "Back to Search"]
    parts.append(f"Page {number} (Total results: {total})")
    parts += [*(["< Prev"] if number > 1 else []), "Next >"]
    for product in products:
        parts += [product.asin, product.name, product.price_tag]
    return Page(
        _join(parts),
        dict.fromkeys(buttons, "") | {p.asin.lower(): "asin" for p in products},
    )


def item_page(instruction: str, product: Product, *, attributes: bool) -> Page:
    """A product's page. What was chosen does not show, as in the official text mode.

    Args:
        instruction: What the shopper reads.
        product: The product.
        attributes: Whether the page of its attributes can be opened.
    """
    parts = [_HEAD, instruction, "Back to Search", "< Prev"]
    clickables = dict.fromkeys([BACK, PREVIOUS], "")
    for name, values in product.options.items():
        parts += [name, *values]
    subs = SUB_PAGES if attributes else SUB_PAGES[:-1]
    clickables |= dict.fromkeys([*subs, BUY], "")
    for name, values in product.options.items():
        clickables |= dict.fromkeys(values, f"={name}")
    parts += [product.name, f"Price: {product.price_tag}", "Rating: N.A."]
    parts += [*map(str.title, subs), "Buy Now"]
    return Page(_join(parts), clickables)


def sub_page(instruction: str, product: Product, which: str) -> Page:
    """One of a product's further pages.

    Args:
        instruction: What the shopper reads.
        product: The product.
        which: One of `SUB_PAGES`.
    """
    content: list[str] = []
    if which == "description":
        content = [product.description]
    elif which == "features":
        content = [f" {bullet}" for bullet in product.bullets]
    elif which == "attributes":
        content = [f" {attribute}" for attribute in product.attributes]
        content += [product.category, product.query, product.product_category]
    text = _join([_HEAD, instruction, "Back to Search", "< Prev", *content])
    return Page(text, dict.fromkeys([BACK, PREVIOUS], ""))


def done_page(asin: str, options: Mapping[str, str], reward: float) -> Page:
    """The page after a purchase, which shows the reward.

    The official text mode hands none of the goal to this page, so that most of its
    fields are empty.
    """
    chosen = json.dumps(options, sort_keys=True).translate(_FORGERY)
    text = _join(
        [
            *("Thank you for shopping with us!", "Your code:", "None"),
            *("(Paste it in your MTurk interface.)", "Purchased", "asin", asin),
            *("options", chosen, "attrs", "None", "category", "None", "query", "None"),
            *("product category", "None", "Target", "asin", "options", "attrs"),
            *("price upper", "instuction text", "category", "product category"),
            *("query", "Goal", "None", "Reward", "Your score (min 0.0, max 1.0)"),
            *(str(reward), "Reward Details", "None"),
        ]
    )
    return Page(text, {})


def _join(parts: Iterable[str]) -> str:
    return " [SEP] ".join(
        part.strip() for part in parts if part.strip(_BLANKS) or _shows_blank(part)
    )


def _shows_blank(part: str) -> bool:
    """Tell whether a blank text still takes a segment, an empty one.

    The official engine reads its pages back from HTML, where a text of blanks alone
    becomes one blank, or, if it has a line break, one line break; only the latter and
    an empty text are left out.
    """
    return bool(part) and "\n" not in part
