"""The profile `ifeval` gives the official verdicts."""

from __future__ import annotations

import json
from collections import defaultdict
from importlib.util import find_spec
from pathlib import Path

import pytest

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.reward_agent.rules import (
    IFEVAL_IDS,
    _natural,
    _official,
    check,
    dsl,
    from_ifeval,
)

ROWS = [
    json.loads(line)
    for line in (Path(__file__).parent / "data" / "ifeval_verdicts.jsonl")
    .read_text("utf-8")
    .splitlines()
]
BY_ID = defaultdict(list)
for row in ROWS:
    BY_ID[row["id"]].append(row)
IDS = 25


def verdict(row):
    rules = from_ifeval(row["id"], row["kwargs"])
    passed = [check(rule, row["answer"], profile="ifeval").passed for rule in rules]
    if False in passed:
        return False
    return None if None in passed else True


def test_every_id_is_in_the_fixture_with_both_verdicts():
    assert set(BY_ID) == set(IFEVAL_IDS)
    assert len(IFEVAL_IDS) == IDS
    for rows in BY_ID.values():
        assert {row["official"] for row in rows} == {True, False}


@pytest.mark.parametrize("name", IFEVAL_IDS)
def test_agrees_with_the_official_verifier(name):
    needs = {
        "language:response_language": "langdetect",
        "change_case:english_capital": "langdetect",
        "change_case:english_lowercase": "langdetect",
        "change_case:capital_word_frequency": "nltk",
        "length_constraints:number_sentences": "nltk",
    }.get(name)
    if needs and find_spec(needs) is None:
        pytest.skip(f"{needs} is not installed")
    if name.endswith("number_sentences") and _official._punkt() is None:
        pytest.skip("nltk's punkt_tab data is not installed")
    for row in BY_ID[name]:
        assert verdict(row) is row["official"], row


@pytest.mark.parametrize("module", [_official, _natural])
def test_abstains_without_a_language_detector(module, monkeypatch):
    def missing(text):
        raise ImportError

    monkeypatch.setattr(module, "language_of", missing)
    rule = dsl.Language(language="fr")
    seen = module.decide(rule, "Bonjour tout le monde")
    assert seen.passed is None
    assert "langchain-agentrm[ifeval]" in seen.detail


def test_abstains_without_punkt(monkeypatch):
    monkeypatch.setattr(_official, "_punkt", lambda: None)
    rule = dsl.Count(unit="sentences", n=1)
    seen = check(rule, "One.", profile="ifeval")
    assert seen.passed is None
    assert "punkt_tab" in seen.detail


def test_a_sign_that_is_no_letter_is_counted_as_given():
    arguments = {"letter": "#", "let_frequency": 2, "let_relation": "at least"}
    (rule,) = from_ifeval("keywords:letter_frequency", arguments)
    assert check(rule, "#a #b", profile="ifeval").passed is True
    assert check(rule, "#a b", profile="ifeval").passed is False


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("keywords:unheard_of", {}),
        ("keywords:existence", {}),
        ("length_constraints:number_words", {"num_words": 3, "relation": "near"}),
        ("language:response_language", {"language": "not a code"}),
    ],
)
def test_what_cannot_be_told_is_refused(name, arguments):
    with pytest.raises(ConfigurationError, match=name):
        from_ifeval(name, arguments)


def test_arguments_that_are_none_are_left_out():
    arguments = {"num_words": 3, "relation": "at least", "keyword": None}
    (rule,) = from_ifeval("length_constraints:number_words", arguments)
    assert rule == dsl.Count(unit="words", relation="at_least", n=3)
