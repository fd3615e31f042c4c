"""Reading answers, and looking at code before anything runs it."""

from __future__ import annotations

import ast
import re

from langchain_agentrm._asking import UnreadableAnswerError
from langchain_agentrm.reward_agent.sandbox._broad import parsed

__all__ = ["ShapeError", "prepared", "read_code", "read_constraints", "read_kind"]

FUNCTION = "check_following"
_LONGEST_CODE = 20_000
_ITEM = re.compile(r"^\s*(?:[-*\u2022]|\d{1,2}[.)])\s+(?P<text>\S.*?)\s*$")
_FENCED = re.compile(
    r"```[ \t]*(?:[\w+-]*)[ \t]*\n(?P<code>.*?)(?:\n[ \t]*```|\Z)", re.DOTALL
)
_DECORATION = " \t\r\n*_`'\".!,:"
_UNOFFERED = frozenset(
    {"__import__", "breakpoint", "compile", "eval", "exec", "input", "open"}
)
_PLAIN_DUNDERS = frozenset({"__doc__", "__init__", "__len__", "__name__"})


class ShapeError(ValueError):
    """Code that is not a checker; the message tells its author why."""


def read_constraints(text: str) -> list[str]:
    """Read a list of demands.

    Args:
        text: The model's answer.

    Returns:
        The demands in order, equal ones once; none if it says NONE.

    Raises:
        UnreadableAnswerError: If there is neither a list nor that word.
    """
    matches = [_ITEM.match(line) for line in text.splitlines()]
    items = [m["text"] for m in matches if m is not None]
    if items:
        return [i for i in dict.fromkeys(items) if i.strip(_DECORATION) != "NONE"]
    words = text.strip(_DECORATION).split()
    if words and words[0].strip(_DECORATION).upper() == "NONE":
        return []
    msg = f"it holds neither a list nor NONE: {text[:80]!r}"
    raise UnreadableAnswerError(msg)


def read_kind(text: str) -> bool:
    """Read yes or no, however it is written.

    Args:
        text: The model's answer.

    Returns:
        Whether it is yes.

    Raises:
        UnreadableAnswerError: If it is neither, or both.
    """
    words = text.strip(_DECORATION).split() or [""]
    for word in (words[0], words[-1]):
        plain = word.strip(_DECORATION).lower()
        if plain in {"yes", "no"}:
            return plain == "yes"
    found = set(re.findall(r"\b(?:yes|no)\b", text.lower()))
    if len(found) == 1:
        return found == {"yes"}
    msg = f"it is neither yes nor no: {text[:80]!r}"
    raise UnreadableAnswerError(msg)


def read_code(text: str) -> str:
    """Take the code out of an answer.

    Args:
        text: The model's answer.

    Returns:
        The block that defines the function, or the whole text if there is no block.
    """
    blocks = [m["code"] for m in _FENCED.finditer(text)]
    for block in blocks:
        if f"def {FUNCTION}" in block:
            return block
    return blocks[0] if blocks else text


def prepared(code: str, modules: frozenset[str]) -> str:
    """Look at a checker without running it, and leave out its examples of use.

    This is a courtesy to its author, who is told what to correct; what keeps the code
    from doing harm is the sandbox.

    Args:
        code: What a model wrote.
        modules: What it may import.

    Returns:
        The code that is run.

    Raises:
        ShapeError: If it cannot be a checker.
    """
    if len(code) > _LONGEST_CODE:
        msg = f"it is longer than {_LONGEST_CODE} characters"
        raise ShapeError(msg)
    try:
        tree = parsed(code)
    except SyntaxError as error:
        msg = f"SyntaxError: {error}"
        raise ShapeError(msg) from error
    _has_function(tree)
    for node in ast.walk(tree):
        _allowed(node, modules)
    kept = [node for node in tree.body if not _is_example(node)]
    if len(kept) == len(tree.body):
        return code
    tree.body = kept
    try:
        return ast.unparse(tree)
    except RecursionError as error:
        msg = "it is nested too deeply"
        raise ShapeError(msg) from error


def _has_function(tree: ast.Module) -> None:
    for node in reversed(tree.body):
        if isinstance(node, ast.AsyncFunctionDef) and node.name == FUNCTION:
            msg = f"{FUNCTION} must be a plain function, not async"
            raise ShapeError(msg)
        if isinstance(node, ast.FunctionDef) and node.name == FUNCTION:
            given = node.args
            needed = len(given.posonlyargs) + len(given.args) - len(given.defaults)
            strict = any(default is None for default in given.kw_defaults)
            takes = given.posonlyargs or given.args or given.vararg
            if needed > 1 or strict or not takes:
                msg = f"{FUNCTION} must take the answer as its one argument"
                raise ShapeError(msg)
            return
    msg = f"it does not define {FUNCTION}(response) at its top level"
    raise ShapeError(msg)


def _allowed(node: ast.AST, modules: frozenset[str]) -> None:
    wanted: list[str] = []
    if isinstance(node, ast.Import):
        wanted = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        wanted = ["." if node.level else str(node.module)]
        if any(alias.name == "*" for alias in node.names):
            msg = f"it imports * from {node.module}; name what is needed"
            raise ShapeError(msg)
    elif isinstance(node, ast.Name) and node.id in _UNOFFERED:
        msg = f"it uses {node.id}, which is not there"
        raise ShapeError(msg)
    elif isinstance(node, ast.Attribute):
        name = node.attr
        if name.startswith("__") and name.endswith("__") and name not in _PLAIN_DUNDERS:
            msg = f"it uses {name}, which is not there"
            raise ShapeError(msg)
    for name in wanted:
        if name != "__future__" and not _offered(name, modules):
            offer = ", ".join(sorted(modules))
            msg = f"it imports {name}; there are only: {offer}"
            raise ShapeError(msg)


def _offered(name: str, modules: frozenset[str]) -> bool:
    # `urllib.parse` is offered by its full name, `collections.abc` by its parent's.
    parts = name.split(".")
    return any(".".join(parts[: i + 1]) in modules for i in range(len(parts)))


def _is_example(node: ast.stmt) -> bool:
    """Tell what only shows the function in use: calls at top level, a main block."""
    if isinstance(node, ast.Expr):
        return not isinstance(node.value, ast.Constant)
    if isinstance(node, ast.If):
        names = {n.id for n in ast.walk(node.test) if isinstance(n, ast.Name)}
        return names == {"__name__"}
    return isinstance(node, ast.Assert)
