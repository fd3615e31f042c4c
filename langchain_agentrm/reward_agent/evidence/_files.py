"""Splitting files into passages whose sources say where they stand."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.reward_agent.types import Passage

__all__ = ["SUFFIXES", "read_passages"]

SUFFIXES = frozenset({".jsonl", ".md", ".rst", ".txt"})
"""Files that are read in a folder; all others are left alone."""

_TEXT = ("text", "content", "contents", "page_content", "body")
_SOURCE = ("source", "url", "link", "id", "title")

Split = Callable[[str], Iterator[tuple[str, int]]]
"""From a text to its parts and where each begins."""


def read_passages(path: Path, split: Split) -> list[Passage]:
    """Read a file, or a folder's files in the order of their names.

    Args:
        path: A `.jsonl` file, a text file, or a folder with such files at any depth.
        split: How a text is split.

    Returns:
        Passages, each with `file:line` as its source, the file as seen from the folder;
        a row of a `.jsonl` file that names its source keeps it.

    Raises:
        ConfigurationError: If nothing is there, a file is not UTF-8, or a row is not as
            it should be.
    """
    if path.is_dir():
        files = sorted(
            f for f in path.rglob("*") if f.suffix.lower() in SUFFIXES and f.is_file()
        )
        named = [(f, f.relative_to(path).as_posix()) for f in files]
    elif path.is_file():
        named = [(path, path.name)]
    else:
        msg = f"{path} is neither a file nor a folder."
        raise ConfigurationError(msg, remedy="Give the path of texts to search.")
    found = [
        passage
        for file, name in named
        for passage in (
            _rows(file, name, split)
            if file.suffix.lower() == ".jsonl"
            else _parts(_text(file), name, split)
        )
    ]
    if not found:
        msg = f"{path} holds no text to search ({len(named)} files read)."
        raise ConfigurationError(
            msg, remedy=f"Put files there that end in {', '.join(sorted(SUFFIXES))}."
        )
    return found


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        msg = f"{file} is not UTF-8 text: {error}."
        raise ConfigurationError(msg, remedy="Convert it, or move it away.") from error


def _parts(text: str, name: str, split: Split) -> Iterator[Passage]:
    for part, start in split(text):
        line = text.count("\n", 0, start) + 1
        yield Passage(part, f"{name}:{line}")


def _rows(file: Path, name: str, split: Split) -> Iterator[Passage]:
    for number, line in enumerate(_text(file).split("\n"), 1):
        if not line.strip():
            continue
        where = f"{name}:{number}"
        text, source = _row(line, f"{file}, line {number}")
        for part, _ in split(text):
            yield Passage(part, source or where)


def _row(line: str, where: str) -> tuple[str, str]:
    try:
        row = json.loads(line)
    except ValueError as error:
        msg = f"{where} is not JSON: {error}."
        raise ConfigurationError(msg, remedy="Write one object a line.") from error
    text = _field(row, _TEXT)
    if text is None:
        msg = f"{where} holds no text."
        raise ConfigurationError(
            msg, remedy=f"Write an object with one of {', '.join(_TEXT)}."
        )
    return text, _field(row, _SOURCE) or ""


def _field(row: object, names: tuple[str, ...]) -> str | None:
    if not isinstance(row, dict):
        return None
    for name in names:
        value = row.get(name)
        if isinstance(value, str):
            return value
        if isinstance(value, int):
            return str(value)
    return None
