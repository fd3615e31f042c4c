"""Broad handlers: `except Exception` must not hide what an interpreter lacks."""

from __future__ import annotations

import ast
import threading
import warnings

__all__ = ["guarded", "parsed"]

_BROAD = frozenset(
    {
        "AttributeError",
        "BaseException",
        "Exception",
        "ImportError",
        "ModuleNotFoundError",
        "NameError",
        "NotImplementedError",
        "RuntimeError",
    }
)
# What an interpreter raises for a thing of Python that it does not have.
_LACKING = ("AttributeError", "ImportError", "NameError", "NotImplementedError")
_FILTERS = threading.Lock()


def parsed(code: str) -> ast.Module:
    """Parse code of a stranger.

    Args:
        code: Python.

    Returns:
        Its tree.

    Raises:
        SyntaxError: If it is none, or too deep for the parser.
    """
    # A warning about "\\d" is no concern of whoever runs this process.
    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(code)
        except (ValueError, RecursionError, MemoryError) as error:
            msg = f"it cannot be parsed: {error}"
            raise SyntaxError(msg) from error


def guarded(code: str) -> str:
    """Let what an interpreter lacks pass through handlers that would catch it.

    A checker that says `except Exception: return False` would otherwise turn a missing
    method into a verdict.

    Args:
        code: A checker.

    Returns:
        The same code if nothing in it is so broad, or if it cannot be read.
    """
    try:
        tree = parsed(code)
    except SyntaxError:
        return code
    changed = False
    for node in ast.walk(tree):
        if isinstance(node, ast.Try) and any(map(_broad, node.handlers)):
            node.handlers.insert(0, _passing())
            changed = True
    if not changed:
        return code
    try:
        return ast.unparse(ast.fix_missing_locations(tree))
    except RecursionError:
        return code


def _broad(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    return any(
        isinstance(n, ast.Name) and n.id in _BROAD for n in ast.walk(handler.type)
    )


def _passing() -> ast.ExceptHandler:
    names: list[ast.expr] = [ast.Name(name, ast.Load()) for name in _LACKING]
    return ast.ExceptHandler(
        type=ast.Tuple(names, ast.Load()), name=None, body=[ast.Raise(None, None)]
    )
