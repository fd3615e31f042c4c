"""Rows of a benchmark's file, each with the line where it begins."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from langchain_agentrm.errors import ConfigurationError

__all__ = ["Place", "messages_of", "rows_of", "text_of"]

_BETWEEN = re.compile(r"[\s,]*")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row stands, for errors.

    Attributes:
        file: The file.
        row: Its number, from 0.
        line: The line where it begins, from 1.
    """

    file: Path
    row: int
    line: int

    def __str__(self) -> str:
        """Name the place as a user looks it up."""
        return f"{self.file}, line {self.line} (row {self.row})"

    def refuse(self, what: str, remedy: str) -> NoReturn:
        """Raise an error about this row.

        Args:
            what: What is wrong.
            remedy: What the user can do.

        Raises:
            ConfigurationError: Always.
        """
        msg = f"{self}: {what}."
        raise ConfigurationError(msg, remedy=remedy)


def rows_of(path: str | Path) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    """Read a JSON list or JSON lines, told apart by their first character.

    Args:
        path: The file.

    Yields:
        Each row with its place.

    Raises:
        ConfigurationError: If the file is missing, holds no rows, or a row is no JSON
            object; names file and line.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path} cannot be read: {error}."
        raise ConfigurationError(msg, remedy="Give a JSON or JSONL file.") from error
    found = _list(text, path) if text.lstrip().startswith("[") else _lines(text, path)
    place = None
    for place, row in found:
        if not isinstance(row, dict):
            place.refuse(f"a row is a {type(row).__name__}", "Write a JSON object.")
        yield place, row
    if place is None:
        msg = f"{path} holds no rows."
        raise ConfigurationError(msg, remedy="Give a file with one row at least.")


def _lines(text: str, path: Path) -> Iterator[tuple[Place, Any]]:
    row = 0
    # Not splitlines: it also cuts at characters that JSON allows inside a string.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        place = Place(path, row, number)
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            place.refuse(f"this is no JSON: {error}", "Write one JSON object a line.")
        yield place, value
        row += 1


def _list(text: str, path: Path) -> Iterator[tuple[Place, Any]]:
    decoder = json.JSONDecoder()
    at, line, row = text.index("[") + 1, 1, 0
    seen = 0
    while True:
        between = _BETWEEN.match(text, at)
        at = between.end() if between else at
        line += text.count("\n", seen, at)
        seen = at
        place = Place(path, row, line)
        if text.startswith("]", at) and not text[at + 1 :].strip():
            return
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            place.refuse(f"this is no JSON: {error}", "Write a list of JSON objects.")
        yield place, value
        row += 1


def text_of(row: Mapping[str, Any], field: str, place: Place) -> str:
    """Read a field that holds a text.

    Raises:
        ConfigurationError: If it is missing, no text, or blank.
    """
    value = row.get(field)
    if not isinstance(value, str) or not value.strip():
        place.refuse(f"{field}={value!r:.60} is no text", f"Give {field} as a text.")
    return value


def messages_of(
    row: Mapping[str, Any], field: str, place: Place
) -> tuple[dict[str, str], ...]:
    """Read a field that holds messages, each with `role` and `content`.

    Raises:
        ConfigurationError: If it is missing, empty, or a message has another form.
    """
    value = row.get(field)
    if not isinstance(value, list) or not value:
        place.refuse(
            f"{field}={value!r:.60} is no list of messages",
            'Write [{"role": "user", "content": ...}, ...].',
        )
    out = []
    for message in value:
        role = message.get("role") if isinstance(message, dict) else None
        content = message.get("content") if isinstance(message, dict) else None
        if role not in {"system", "user", "assistant"} or not isinstance(content, str):
            place.refuse(
                f"{field} holds {message!r:.60}",
                'Write each message as {"role": ..., "content": TEXT}, with the role '
                "system, user or assistant.",
            )
        out.append({"role": role, "content": content})
    return tuple(out)
