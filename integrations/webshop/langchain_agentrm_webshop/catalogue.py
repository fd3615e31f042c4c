"""Products as the official files describe them, and what is derived from them."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_agentrm.errors import ConfigurationError

__all__ = ["Catalogue", "Files", "Instruction", "Product", "load", "read_products"]

_NO_PRICE = 100.0
_ASIN_LENGTH = 10
_NOT_A_NUMBER = re.compile(r"[^\d.]")


@dataclass(frozen=True, slots=True)
class Instruction:
    """What a person wrote for a product.

    Attributes:
        text: The instruction, without a price.
        attributes: Attributes it asks for.
        options: Option values it asks for.
    """

    text: str
    attributes: tuple[str, ...]
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Product:
    """One product.

    Attributes:
        asin: Its id.
        name: Title.
        description: Long text.
        bullets: Short texts, shown as its features.
        category: Top category, such as `"beauty"`; a task's type.
        query: The query it was found by, in small letters.
        product_category: Path of categories, parted by single angle quotes.
        prices: One price, or the two ends of a range, in dollars; empty if unknown.
        price_tag: The price as a page shows it.
        options: Values to choose from, by option name, in small letters.
        attributes: What the product is known for; not shown.
        instruction: Text of its made-up goals, or None.
        instruction_attributes: Attributes these goals ask for.
        human: Goals written by people.
        texts: Title, bullets and description in small letters, searched for attributes.
    """

    asin: str
    name: str
    description: str
    bullets: tuple[str, ...]
    category: str
    query: str
    product_category: str
    prices: tuple[float, ...]
    price_tag: str
    options: Mapping[str, tuple[str, ...]]
    attributes: tuple[str, ...]
    instruction: str | None
    instruction_attributes: tuple[str, ...]
    human: tuple[Instruction, ...]
    texts: tuple[str, str, str]

    @property
    def document(self) -> str:
        """What the search engine reads."""
        options = ", and ".join(
            f"{name}: {', '.join(values)}" for name, values in self.options.items()
        )
        first = self.bullets[0] if self.bullets else ""
        return f"{self.name} {self.description} {first} {options}".lower()


@dataclass(frozen=True, slots=True)
class Files:
    """The contents of the three official files, as JSON gives them.

    Attributes:
        products: `items_shuffle.json`.
        attributes: `items_ins_v2.json`.
        human: `items_human_ins.json`.
    """

    products: Sequence[Mapping[str, Any]]
    attributes: Mapping[str, Mapping[str, Any]]
    human: Mapping[str, Sequence[Mapping[str, Any]]]

    def write(self, folder: Path) -> None:
        """Write them as the 1,000-product edition of the official files is named."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in (
            ("items_shuffle_1000.json", self.products),
            ("items_ins_v2_1000.json", self.attributes),
            ("items_human_ins.json", self.human),
        ):
            (folder / name).write_text(json.dumps(content), encoding="utf-8")


class Catalogue:
    """Products with the price that each was drawn.

    Args:
        products: The products, in the files' order.
        rng: Draws the price of each product that has a range, in that order. The
            official engine draws from Python's global stream; handed one in the same
            state, the prices are the same.
    """

    def __init__(self, products: Sequence[Product], rng: random.Random) -> None:
        self.products = tuple(products)
        self.by_asin = {product.asin: product for product in self.products}
        self.prices = {p.asin: _draw(p.prices, rng) for p in self.products}


def load(folder: Path) -> Files:
    """Read the official files of a folder.

    The full edition is preferred to that of 1,000 products.

    Raises:
        ConfigurationError: If a file is missing or no JSON.
    """
    parts = [
        _read(folder, ["items_shuffle.json", "items_shuffle_1000.json"]),
        _read(folder, ["items_ins_v2.json", "items_ins_v2_1000.json"]),
        _read(folder, ["items_human_ins.json"]),
    ]
    return Files(*parts)


def read_products(files: Files, limit: int | None = None) -> list[Product]:
    """Turn the files into products, dropping those that the official engine drops.

    Args:
        files: The files' contents.
        limit: How many entries of the product file to read; None means all.

    Raises:
        ConfigurationError: If an entry lacks a field.
    """
    out: dict[str, Product] = {}
    for i, entry in enumerate(files.products[:limit]):
        try:
            asin = str(entry["asin"])
            if asin == "nan" or len(asin) > _ASIN_LENGTH or asin in out:
                continue
            out[asin] = _product(
                asin, entry, files.attributes.get(asin, {}), files.human.get(asin, ())
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            msg = f"Entry {i} of the product file cannot be read: {error!r}."
            raise ConfigurationError(
                msg, remedy="Use WebShop's own files, or the same fields."
            ) from error
    return list(out.values())


def _read(folder: Path, names: Sequence[str]) -> Any:
    for name in names:
        path = folder / name
        if path.is_file():
            try:
                return json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                msg = f"{path} is no JSON: {error}."
                raise ConfigurationError(msg, remedy="Download it again.") from error
    msg = f"Folder {str(folder)!r} has none of {list(names)}."
    raise ConfigurationError(
        msg,
        remedy="Download WebShop's data there, or unset WEBSHOP_DATA for a generated "
        "catalogue.",
    )


def _product(
    asin: str,
    entry: Mapping[str, Any],
    known: Mapping[str, Any],
    human: Iterable[Mapping[str, Any]],
) -> Product:
    small = entry["small_description"]
    bullets = tuple(_text(b) for b in (small if isinstance(small, list) else [small]))
    name, description = _text(entry["name"]), _text(entry["full_description"])
    prices = _prices(entry.get("pricing"))
    return Product(
        asin=asin,
        name=name,
        description=description,
        bullets=bullets,
        category=_text(entry["category"]),
        query=_text(entry["query"]).lower().strip(),
        product_category=_text(entry["product_category"]),
        prices=prices[:2],
        price_tag=" to ".join(f"${price}" for price in prices[:2] or [_NO_PRICE]),
        options=_options(entry["customization_options"]),
        attributes=tuple(known.get("attributes", ("DUMMY_ATTR",))),
        instruction=known.get("instruction"),
        instruction_attributes=tuple(known.get("instruction_attributes") or ()),
        human=tuple(
            Instruction(
                text=item["instruction"],
                attributes=tuple(item["instruction_attributes"]),
                options=tuple(item["instruction_options"]),
            )
            for item in human
        ),
        texts=(name.lower(), " ".join(bullets).lower(), description.lower()),
    )


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _prices(pricing: str | None) -> tuple[float, ...]:
    if not pricing:
        return ()
    numbers = (_NOT_A_NUMBER.sub("", part) for part in pricing.split("$")[1:])
    return tuple(float(number) for number in numbers)


def _options(
    custom: Mapping[str, Sequence[Mapping[str, Any]] | None] | None,
) -> dict[str, tuple[str, ...]]:
    return {
        name.lower(): tuple(
            content["value"].strip().replace("/", " | ").lower() for content in contents
        )
        for name, contents in (custom or {}).items()
        if contents is not None
    }


def _draw(prices: Sequence[float], rng: random.Random) -> float:
    if not prices:
        return _NO_PRICE
    return prices[0] if len(prices) == 1 else rng.uniform(*prices)
