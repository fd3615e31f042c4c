"""A request while rules are read out of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from langchain_agentrm.reward_agent.rules.dsl import Relation, Rule

__all__ = ["LIST", "QUOTED", "Reader", "quoted", "relation_before"]

_NUMBERS = [
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
]
_UNIT_WORDS = (
    "words?|sentences?|paragraphs?|bullets?|sections?|lines?|stanzas?|steps?|items?"
    "|points?|times|placeholders?|parts?|tips|verses|code|chapters?|headings?|emojis?"
    "|characters?|responses|answers"
)
_NUMBER = re.compile(
    rf"\b({'|'.join(_NUMBERS)}|single)\b(?=[\w\s\-*]{{0,25}}\b(?:{_UNIT_WORDS})\b)",
    re.IGNORECASE,
)
_PLAIN = str.maketrans(
    {
        "\u2018": "'",
        "\u2019": "'",
        "\u201c": '"',
        "\u201d": '"',
        "\u2013": "-",
        "\u2014": "-",
    }
)

QUOTED = (
    r"(?:(?<!\w)'[^'\n]{1,60}(?:'s [^'\n]{1,40})?'(?!\w)|\"[^\"\n]{1,80}\""
    r"|\{[^{}\n]{1,60}\}|<<[^<>\n]{1,80}>>|\*\*[^*\n]{1,60}\*\*)"
)
"""A text in quotation marks, braces, angular brackets or bold type."""

LIST = rf"[\[(]?{QUOTED}(?:(?:,? ?(?:and|or|&) |, ?| )(?:the word )?{QUOTED})*[\])]?"
"""One or more of them."""

_EACH = re.compile(QUOTED)

_WORDS: Sequence[tuple[str, Relation]] = (
    (
        (
            r"(?:no|not) (?:fewer|less) than|at least|at minimum|a? ?minimum of"
            r"|more than or equal to|at the least"
        ),
        "at_least",
    ),
    (
        (
            r"no more than|not more than|at most"
            r"|(?:a |the )?max(?:imum)?(?: length)?(?: of)?|up to"
            r"|not exceed(?:ing)?|not be (?:over|more than)"
            r"|no longer than|not longer than|not be longer than"
            r"|limit(?:ed)?[\w\s]{0,25} to|within|or less than"
        ),
        "at_most",
    ),
    (r"fewer than|less than|under|below|shorter than", "less_than"),
    (r"more than|over|greater than|above|longer than", "more_than"),
    (r"about|around|approximately|roughly|nearly|circa", "about"),
    (r"exactly|precisely", "exactly"),
)
_RELATIONS = tuple(
    (re.compile(rf"(?:{words})[\s(]*(?:a total of |the |only |just )?$"), relation)
    for words, relation in _WORDS
)
_BEFORE = 40


@dataclass(slots=True)
class Reader:
    """The request, the rules found, and what of the text they took.

    Attributes:
        text: The request with plain quotation marks, and numbers as digits.
        original: The request as given.
        rules: What was found, in order, each once.
    """

    text: str
    original: str
    rules: list[Rule] = field(default_factory=list)
    _taken: list[tuple[int, int]] = field(default_factory=list)

    @classmethod
    def of(cls, request: str) -> Reader:
        """Make a reader of a request."""
        text = request.translate(_PLAIN)
        return cls(_NUMBER.sub(_digits, text), request)

    def add(self, rule: Rule) -> None:
        """Keep a rule, if it is new."""
        if rule not in self.rules:
            self.rules.append(rule)

    def take(self, match: re.Match[str]) -> None:
        """Mark a part of the text as read, so that no other pattern reads it again."""
        self._taken.append(match.span())

    def free(self, match: re.Match[str]) -> bool:
        """Tell whether nothing of a match was read before."""
        start, end = match.span()
        return all(end <= a or b <= start for a, b in self._taken)

    def before(self, match: re.Match[str], length: int = _BEFORE) -> str:
        """Give the text just before a match."""
        return self.text[max(0, match.start() - length) : match.start()]


def _digits(match: re.Match[str]) -> str:
    word = match.group(1).lower()
    return "1" if word == "single" else str(_NUMBERS.index(word) + 1)


def quoted(text: str) -> list[str]:
    """Give the texts within quotation marks and the like, without those marks."""
    found = [m.group(0) for m in _EACH.finditer(text)]
    bare = [q.strip("'\"{}<>*").strip().rstrip(",.").strip() for q in found]
    return [q for q in bare if q]


def relation_before(clause: str) -> Relation | None:
    """Read the relation that stands right before a number.

    Args:
        clause: The text up to the number.

    Returns:
        The relation; None if none is named.
    """
    tail = clause[-_BEFORE:].lower()
    for pattern, relation in _RELATIONS:
        if pattern.search(tail):
            return relation
    return None
