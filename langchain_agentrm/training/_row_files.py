"""JSON and JSON Lines files read row by row, each row with the line it begins at."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_agentrm.errors import ConfigurationError

__all__ = ["BadRow", "FileRow", "read_rows"]


class BadRow(ValueError):  # noqa: N818 - it is data of the stage, not a fault of it
    """What is wrong with one row, without its place."""


@dataclass(frozen=True, slots=True)
class FileRow:
    """One row of a file.

    Attributes:
        path: The file.
        line: The line it begins at, counted from 1.
        value: The parsed JSON; None where `problem` says why there is none.
        problem: What kept the row from being parsed; empty if nothing did.
    """

    path: Path
    line: int
    value: Any
    problem: str = ""

    @property
    def where(self) -> str:
        """File and line, for messages."""
        return f"{self.path.name}:{self.line}"

    def parsed(self) -> Any:
        """The value.

        Raises:
            BadRow: If the row could not be parsed.
        """
        if self.problem:
            raise BadRow(self.problem)
        return self.value


def read_rows(path: Path) -> Iterator[FileRow]:
    """Read a file that is one JSON array, or one JSON value a line.

    A broken line of JSON Lines is a row with a `problem`. A broken array is an error,
    because nothing after the break can be told apart.

    Args:
        path: The file; UTF-8, with or without a byte order mark.

    Yields:
        The rows in order.

    Raises:
        ConfigurationError: If the file is absent, is no UTF-8, or its array breaks off.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        msg = f"There is no file {path}."
        raise ConfigurationError(msg, remedy="Check the path.") from error
    except UnicodeDecodeError as error:
        msg = f"{path} is no UTF-8: {error.reason} at byte {error.start}."
        raise ConfigurationError(msg, remedy="Convert it to UTF-8.") from error
    if text.lstrip().startswith("[") and not _lines_of_arrays(text):
        yield from _array(path, text)
    else:
        yield from _lines(path, text)


def _lines_of_arrays(text: str) -> bool:
    # A line that is a whole array, with more after it, is a row of JSON Lines.
    first, _, rest = text.lstrip().partition("\n")
    if not rest.strip():
        return False
    try:
        json.loads(first)
    except ValueError:
        return False
    return True


def _lines(path: Path, text: str) -> Iterator[FileRow]:
    # Not splitlines: JSON strings may hold other line separators as they are.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            yield FileRow(path, number, json.loads(line))
        except ValueError as error:
            yield FileRow(path, number, None, f"no JSON ({error})")


def _array(path: Path, text: str) -> Iterator[FileRow]:
    decoder = json.JSONDecoder()
    place, line = text.index("[") + 1, 1 + text.count("\n", 0, text.index("["))
    first = True
    while True:
        begin = _skip(text, place, " \t\r\n")
        line += text.count("\n", place, begin)
        if text[begin : begin + 1] == "]":
            break
        if not first:
            if text[begin : begin + 1] != ",":
                raise _broken(path, line, "a comma or the end of the array is missing")
            place = begin + 1
            begin = _skip(text, place, " \t\r\n")
            line += text.count("\n", place, begin)
        try:
            value, place = decoder.raw_decode(text, begin)
        except ValueError as error:
            raise _broken(path, line, str(error)) from error
        yield FileRow(path, line, value)
        line += text.count("\n", begin, place)
        first = False
    rest = text[begin + 1 :].strip()
    if rest:
        raise _broken(path, line, f"{rest[:20]!r} follows the end of the array")


def _skip(text: str, place: int, what: str) -> int:
    while place < len(text) and text[place] in what:
        place += 1
    return place


def _broken(path: Path, line: int, reason: str) -> ConfigurationError:
    msg = f"The array of {path} breaks at line {line}: {reason}."
    return ConfigurationError(
        msg, remedy="Repair the file; rows after a break cannot be told apart."
    )
