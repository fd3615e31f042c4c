"""Official files, the generated catalogue in the same format, and goals."""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from pathlib import Path

import pytest

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm_webshop import Settings, WebShopFactory, factory
from langchain_agentrm_webshop.catalogue import Catalogue, Files, load, read_products
from langchain_agentrm_webshop.expert import demonstrate
from langchain_agentrm_webshop.generate import generate
from langchain_agentrm_webshop.goals import NO_LIMIT, make_goals
from langchain_agentrm_webshop.shop import open_shop

DATA = Path(os.environ.get("WEBSHOP_TEXTS", "../shared/data/webshop"))


def rng():
    return random.Random(0)


def test_what_is_written_is_read_again(tmp_path) -> None:
    files = generate(3, families=1)
    files.write(tmp_path)
    assert load(tmp_path) == files
    assert json.loads(json.dumps(files.products)) == list(files.products)


def test_a_folder_named_by_the_environment(tmp_path, monkeypatch) -> None:
    generate(3, families=1).write(tmp_path)
    monkeypatch.setenv("WEBSHOP_DATA", str(tmp_path))
    from_variable = WebShopFactory()
    assert len(from_variable.shop.catalogue.products) == 280
    assert WebShopFactory(data=str(tmp_path)).shop.goals == from_variable.shop.goals
    monkeypatch.delenv("WEBSHOP_DATA")
    assert len(from_variable.shop.catalogue.products) == 1120


def test_the_full_edition_is_preferred_and_may_be_cut(tmp_path) -> None:
    files = generate(3, families=1)
    files.write(tmp_path)
    full = [{**p, "name": "From the full edition"} for p in files.products]
    (tmp_path / "items_shuffle.json").write_text(json.dumps(full), encoding="utf-8")
    shop = open_shop(Settings(data=str(tmp_path), products=7))
    assert len(shop.catalogue.products) == 7
    assert {p.name for p in shop.catalogue.products} == {"From the full edition"}


def test_missing_and_broken_files_say_so(tmp_path) -> None:
    with pytest.raises(ConfigurationError, match=r"items_shuffle\.json.*WEBSHOP_DATA"):
        load(tmp_path)
    (tmp_path / "items_shuffle.json").write_text("[{", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="is no JSON"):
        load(tmp_path)
    with pytest.raises(ConfigurationError, match=r"Entry 0 .*'name'"):
        read_products(Files([{"asin": "B1", "small_description": []}], {}, {}))


def test_what_is_dropped_and_how_it_is_read() -> None:
    entry = dict(generate(0).products[0])
    entries = [
        {**entry, "asin": "nan"},
        {**entry, "asin": "B0123456789"},
        {**entry, "asin": "B1", "pricing": "$1,050.50", "query": " Area RUG "},
        {**entry, "asin": "B1", "name": "again"},
        {**entry, "asin": "B2", "pricing": "$5.50 to $20.10 to $30"},
        {**entry, "asin": "B3", "pricing": None, "small_description": "one"},
        {
            **entry,
            "asin": "B4",
            "customization_options": {"Size": None, "COLOR": [{"value": " Red/Blue "}]},
        },
    ]
    one, two, three, four = read_products(Files(entries, {}, {}))
    assert (one.prices, one.price_tag, one.query) == ((1050.5,), "$1050.5", "area rug")
    assert (two.prices, two.price_tag) == ((5.5, 20.1), "$5.5 to $20.1")
    assert (three.prices, three.price_tag) == ((), "$100.0")
    assert three.bullets == ("one",)
    assert three.attributes == ("DUMMY_ATTR",)
    assert four.options == {"color": ("red | blue",)}
    prices = Catalogue([one, two, three], rng()).prices
    assert (prices["B1"], prices["B3"]) == (1050.5, 100.0)
    assert 5.5 <= prices["B2"] <= 20.1
    assert prices == Catalogue([one, two, three], rng()).prices


