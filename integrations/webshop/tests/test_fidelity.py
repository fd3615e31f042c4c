"""Our engine against facts that the official one recorded (`fidelity/record.py`)."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import random
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace

import pytest

from langchain_agentrm_webshop._session import Session, Visit
from langchain_agentrm_webshop.catalogue import Catalogue, Files, read_products
from langchain_agentrm_webshop.goals import make_goals
from langchain_agentrm_webshop.reward import reward, type_factor
from langchain_agentrm_webshop.settings import Settings
from langchain_agentrm_webshop.shop import Shop
from langchain_agentrm_webshop.taggers import RuleTagger

KINDS = ["human", "synthetic"]
RECORD = Path(__file__).parent / "fidelity" / "record.json.gz"


def short(text: str) -> str:
    return hashlib.blake2s(text.encode("utf-8", "replace"), digest_size=6).hexdigest()


@lru_cache(maxsize=1)
def record():
    # A longer record, made as that script says, can be named in its place.
    path = Path(os.environ.get("WEBSHOP_RECORD", RECORD))
    return json.loads(gzip.decompress(path.read_bytes()))


@lru_cache(maxsize=2)
def shop(kind: str) -> Shop:
    """A shop over the recorded catalogue, with the recorded hits and nouns."""
    facts = record()
    made = Shop.__new__(Shop)
    made.settings = Settings(human=kind == "human", show_attributes=kind == "synthetic")
    rng = random.Random(facts["seed"])
    made.catalogue = Catalogue(read_products(Files(*facts["files"])), rng)
    made.goals = make_goals(made.catalogue, rng, human=kind == "human")
    made._nouns = lambda title: tuple(facts["nouns"][title])
    made._index = SimpleNamespace(search=lambda words: facts["hits"][words])
    made._lock = SimpleNamespace(__enter__=None, __exit__=None)
    return made


@pytest.fixture(params=KINDS)
def kind(request) -> str:
    return request.param


@pytest.fixture(autouse=True)
def recorded_hits(monkeypatch):
    monkeypatch.setattr(Shop, "index", property(lambda self: self._index))


def test_prices_and_goals_are_the_official_ones(kind) -> None:
    facts, ours = record()[kind], shop(kind)
    assert ours.catalogue.prices == facts["prices"]
    seen = [[short(g.instruction), g.price_upper, g.asin, g.weight] for g in ours.goals]
    assert seen == facts["goals"]


def test_rewards_are_the_official_ones(kind) -> None:
    facts, ours = record(), shop(kind)
    values = set()
    for place, asin, price, options, value, *parts in facts[kind]["rewards"]:
        product, goal = ours.catalogue.by_asin[asin], ours.goals[place]
        nouns = (facts["nouns"][product.name], facts["nouns"][goal.name])
        judged = reward(product, goal, price, options, nouns)
        assert judged.value == value, (goal, product, options)
        assert [
            judged.type,
            judged.title,
            judged.price,
            judged.query,
            judged.category,
        ] == parts
        values.add((value, judged.type))
    assert {0.0, 0.1, 0.5, 1.0} <= {factor for _, factor in values}
    assert len(values) > 20
    assert len(facts[kind]["rewards"]) >= 1000


def test_the_rule_tagger_comes_close_to_the_official_one() -> None:
    facts, ours, tag = record(), shop("human"), RuleTagger().nouns
    same = zero = pairs = 0
    for product in ours.catalogue.products:
        for goal in ours.goals[::4]:
            titles = (product.name, goal.name)
            theirs = tuple(facts["nouns"][title] for title in titles)
            official, *_ = type_factor(product, goal, theirs)
            rule, *_ = type_factor(product, goal, tuple(map(tag, titles)))
            same += rule == official
            zero += (rule == 0.0) == (official == 0.0)
            pairs += 1
    print(f"{pairs} pairs: factor {same / pairs:.3f}, zero or not {zero / pairs:.3f}")
    assert same / pairs > 0.95
    assert zero / pairs > 0.95


def test_pages_clickables_and_ends_are_the_official_ones(kind) -> None:
    places = set()
    for place, steps in record()[kind]["walks"]:
        session, visit = Session(shop(kind), shop(kind).goals[place]), Visit()
        assert short(session.page(visit).text) == steps[0][1]
        done = 0
        for action, text, names, value, over in steps[1:]:
            bought = visit.reward
            visit, _ = session.act(visit, action)
            page = session.page(visit)
            assert short(page.text) == text, (action, page.text)
            assert short("|".join(page.clickables)) == names, (action, page)
            ended = visit.reward is not None and visit.reward is not bought
            assert ended == over, action
            assert (visit.reward.value if ended else 0) == value
            done += ended
            places.add(visit.place)
    assert places == {"search", "search_results", "item_page", "item_sub_page", "done"}
    assert len(record()[kind]["walks"]) >= 100
