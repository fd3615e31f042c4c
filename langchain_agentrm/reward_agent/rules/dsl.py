"""Rules that an answer can be held to, as plain data.

A rule is a small JSON object with a `kind`. It is never code: an extractor, a model or
a user writes it, and `check` decides it. The format is our own; the paper's method
writes Python functions instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from langchain_agentrm.reward_agent.rules._base import (
    MOST,
    Counted,
    Literally,
    Plain,
    Relation,
    Scope,
    Unit,
    Worded,
)

__all__ = [
    "Capitals",
    "Case",
    "Count",
    "End",
    "FirstWord",
    "Forbid",
    "Format",
    "Frequency",
    "Keyword",
    "Label",
    "Language",
    "Letter",
    "Options",
    "Parts",
    "Postscript",
    "Quotation",
    "Relation",
    "Repeat",
    "Rule",
    "Scope",
    "Start",
    "Template",
    "Unit",
    "Unknown",
    "Without",
]

_UNITS: Mapping[str, str] = {
    "bullets": "bullet points",
    "numbered": "list items",
    "code_blocks": "code blocks",
    "highlights": "highlighted parts",
    "placeholders": "placeholders in square brackets",
    "capital_words": "words in capital letters",
}


def _where(scope: str) -> str:
    return "" if scope == "response" else f" in each {scope.replace('_', ' ')}"


class Count(Counted):
    """So many of a unit, in the response or in each of its parts.

    Attributes:
        unit: What is counted.
        relation: How the count compares with `n`.
        n: The number.
        n_max: Upper end with `"between"`.
        scope: Where.
        separator: What stands between paragraphs, where the request names it.
        marker: Word that opens each section before its number, where named.
    """

    kind: Literal["count"] = "count"
    unit: Unit
    scope: Scope = "response"
    separator: str = Field(default="", max_length=100)
    marker: str = Field(default="", max_length=100)

    def describe(self) -> str:
        """Say in words what is asked for."""
        unit = _UNITS.get(self.unit, self.unit)
        extra = f", separated by {self.separator!r}" if self.separator else ""
        extra += f", each opened by {self.marker!r}" if self.marker else ""
        return f"{self.wanted()} {unit}{_where(self.scope)}{extra}"


class Keyword(Worded):
    """The text occurs, in any case of letters."""

    kind: Literal["keyword"] = "keyword"

    def describe(self) -> str:
        """Say in words what is asked for."""
        return f"the keyword {self.text!r}"


class Forbid(Worded):
    """The word or phrase does not occur as such."""

    kind: Literal["forbid"] = "forbid"

    def describe(self) -> str:
        """Say in words what is asked for."""
        return f"without the word {self.text!r}"


class Frequency(Counted, Worded):
    """The word or phrase occurs so many times."""

    kind: Literal["frequency"] = "frequency"

    def describe(self) -> str:
        """Say in words what is asked for."""
        return f"the word {self.text!r} {self.wanted()} times"


class Letter(Counted, Literally):
    """The character occurs so many times, in either case."""

    kind: Literal["letter"] = "letter"
    text: str = Field(min_length=1, max_length=1)

    def describe(self) -> str:
        """Say in words what is asked for."""
        return f"the letter {self.text!r} {self.wanted()} times"


class Without(Literally):
    """None of these characters occurs."""

    kind: Literal["without"] = "without"

    def describe(self) -> str:
        """Say in words what is asked for."""
        return f"without the characters {self.text!r}"


class Start(Literally):
    """The response, or each of its parts, starts with the text."""

    kind: Literal["start"] = "start"
    scope: Scope = "response"

    def describe(self) -> str:
        """Say in words what is asked for."""
        return f"starts with {self.text!r}{_where(self.scope)}"


class End(Literally):
    """The response, or each of its parts, ends with the text."""

    kind: Literal["end"] = "end"
    scope: Scope = "response"

    def describe(self) -> str:
        """Say in words what is asked for."""
        return f"ends with {self.text!r}{_where(self.scope)}"


class Repeat(Literally):
    """The response opens with the request, word for word."""

    kind: Literal["repeat"] = "repeat"

    def describe(self) -> str:
        """Say in words what is asked for."""
        return f"repeats the request first: {self.text[:60]!r}"


class Label(Literally):
    """A title or label occurs; one in capitals occurs in capitals."""

    kind: Literal["label"] = "label"

    def describe(self) -> str:
        """Say in words what is asked for."""
        return f"the label {self.text!r}"


class Template(Literally):
    """A text with `{slots}` occurs, each slot filled, at least `n` times."""

    kind: Literal["template"] = "template"
    n: int = Field(default=1, ge=1, le=MOST)

    def describe(self) -> str:
        """Say in words what is asked for."""
        return f"the template {self.text!r}, filled, at least {self.n} times"


class Case(Plain):
    """All letters are of one case; `english` asks for the language as well."""

    kind: Literal["case"] = "case"
    case: Literal["upper", "lower"]
    english: bool = False

    def describe(self) -> str:
        """Say in words what is asked for."""
        return f"all in {self.case} case{' and in English' if self.english else ''}"


class Capitals(Plain):
    """Each part starts with a capital letter."""

    kind: Literal["capitals"] = "capitals"
    scope: Scope = "item"

    def describe(self) -> str:
        """Say in words what is asked for."""
        return f"each {self.scope} starts with a capital letter"


class Format(Plain):
    """The response is JSON, or has a table, a divider, a title and the like."""

    kind: Literal["format"] = "format"
    format: Literal["json", "table", "divider", "angle_title", "capital_heading"]

    def describe(self) -> str:
        """Say in words what is asked for."""
        return {
            "json": "the whole response is JSON",
            "table": "a Markdown table",
            "divider": "a Markdown divider",
            "angle_title": "a title in double angular brackets",
            "capital_heading": "a heading in capital letters",
        }[self.format]


class Postscript(Literally):
    """There is a postscript; `text` is how it is marked."""

    kind: Literal["postscript"] = "postscript"
    text: str = Field(default="P.S.", min_length=1, max_length=100)

    def describe(self) -> str:
        """Say in words what is asked for."""
        return f"a postscript marked {self.text!r}"


class Quotation(Plain):
    """The whole response is within double quotation marks."""

    kind: Literal["quotation"] = "quotation"

    def describe(self) -> str:
        """Say in words what is asked for."""
        return "the whole response in double quotation marks"


class Language(Plain):
    """The response is in the language of that ISO 639-1 code."""

    kind: Literal["language"] = "language"
    language: str = Field(pattern=r"^[a-z]{2,3}(-[A-Za-z]{2,4})?$")

    def describe(self) -> str:
        """Say in words what is asked for."""
        return f"in the language {self.language!r}"


class Options(Plain):
    """The response says one of these options."""

    kind: Literal["options"] = "options"
    options: tuple[Annotated[str, Field(min_length=1, max_length=1000)], ...] = Field(
        min_length=1, max_length=100
    )

    def describe(self) -> str:
        """Say in words what is asked for."""
        return "one of " + ", ".join(repr(option) for option in self.options)


class Parts(Plain):
    """The response is `n` different parts with a separator between them."""

    kind: Literal["parts"] = "parts"
    n: int = Field(default=2, ge=2, le=1000)
    separator: str = Field(default="******", min_length=1, max_length=100)

    def describe(self) -> str:
        """Say in words what is asked for."""
        return f"{self.n} different responses separated by {self.separator!r}"


class FirstWord(Literally):
    """Of `paragraphs` paragraphs, the nth starts with the word."""

    kind: Literal["first_word"] = "first_word"
    nth: int = Field(ge=1, le=1000)
    paragraphs: int = Field(ge=1, le=1000)

    def describe(self) -> str:
        """Say in words what is asked for."""
        return (
            f"{self.paragraphs} paragraphs, number {self.nth} starting with "
            f"{self.text!r}"
        )


class Unknown(Plain):
    """What was given in place of a rule; every check of it abstains.

    Attributes:
        given: What was given.
        why: Why it is no rule.
    """

    kind: Literal["unknown"] = "unknown"
    given: str = ""
    why: str = ""

    def describe(self) -> str:
        """Say in words what was given."""
        return f"an unknown rule: {self.given[:120]}"


Rule = (
    Count
    | Keyword
    | Forbid
    | Frequency
    | Letter
    | Without
    | Start
    | End
    | Repeat
    | Label
    | Template
    | Case
    | Capitals
    | Format
    | Postscript
    | Quotation
    | Language
    | Options
    | Parts
    | FirstWord
    | Unknown
)
"""Any rule."""
