"""No answer, however made, keeps a check busy for long."""

from __future__ import annotations

import time

import pytest
from pydantic import ValidationError

from langchain_agentrm.reward_agent.rules import check, dsl, extract, parse_rules

LENGTH = 50_000
SECONDS = 10
"""CPU time for one check of one answer; the slowest took a thirtieth of that."""

# Each made so that a pattern can begin at every sign and fail only at the end.
PIECES = [
    "word ",
    "a",
    "1",
    " ",
    "\n",
    "\r\n",
    "\n\n \n",
    "a\n\n",
    "A\n",
    "- a\n",
    "- - ",
    "1. a\n",
    "(1",
    "# ",
    "***",
    "* ",
    "**a** ",
    "a*b*",
    "_",
    "-",
    "[a",
    "[",
    '{"a":',
    "<<a",
    "a>>",
    "| a |\n",
    "|-",
    "```\n",
    "a.",
    "...",
    "p.s",
    "'",
    '"',
    "\u200d",
    "\U0001f600",
    "\u0130",
]
ANSWERS = [
    ("x" if at % 2 else "") + (piece * LENGTH)[:LENGTH] + ("" if at % 2 else "x")
    for at, piece in enumerate(PIECES)
]
PARTS = [(p * LENGTH)[:LENGTH] for p in ("- A\n", "a\n\n", "1. a\n", "A\n", "a. ")]

WHOLE = [
    *(dsl.Count(unit=unit, n=3) for unit in dsl.Unit.__args__),
    dsl.Count(unit="sections", n=3, marker="Section"),
    dsl.Count(unit="sections", n=3, marker=" "),
    dsl.Count(unit="sections", n=3, marker="\n"),
    dsl.Count(unit="sections", n=3, marker="("),
    dsl.Count(unit="paragraphs", n=3, separator="***"),
    dsl.Count(unit="paragraphs", n=3, separator="* " * 50),
    dsl.Keyword(text="a?a?a?" + "a" * 900 + "b"),
    dsl.Keyword(text="." * 999 + "x"),
    dsl.Forbid(text="a a"),
    dsl.Frequency(text="a" * 999 + "b", n=2),
    dsl.Frequency(text="a " * 499 + "b", n=2),
    dsl.Letter(text="a", n=3),
    dsl.Without(text="a*"),
    dsl.Start(text="a"),
    dsl.End(text="a" * 20_000),
    dsl.Repeat(text="a" * 20_000),
    dsl.Label(text="a"),
    dsl.Template(text="{a} {b} {c} x"),
    dsl.Template(text="{a}{b}{c}{d}"),
    dsl.Template(text="#"),
    dsl.Template(text="# #"),
    dsl.Case(case="upper", english=True),
    dsl.Case(case="lower", english=True),
    dsl.Capitals(),
    *(
        dsl.Format(format=name)
        for name in ("json", "table", "divider", "angle_title", "capital_heading")
    ),
    dsl.Postscript(),
    dsl.Postscript(text="P.P.S"),
    dsl.Postscript(text="P." * 50),
    dsl.Quotation(),
    dsl.Language(language="en"),
    dsl.Options(options=("a" * 999 + "b",) * 100),
    dsl.Parts(),
    dsl.Parts(separator=" "),
    dsl.FirstWord(text="a", nth=1, paragraphs=2),
]
EACH = [
    *(
        dsl.Count(unit=unit, n=1, scope=scope)
        for unit in ("words", "sections")
        for scope in dsl.Scope.__args__
    ),
    *(
        kind(text="a", scope=scope)
        for kind in (dsl.Start, dsl.End)
        for scope in dsl.Scope.__args__
    ),
    *(dsl.Capitals(scope=scope) for scope in dsl.Scope.__args__),
]


def name(rule):
    return rule.describe()[:50]


def worst(rule, answers):
    seen = []
    for answer in answers:
        for profile in ("natural", "ifeval"):
            start = time.process_time()
            check(rule, answer, profile=profile)
            seen.append(time.process_time() - start)
    return max(seen)


def test_every_kind_of_rule_is_held_to_this():
    kinds = {rule.__class__ for rule in WHOLE}
    assert kinds == {*dsl.Rule.__args__} - {dsl.Unknown}


@pytest.mark.parametrize("rule", WHOLE, ids=name)
def test_the_whole_answer(rule):
    assert worst(rule, ANSWERS) < SECONDS


@pytest.mark.parametrize("rule", EACH, ids=name)
def test_each_of_many_parts(rule):
    assert worst(rule, PARTS) < SECONDS


@pytest.mark.parametrize("kind", [dsl.Keyword, dsl.Forbid, dsl.Frequency])
def test_a_word_has_an_end(kind):
    with pytest.raises(ValidationError, match="1000"):
        kind(text="a" * 1001)
    (rule,) = parse_rules([{"kind": "forbid", "text": "a" * 1001}])
    assert isinstance(rule, dsl.Unknown)


@pytest.mark.parametrize("word", ["a" * 2000, "'" + "a" * 2000 + "'"])
def test_a_word_too_long_to_be_one_is_not_read_out_of_a_request(word):
    assert extract(f"The word {word} should appear 3 times.") == []
    assert extract(f"Do not use the words {word} or {word}.") == []
    assert extract(f"Include the keywords {word} and {word}.") == []


def test_a_template_of_marks_alone_is_looked_for_as_it_stands():
    rule = dsl.Template(text="#", n=2)
    assert check(rule, "# a\n# b").passed is True
    assert check(rule, "# a\nb").passed is False


def test_a_blank_marker_names_nothing():
    rule = dsl.Count(unit="sections", n=2, marker=" ")
    assert check(rule, "## A\nx\n## B\ny").passed is True
    assert check(rule, "## A\nx").passed is False
