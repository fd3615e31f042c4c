"""Reading the model's structured answers, strictly."""

from __future__ import annotations

import json
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from langchain_agentrm._asking import UnreadableAnswerError

__all__ = ["LONGEST_QUERY", "Differences", "Grades", "Queries", "read_json"]

LONGEST_QUERY = 400
"""Longest query that is passed on to a search, in characters."""

_SHOWN = 80

_Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class _Answer(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


class Differences(_Answer):
    """Where two answers differ; empty if nowhere."""

    differences: list[_Line]


class Queries(_Answer):
    """What to search for."""

    queries: list[
        Annotated[
            str,
            StringConstraints(
                strip_whitespace=True, min_length=1, max_length=LONGEST_QUERY
            ),
        ]
    ] = Field(min_length=1)


_Grade = Annotated[int, Field(ge=1, le=10)]


class Grades(_Answer):
    """How far the evidence supports each answer; no grades if it settles nothing."""

    reason: str = ""
    answer_1: _Grade | None
    answer_2: _Grade | None


A = TypeVar("A", bound=_Answer)


def read_json(text: str, form: type[A]) -> A:
    """Read the last JSON object in a model's answer.

    Args:
        text: The answer; what stands around the object is left aside.
        form: What the object must be.

    Returns:
        The object.

    Raises:
        UnreadableAnswerError: If there is none, or it is of another form.
    """
    decoder = json.JSONDecoder()
    last: object = None
    at = text.find("{")
    while at >= 0:
        try:
            last, end = decoder.raw_decode(text, at)
        except ValueError:
            end = at + 1
        except RecursionError as error:
            msg = "it nests too deep"
            raise UnreadableAnswerError(msg) from error
        at = text.find("{", end)
    if last is None:
        tail = text.strip()[-_SHOWN:]
        msg = f"it holds no JSON object: {tail!r}" if tail else "it is empty"
        raise UnreadableAnswerError(msg)
    try:
        return form.model_validate(last)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        shown = repr(first.get("input"))[:_SHOWN]
        msg = f"its {where} is {shown}: {first['msg']}"
        raise UnreadableAnswerError(msg) from error
