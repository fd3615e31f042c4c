"""The text grammar `NAME with Action Input: ARGUMENTS`, read without running it."""

from __future__ import annotations

import ast
import json
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["FORMAT_ERROR", "cleaned", "key_of", "read_arguments", "split", "written"]

FORMAT_ERROR = (
    "Format error, please response in the format of  "
    '"Action: [your action] with Action Input: [your action input]'
)
"""The benchmark's answer to a message without action, its missing quote included."""

_SIZE = 16_384
_UNFIT = re.compile("[\x00\ud800-\udfff]")
_PREFIX = re.compile(r"\s*action\s*:", re.IGNORECASE)
_MIDDLE = re.compile(r"with\s*Action [Ii]nput:")
_ESCAPE = re.compile(r"\\([4-7][0-7]{2}|.)", re.DOTALL)
_KNOWN_ESCAPES = frozenset("\\'\"abfnrtvxuUN01234567\n")
_BINARY: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_UNARY: Mapping[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}


def cleaned(value: Any) -> Any:
    """Replace what no text may hold, NUL and lone surrogates, at any depth."""
    if isinstance(value, str):
        return _UNFIT.sub("\ufffd", value[:_SIZE])
    if isinstance(value, list | tuple):
        return [cleaned(item) for item in value]
    if isinstance(value, Mapping):
        return {cleaned(str(k)): cleaned(v) for k, v in value.items()}
    return value


def split(text: str) -> tuple[str, str] | None:
    """Part a text action into function name and arguments.

    Args:
        text: The action, with or without `Action:` before it. What follows the line of
            the arguments is left out, as the benchmark stops a policy at a line's end.

    Returns:
        Both as texts, or None where the text has not this form.
    """
    text = cleaned(text).strip()
    middle = _MIDDLE.search(text)
    if middle is None:
        return None
    lines = text[: middle.start()].rstrip().splitlines()
    name = lines[-1] if lines else ""
    prefix = _PREFIX.match(name)
    if prefix is not None:
        name = name[prefix.end() :]
    rest = text[middle.end() :].lstrip().splitlines()
    return name.strip(), rest[0].rstrip() if rest else ""


def read_arguments(text: str) -> Any:
    """Read arguments: a Python literal, else JSON.

    The benchmark evaluates the text as Python. Here only literals and sums, products
    and the like of numbers are computed, and sets, which have no order, are refused.

    Args:
        text: The arguments.

    Returns:
        Usually a dict.

    Raises:
        ValueError: If the text is neither.
    """
    try:
        # An unknown escape would be a warning; it stands for itself, as in Python.
        tree = ast.parse(_ESCAPE.sub(_escaped, text), mode="eval")
        return _value(tree.body)
    except (SyntaxError, ValueError, TypeError, ArithmeticError) as error:
        problem: BaseException = error
    except (MemoryError, RecursionError) as error:
        problem = error
    try:
        return cleaned(json.loads(text))
    except (ValueError, RecursionError):
        msg = f"no arguments: {text[:80]!r}"
        raise ValueError(msg) from problem


def written(name: str, arguments: Any) -> str:
    """Write an action in this grammar."""
    return f"{name} with Action Input: {json.dumps(arguments, ensure_ascii=False)}"


def key_of(text: str) -> str:
    """Normal form of a text action: sorted arguments, or single blanks."""
    parts = split(text)
    if parts is not None:
        name, arguments = parts
        try:
            read = json.dumps(
                read_arguments(arguments),
                sort_keys=True,
                ensure_ascii=False,
                default=str,
            )
        except (ValueError, TypeError, RecursionError):
            pass
        else:
            return f"{' '.join(name.split())} with Action Input: {read}"
    return " ".join(cleaned(text).split())


def _escaped(match: re.Match[str]) -> str:
    if len(match[1]) > 1 or match[1] not in _KNOWN_ESCAPES:
        return "\\" + match[0]
    return match[0]


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=str() as text):
            # JSON writes a rare letter as two escapes; Python reads two halves.
            halves = text.encode("utf-16", "surrogatepass")
            return _UNFIT.sub("\ufffd", halves.decode("utf-16", "replace"))
        case ast.Constant(value=value) if not isinstance(value, bytes | complex):
            return value
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [_value(item) for item in items]
        case ast.Dict(keys=keys, values=values):
            return {
                _value(k): _value(v)
                for k, v in zip(keys, values, strict=True)
                if k is not None
            }
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
            return _UNARY[type(op)](_number(operand))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _BINARY[type(op)](_number(left), _number(right))
    msg = f"{type(node).__name__} is no literal"
    raise ValueError(msg)


def _number(node: ast.expr) -> Any:
    value = _value(node)
    if isinstance(value, bool) or not isinstance(value, int | float):
        msg = f"{value!r} is no number"
        raise ValueError(msg)  # noqa: TRY004 - one kind of error for one kind of text
    return value
