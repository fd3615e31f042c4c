"""JSON and JSON Lines files read row by row, each row with the line it begins at."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from langchain_agentrm.errors import CheckpointError, ConfigurationError
from langchain_agentrm.trajectory import SERIALIZER
from langchain_agentrm.types import TaskRef

__all__ = [
    "MALFORMED",
    "BadRow",
    "FileRow",
    "OnBadRow",
    "finite",
    "read_rows",
    "reason",
    "take_rows",
    "task_of",
]

_log = logging.getLogger(__name__)

Row = TypeVar("Row")

OnBadRow = Literal["refuse", "skip"]
"""Whether a malformed row is an error, or is left out with a warning."""

MALFORMED = (ValueError, TypeError, KeyError, AttributeError)
"""What reading a row that lacks something, or holds something else, raises."""


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


def take_rows(
    path: Path,
    read: Callable[[Any], Row],
    what: str,
    *,
    on_bad: OnBadRow = "refuse",
    remedy: str,
) -> Iterator[tuple[int, Row]]:
    """Read the rows that a stage wrote, or rows of that form from elsewhere.

    Args:
        path: The file.
        read: Makes a row of parsed JSON; what it raises says what is wrong.
        what: What a row is, for messages.
        on_bad: Whether a malformed row is an error or is left out with a warning.
        remedy: How to get good rows.

    Yields:
        Line, and row.

    Raises:
        CheckpointError: If the file is absent, a row is malformed and `on_bad` is
            `"refuse"`, or a row was rendered by another serializer; names file and
            line.
    """
    if not path.exists():
        msg = f"There is no file {path}."
        raise CheckpointError(msg, remedy="Run the stage that writes it.")
    for row in read_rows(path):
        version: Any = SERIALIZER
        try:
            value = row.parsed()
            if isinstance(value, dict):
                version = value.get("serializer", SERIALIZER)
            made = read(value)
        except MALFORMED as error:
            msg = f"{path}:{row.line}: malformed {what}: {reason(error)}."
            # A row of another version may well have another form.
            if version == SERIALIZER:
                if on_bad == "refuse":
                    raise CheckpointError(
                        msg, remedy=f"{remedy}, or leave such out: on_bad_row=skip."
                    ) from error
                _log.warning("%s Skipped.", msg)
                continue
        # Never skipped: values learned under another rendering mean something else.
        if version != SERIALIZER:
            msg = (
                f"{path}:{row.line}: rendered by serializer {version!r}, here it is "
                f"{SERIALIZER!r}."
            )
            raise CheckpointError(msg, remedy=f"{remedy}.")
        yield row.line, made


def reason(error: Exception) -> str:
    """Say what is wrong with a row that could not be read."""
    return f"lacks {error}" if isinstance(error, KeyError) else str(error)


def task_of(row: Any) -> TaskRef:
    """Read a row's task.

    Raises:
        KeyError: If a part is missing.
        TypeError: If there is no object of parts.
        ValueError: If the seed is no whole number.
    """
    task = row["task"]
    return TaskRef(
        env=str(task["env"]),
        type=str(task["type"]),
        id=str(task["id"]),
        seed=int(task["seed"]),
    )


def finite(value: Any, name: str) -> float:
    """Read a number.

    Raises:
        BadRow: If it is none, or not finite.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value):
        msg = f"{name}={value!r:.40} is no finite number"
        raise BadRow(msg)
    return float(value)


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
