"""The rules of the reward, one by one; the official values are in test_fidelity.py."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace
from typing import ClassVar

import pytest

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm_webshop.catalogue import Files, read_products
from langchain_agentrm_webshop.goals import Goal
from langchain_agentrm_webshop.reward import COLOURS, plain_colour, reward
from langchain_agentrm_webshop.taggers import RuleTagger, get_tagger

ENTRY = {
    "asin": "B000000001",
    "name": "Red Walking Shoes",
    "full_description": "Soft and light.",
    "small_description": ["Rubber sole.", "Quick drying"],
    "pricing": "$20.00",
    "category": "fashion",
    "query": "walking shoes",
    "product_category": "Shoes \u203a Women \u203a Walking",
    "images": [""],
    "customization_options": {"Size": [{"value": "7.5 / Wide"}]},
}
PRODUCT = read_products(
    Files([ENTRY], {"B000000001": {"attributes": ["machine washable"]}}, {})
)[0]
GOAL = Goal(
    asin="B000000001",
    category="fashion",
    query="walking shoes",
    name="Red Walking Shoes",
    product_category="Shoes \u203a Women \u203a Walking",
    instruction="walking shoes",
    attributes=("rubber sole", "washable machine"),
    price_upper=30.0,
    options=("7.5 wide", "red"),
)
NOUNS = (("red", "shoes"), ("red", "shoes"))


def judge(goal=GOAL, product=PRODUCT, price=20.0, options=None, nouns=NOUNS):
    return reward(product, goal, price, options or {}, nouns)


def test_all_parts() -> None:
    full = judge(options={"size": "7.5 | wide", "color": "washed red"})
    # "washed red" holds "ash", which comes before "red".
    assert (full.attributes, full.options, full.price) == (2, 1, True)
    assert full.value == pytest.approx(4 / 5)
    assert judge(options={"size": "7.5 wide", "color": "red"}).value == 1.0
    assert judge().value == pytest.approx(3 / 5)
    assert judge(price=30.0).price
    assert not judge(price=30.01).price


def test_attributes_are_looked_for_in_the_texts_too() -> None:
    goal = replace(GOAL, options=())
    for wanted, found in {
        "soft and": 1,
        "sole. quick": 1,
        "walking shoes": 1,
        "leather": 0,
        "machine wash": 1,
    }.items():
        assert judge(replace(goal, attributes=(wanted,))).attributes == found, wanted


def test_options_of_made_up_goals() -> None:
    goal = replace(GOAL, options={"size": "small", "color": "red"})
    assert judge(goal, options={"color": "dark red"}).options == 0
    assert judge(goal, options={"color": "red"}).options == 1
    # A size is compared as "size small", which "small" alone is contained in.
    assert judge(goal, options={"size": "small"}).options == 1
    assert judge(goal, options={"size": "smaller"}).options == 0


@pytest.mark.parametrize(
    ("bought", "wanted", "same_query", "same_path", "factor"),
    [
        (("a",), ("a",), True, True, 1.0),
        (("a",), ("a", "b", "c", "d", "e"), False, False, 0.5),
        (("a",), ("a", "b", "c", "d"), False, False, 1.0),
        (("a",), ("a", "b", "c", "d", "e"), False, True, 1.0),
        (("a",), ("a", *"bcdefghijkl"), True, True, 0.1),
        (("x",), ("a", "b"), True, True, 0.0),
        ((), (), False, False, 0.5),
        (("a", "a"), ("a", "a", "a"), False, False, 1.0),
    ],
)
def test_kind_of_product(bought, wanted, same_query, same_path, factor) -> None:
    product = replace(
        PRODUCT,
        query="walking shoes" if same_query else "boots",
        product_category="Women \u203aShoes" if same_path else "Shoes \u203a Men",
    )
    judged = judge(product=product, nouns=(bought, wanted))
    assert judged.type == factor
    assert (judged.query, judged.category) == (same_query, same_path)


def test_colours() -> None:
    assert list(COLOURS) == sorted(COLOURS)
    assert len(COLOURS) == 102
    assert plain_colour("washed") == "ash"
    assert plain_colour("dark navy") == "dark"
    assert plain_colour("Red") == "Red"


def test_the_rule_tagger() -> None:
    nouns = RuleTagger().nouns
    assert nouns("Women's D.O.N. 2 Soft Slip-On Shoes for the Gym (Red), 2pcs") == (
        *("women", "d.o.n.", "slip", "shoes", "gym", "red"),
    )
    assert nouns("Nail polish & more nail polish") == ("nail", "polish") * 2
    assert nouns("") == ()
    assert nouns("\x00 \u6253\u5f00 \U0001f6aa") == ("\u6253\u5f00",)


def test_spacy_is_asked_where_it_is_installed(monkeypatch) -> None:
    words = [("Red", "PROPN"), ("walking", "VERB"), ("Shoes", "NOUN"), ("2", "NUM")]
    tokens = [SimpleNamespace(text=text, pos_=tag) for text, tag in words]

    class Pipeline:
        meta: ClassVar = {"lang": "en", "name": "core_web_sm", "version": "9.9.9"}

        def __call__(self, title):
            return tokens if title == "Red walking Shoes 2" else []

    loaded = []
    spacy = SimpleNamespace(load=lambda name: loaded.append(name) or Pipeline())
    monkeypatch.setitem(sys.modules, "spacy", spacy)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    get_tagger.cache_clear()
    tagger = get_tagger("auto")
    assert loaded == ["en_core_web_sm"]
    assert tagger.name == "spacy:en_core_web_sm-9.9.9"
    assert tagger.nouns("Red walking Shoes 2") == ("red", "shoes")
    get_tagger("spacy:other")
    assert loaded == ["en_core_web_sm", "other"]
    get_tagger.cache_clear()


def test_taggers_by_name() -> None:
    assert get_tagger("rule") is get_tagger("rule")
    assert get_tagger("auto").name.startswith(("rule", "spacy:"))
    with pytest.raises(ConfigurationError, match=r"'nltk'.*'rule'"):
        get_tagger("nltk")
    with pytest.raises(ConfigurationError, match=r"no_such_model.*tagger='rule'"):
        get_tagger("spacy:no_such_model")
