"""Our engine against facts that the official one recorded (`fidelity/record.py`)."""

from __future__ import annotations

import pytest

from integrations.webshop.tests import parity
from integrations.webshop.tests.parity import (
    KINDS,
    compare_rewards,
    compare_walks,
    new_report,
    record,
    shop,
    short,
)
from langchain_agentrm_webshop.reward import type_factor
from langchain_agentrm_webshop.taggers import RuleTagger


@pytest.fixture(params=KINDS)
def kind(request) -> str:
    return request.param


def test_prices_and_goals_are_the_official_ones(kind) -> None:
    facts, ours = record()[kind], shop(kind)
    assert ours.catalogue.prices == facts["prices"]
    seen = [[short(g.instruction), g.price_upper, g.asin, g.weight] for g in ours.goals]
    assert seen == facts["goals"]


def test_rewards_are_the_official_ones(kind) -> None:
    report = new_report()
    values = compare_rewards(report, kind)
    assert report.differences == []
    assert report.details["purchases"] >= 1000
    assert {0.0, 0.1, 0.5, 1.0} <= {factor for _, factor in values}
    assert len(values) > 20


def test_a_difference_is_noticed(monkeypatch) -> None:
    changed = {**record(), "human": {**record()["human"]}}
    first = list(changed["human"]["rewards"][0])
    first[4] += 0.5
    changed["human"]["rewards"] = [first]
    monkeypatch.setattr(parity, "record", lambda: changed)
    report = new_report()
    compare_rewards(report, "human")
    assert len(report.differences) == 1
    assert report.finish(None) == 1


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
    report = new_report()
    places = compare_walks(report, kind)
    assert report.differences == []
    assert report.episodes >= 100
    assert places == {"search", "search_results", "item_page", "item_sub_page", "done"}
