"""Cells: positions such as `B2`, how values are shown, and formulas over them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

__all__ = [
    "Unwritable",
    "address",
    "cell",
    "evaluate",
    "number",
    "shown",
    "spread",
]

_A1 = re.compile(r"([A-Za-z]{1,3})([1-9]\d{0,6})")
_DIGITS = 10
_WHOLE = 1e15


class Unwritable(ValueError):  # noqa: N818 - renamed below
    """A value that the service does not take; named as its client names the error."""


Unwritable.__name__ = "InvalidJSONError"


class IncorrectCellLabel(ValueError):  # noqa: N818 - the client's own name for it
    """A position that is none."""


def cell(position: Any) -> tuple[int, int]:
    """Read a position.

    Returns:
        Row and column, from 0.

    Raises:
        IncorrectCellLabel: If it is none.
    """
    match = _A1.fullmatch(str(position))
    if match is None:
        raise IncorrectCellLabel(str(position))
    column = 0
    for letter in match[1].upper():
        column = column * 26 + ord(letter) - 64
    return int(match[2]) - 1, column - 1


def address(row: int, column: int) -> str:
    """Write a position; row and column from 0."""
    letters, rest = "", column + 1
    while rest:
        rest, digit = divmod(rest - 1, 26)
        letters = chr(65 + digit) + letters
    return f"{letters}{row + 1}"


def spread(start: Any, end: Any) -> tuple[range, range]:
    """Rows and columns of a range, whichever corner comes first."""
    (top, left), (bottom, right) = cell(start), cell(end)
    return (
        range(min(top, bottom), max(top, bottom) + 1),
        range(min(left, right), max(left, right) + 1),
    )


def number(text: Any) -> float | None:
    """Read what a cell shows as a number, or None."""
    try:
        value = float(text)
    except (TypeError, ValueError, OverflowError):
        return None
    return value if math.isfinite(value) else None


def shown(value: Any) -> str:
    """Write a value as a cell shows it: whole numbers plain, others to ten digits.

    Raises:
        Unwritable: If the value has no JSON form.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return str(value)
    if not isinstance(value, int | float):
        msg = f"Invalid values: {type(value).__name__}"
        raise Unwritable(msg)
    if not math.isfinite(value):
        msg = "Out of range float values are not JSON compliant"
        raise Unwritable(msg)
    if value == int(value) and abs(value) < _WHOLE:
        return str(int(value))
    return f"{value:.{_DIGITS}g}"


def evaluate(operator: str, values: Iterable[str]) -> str:
    """Apply a formula's function to what cells show.

    Args:
        operator: `SUM`, `AVERAGE`, `COUNT`, `MAX`, `MIN`, `MINUS` or `PRODUCT`.
        values: What the cells show; what is no number counts for nothing.

    Returns:
        What the formula's cell shows.
    """
    texts = list(values)
    numbers = [n for n in map(number, texts) if n is not None]
    if operator == "MINUS":
        return _minus(texts, numbers)
    if operator == "AVERAGE" and not numbers:
        return "#DIV/0!"
    if not numbers:
        return "0"
    if operator == "COUNT":
        return shown(len(numbers))
    functions: Mapping[str, Callable[[list[float]], float]] = {
        "SUM": math.fsum,
        "AVERAGE": lambda n: math.fsum(n) / len(n),
        "MAX": max,
        "MIN": min,
        "PRODUCT": math.prod,
    }
    return shown(functions[operator](numbers))


def _minus(texts: Sequence[str], numbers: Sequence[float]) -> str:
    # It takes two arguments, and an empty cell is 0.
    if len(texts) != 2:  # noqa: PLR2004
        return "#N/A"
    if len(numbers) + texts.count("") != len(texts):
        return "#VALUE!"
    one, two = (number(text) or 0.0 for text in texts)
    return shown(one - two)
