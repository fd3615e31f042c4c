"""What rules have in common: relations, units, places."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

__all__ = [
    "MOST",
    "Counted",
    "Literally",
    "Plain",
    "Relation",
    "Scope",
    "Unit",
    "Worded",
]

Relation = Literal[
    "exactly", "at_least", "at_most", "less_than", "more_than", "between", "about"
]
"""How a count compares with `n`; `"about"` allows a tenth more or less."""

Unit = Literal[
    "words",
    "characters",
    "sentences",
    "paragraphs",
    "bullets",
    "numbered",
    "sections",
    "lines",
    "stanzas",
    "code_blocks",
    "headings",
    "highlights",
    "placeholders",
    "emojis",
    "capital_words",
]
"""What is counted."""

Scope = Literal[
    "response",
    "paragraph",
    "section",
    "bullet",
    "item",
    "line",
    "stanza",
    "sentence",
    "code_block",
]
"""Where: the whole response, or every one of its parts of that kind."""

MOST = 1_000_000
_LONGEST = 20_000
_LONGEST_WORD = 1000


class Plain(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def describe(self) -> str:
        """Say in words what is asked for."""
        raise NotImplementedError


class Counted(Plain):
    relation: Relation = "exactly"
    n: int = Field(default=1, ge=0, le=MOST)
    n_max: int | None = Field(default=None, ge=0, le=MOST)

    @model_validator(mode="after")
    def _range(self) -> Self:
        ordered = self.n_max is not None and self.n_max >= self.n
        if self.relation == "between" and not ordered:
            msg = f"between needs n_max of at least n={self.n}, not {self.n_max}"
            raise ValueError(msg)
        if self.relation != "between" and self.n_max is not None:
            msg = f"n_max={self.n_max} has no meaning with relation={self.relation!r}"
            raise ValueError(msg)
        return self

    def holds(self, seen: int) -> bool:
        """Compare a count with what is asked for."""
        high = self.n if self.n_max is None else self.n_max
        tenth = self.n / 10
        return {
            "exactly": seen == self.n,
            "at_least": seen >= self.n,
            "at_most": seen <= self.n,
            "less_than": seen < self.n,
            "more_than": seen > self.n,
            "between": self.n <= seen <= high,
            "about": abs(seen - self.n) <= tenth,
        }[self.relation]

    def wanted(self) -> str:
        """Say the relation and its number in words."""
        number = f"{self.n} to {self.n_max}" if self.relation == "between" else self.n
        relation = "" if self.relation == "between" else self.relation
        return f"{relation.replace('_', ' ')} {number}".strip()


class Literally(Plain):
    text: str = Field(min_length=1, max_length=_LONGEST)

    @field_validator("text")
    @classmethod
    def _visible(cls, value: str) -> str:
        if not value.strip():
            msg = "text is blank"
            raise ValueError(msg)
        return value


class Worded(Literally):
    # Its search costs the length of the text times that of the answer.
    text: str = Field(min_length=1, max_length=_LONGEST_WORD)
