"""Rules: their JSON, what is read out of requests, how answers are held to them."""

from __future__ import annotations

import time

import pytest

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.reward_agent.rules import (
    Unknown,
    check,
    dsl,
    dump_rules,
    extract,
    parse_rules,
    rules_schema,
)


def passed(rule, answer, profile="natural"):
    return check(rule, answer, profile=profile).passed


def test_json_goes_in_and_out():
    rules = [
        dsl.Count(unit="words", relation="between", n=3, n_max=5),
        dsl.Frequency(text="oak", relation="at_least", n=2),
        dsl.Options(options=("yes", "no")),
        dsl.Format(format="json"),
    ]
    assert parse_rules(dump_rules(rules)) == rules
    assert dump_rules(rules)[1] == {
        "kind": "frequency",
        "text": "oak",
        "relation": "at_least",
        "n": 2,
    }
    assert "discriminator" in rules_schema()


@pytest.mark.parametrize(
    "given",
    [
        {"kind": "smell", "text": "roses"},
        {"kind": "count", "unit": "words", "n": "many"},
        {"kind": "count", "unit": "words", "relation": "between", "n": 5, "n_max": 3},
        {"kind": "keyword", "text": "  "},
        {"kind": "keyword", "text": "a", "colour": "red"},
        {"text": "a"},
        "keyword",
    ],
)
def test_what_is_no_rule_abstains_and_spoils_no_other(given):
    rules = parse_rules([given, {"kind": "keyword", "text": "oak", "scope": None}])
    assert isinstance(rules[0], Unknown)
    assert check(rules[0], "an oak").passed is None
    assert check(rules[0], "an oak").detail
    assert check(rules[1], "an oak").passed is True


@pytest.mark.parametrize("text", ["3", '"x"', "{}", "not json"])
def test_a_text_without_a_list_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        parse_rules(text)


def test_unknown_profile_is_refused():
    with pytest.raises(ConfigurationError, match="strict"):
        check(dsl.Quotation(), "x", profile="strict")


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        (dsl.Count(unit="words", relation="at_most", n=3), "one two three", "a b c d"),
        (dsl.Count(unit="words", relation="about", n=10), "w " * 11, "w " * 12),
        (dsl.Count(unit="sentences", n=2), "Dr. Lee ran. She won.", "She won."),
        (dsl.Count(unit="paragraphs", n=2), "One.\n\nTwo.", "One.\nTwo."),
        (dsl.Count(unit="bullets", n=2), "- a\n- b", "- a\n- b\n- c"),
        (dsl.Count(unit="numbered", n=2), "1. a\n2. b", "1. a"),
        (dsl.Count(unit="sections", n=2), "## A\nx\n## B\ny", "## A\nx"),
        (
            dsl.Count(unit="paragraphs", n=2, separator="***"),
            "a\n* * *\nb",
            "a\n\nb",
        ),
        (
            dsl.Count(unit="sentences", relation="at_most", n=1, scope="paragraph"),
            "One here.\n\nTwo here.",
            "One here. And more.\n\nTwo here.",
        ),
        (dsl.Count(unit="code_blocks", n=1), "```py\nx\n```", "x"),
        (dsl.Keyword(text="oak tree"), "An Oak\ntree.", "oaken trees"),
        (dsl.Forbid(text="oak"), "oaken", "an Oak!"),
        (dsl.Frequency(text="oak", n=2), "oak, OAK", "oak oak oak"),
        (dsl.Letter(text="z", relation="less_than", n=2), "zoo", "Zz"),
        (dsl.Without(text=","), "a b", "a, b"),
        (dsl.Start(text="Dear all"), "**Dear all**, hi", "Hello, Dear all"),
        (dsl.Start(text="If", scope="paragraph"), "If so, go.", "Iffy it is now."),
        (dsl.End(text="Bye!"), "So long. Bye!", "Bye! So long."),
        (dsl.Capitals(scope="bullet"), "- A\n- B", "- A\n- b"),
        (dsl.Label(text="NOTES"), "NOTES: x", "Notes: x"),
        (dsl.Template(text="Step {i}:", n=2), "Step 1: a\nStep 2: b", "Step 1: a"),
        (dsl.Case(case="upper"), "ABC", "ABc"),
        (dsl.Format(format="json"), '```json\n{"a": 1}\n```', "{a: 1}"),
        (dsl.Format(format="table"), "| a |\n|---|\n| 1 |", "| a |"),
        (dsl.Format(format="angle_title"), "<<Oaks>>", "<< >>"),
        (dsl.Format(format="divider"), "a\n---\nb", "a - b"),
        (dsl.Format(format="capital_heading"), "OAKS\nx", "Oaks\nx"),
        (dsl.Postscript(text="P.S."), "x\n\nPS: y", "Ps are fine, oops"),
        (dsl.Quotation(), '"x"', '"x'),
        (dsl.Options(options=("yes", "no")), "Yes.", "maybe"),
        (dsl.Parts(n=2, separator="******"), "a\n******\nb", "a\n******\na"),
        (
            dsl.FirstWord(text="oak", nth=2, paragraphs=2),
            "A.\n\nOak is.",
            "Oak.\n\nA.",
        ),
        (dsl.Repeat(text="Say oak."), "Say oak.\nOak.", "Oak. Say oak."),
    ],
)
def test_natural_profile(rule, good, bad):
    assert passed(rule, good) is True
    assert passed(rule, bad) is False
    assert rule.describe()