def test_goals_keep_their_order_whatever_the_seed() -> None:
    products = read_products(generate(0))
    seen = []
    for seed in (1, 2):
        stream = random.Random(seed)
        seen.append(make_goals(Catalogue(products, stream), stream))
    assert [g.asin for g in seen[0]] == [g.asin for g in seen[1]]
    assert [g.price_upper for g in seen[0]] != [g.price_upper for g in seen[1]]
    catalogue = Catalogue(products, rng())
    for goal in make_goals(catalogue, rng()):
        above = goal.price_upper - catalogue.prices[goal.asin]
        assert 10 < above <= 40
        assert goal.instruction.endswith(
            f", and price lower than {goal.price_upper:.2f} dollars"
        )


def test_a_dear_product_has_no_limit() -> None:
    entry = {**generate(0).products[0], "asin": "B1", "pricing": "$980.00"}
    human = {"B1": [generate_human()]}
    products = read_products(Files([entry], {}, human))
    [goal] = make_goals(Catalogue(products, rng()), rng())
    assert goal.price_upper == NO_LIMIT
    assert goal.instruction == "Buy it"


def generate_human():
    return {
        "instruction": ".Buy it..",
        "instruction_attributes": ["soft"],
        "instruction_options": [],
    }


def test_the_generated_catalogue() -> None:
    shop = factory.shop
    products = shop.catalogue.products
    assert len(products) == 1120
    assert all(len(p.asin) == 10 and p.asin.isupper() for p in products)
    assert {len(places) for places in shop.by_category.values()} == {320}
    # Every product has siblings that a search by its kind finds beside it.
    assert min(Counter(p.query for p in products).values()) == 28
    assert sum(len(p.prices) == 2 for p in products) > 50
    assert any(not p.prices for p in products)
    assert generate(0) is generate(0)
    assert generate(1).products != generate(0).products


def test_the_first_hit_is_often_not_the_best() -> None:
    full = total = 0.0
    tasks = factory.tasks("test", factory.types("all"))
    for task in tasks:
        env = factory.make()
        env.reset(task)
        env.step(env.actions()[0])
        first = env.actions()[2]
        env.step(first)
        for value in env.goal.options:
            env.step(f"click[{value}]")
        score = env.step("click[buy now]").score
        full += score == 1.0
        total += score
    assert 0.2 < full / len(tasks) < 0.5
    assert 0.5 < total / len(tasks) < 0.85


@pytest.mark.parametrize("human", [True, False])
def test_the_expert_earns_everything(human) -> None:
    shops = WebShopFactory(human=human)
    tasks = shops.tasks("train", shops.types("all"), 200)
    shown = [shops.demonstrate(task) for task in tasks]
    assert all(d is not None and d.success and len(d.steps) <= 10 for d in shown)


def test_a_demonstration_can_be_repeated() -> None:
    task = factory.tasks("train", limit=3)[2]
    shown = demonstrate(task)
    env = factory.make()
    observation = env.reset(task).observation
    for before, action in shown.steps:
        assert before == observation
        observation = env.step(action).observation
    assert "Your score (min 0.0, max 1.0) [SEP] 1.0" in observation


def test_a_product_that_cannot_be_found_gives_no_demonstration(tmp_path) -> None:
    files = generate(3, families=1)
    nameless = [{**p, "name": "the", "pricing": None} for p in files.products]
    bare = {a: {**v, "attributes": ["of"]} for a, v in files.attributes.items()}
    human = {
        a: [{**i, "instruction_attributes": ["of"]} for i in v]
        for a, v in files.human.items()
    }
    Files(nameless, bare, human).write(tmp_path)
    shops = WebShopFactory(data=str(tmp_path))
    assert shops.demonstrate(shops.tasks("train", limit=1)[0]) is None


@pytest.mark.skipif(
    not (DATA / "human_goals.json").is_file(),
    reason="set WEBSHOP_TEXTS to a folder with WebShop's human_goals.json and "
    "goal_query_map.json",
)
def test_real_instructions_and_queries() -> None:
    goals = json.loads((DATA / "human_goals.json").read_text(encoding="utf-8"))
    queries = json.loads((DATA / "goal_query_map.json").read_text(encoding="utf-8"))
    # ETO's index lists count on this many goals.
    assert len(goals) == 12_087
    env = factory.make()
    env.reset(factory.tasks("test", limit=1)[0])
    found = 0
    for text in [q for some in queries.values() for q in some][:300] + goals[:300]:
        branch = env.fork()
        assert branch.step(f"search[{text}]").info["valid"]
        found += len(branch.actions()) > 2
    assert found > 500
