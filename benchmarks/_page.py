"""Generated parts of the documentation, each between two marks of its page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from langchain_agentrm._files import write_text
from langchain_agentrm.errors import ConfigurationError

__all__ = ["write_part"]


def write_part(page: Path, name: str, lines: Sequence[str]) -> None:
    """Put lines where the page keeps the part of that name; the rest stays.

    Args:
        page: The page.
        name: Name of the part; its marks are `<!-- NAME:begin -->` and `:end`.
        lines: Markdown.

    Raises:
        ConfigurationError: If the page has not these marks, once each and in order.
    """
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    before, first, rest = page.read_text(encoding="utf-8").partition(begin)
    _, last, after = rest.partition(end)
    if not (first and last):
        msg = f"{page} has no part {name!r}."
        raise ConfigurationError(msg, remedy=f"Write {begin} and {end} into it.")
    body = "\n".join(lines).strip("\n")
    write_text(page, f"{before}{begin}\n\n{body}\n\n{end}{after}")