@pytest.mark.parametrize(
    ("request_", "rules"),
    [
        (
            "Name trees in at most twelve words.",
            [dsl.Count(unit="words", relation="at_most", n=12)],
        ),
        (
            "Write 100-150 words about oaks.",
            [dsl.Count(unit="words", relation="between", n=100, n_max=150)],
        ),
        (
            "Explain oaks in exactly 2 paragraphs, each with no more than 3 sentences.",
            [
                dsl.Count(unit="sentences", relation="at_most", n=3, scope="paragraph"),
                dsl.Count(unit="paragraphs", n=2),
            ],
        ),
        (
            "Include the keywords 'oak' and \u201celm\u201d.",
            [dsl.Keyword(text="oak"), dsl.Keyword(text="elm")],
        ),
        (
            "Do not use the words 'oak' or 'elm'.",
            [
                dsl.Forbid(text="oak"),
                dsl.Forbid(text="elm"),
            ],
        ),
        (
            "The word 'oak' should appear at least 3 times.",
            [dsl.Frequency(text="oak", relation="at_least", n=3)],
        ),
        (
            "The letter q should appear less than 2 times.",
            [dsl.Letter(text="q", relation="less_than", n=2)],
        ),
        ("Avoid commas.", [dsl.Without(text=",")]),
        (
            "Tell of oaks. End your answer with 'Plant one!'",
            [dsl.End(text="Plant one!")],
        ),
        ("Reply in French only.", [dsl.Language(language="fr")]),
        (
            "Wrap your entire response with double quotation marks.",
            [dsl.Quotation()],
        ),
        ("Which oaks live longest, and why?", []),
        ("Why are there 12 months in a year?", []),
    ],
)
def test_extraction(request_, rules):
    assert extract(request_) == rules


def test_a_bare_number_of_times_is_a_choice():
    request = "The word 'oak' should appear 3 times."
    assert extract(request) == [dsl.Frequency(text="oak", n=3)]
    (rule,) = extract(request, bare_frequency="at_least")
    assert rule.relation == "at_least"


HOSTILE = ["(", "a", "\n", " ", "***", "1 word ", "the word 'a' ", "**a** ", "<<", "[a"]


@pytest.mark.parametrize("piece", HOSTILE)
def test_no_text_takes_for_ever(piece):
    text = (piece * 5000)[:5000]
    rules = [
        dsl.Template(text="{a} {b} {c} x"),
        dsl.Format(format="table"),
        dsl.Format(format="angle_title"),
        dsl.Postscript(),
        *(dsl.Count(unit=unit, n=3) for unit in ("bullets", "sections", "sentences")),
    ]
    start = time.process_time()
    extract(text)
    for rule in rules:
        check(rule, text)
        if rule.kind != "count" or rule.unit != "sentences":
            check(rule, text, profile="ifeval")
    assert time.process_time() - start < 20
