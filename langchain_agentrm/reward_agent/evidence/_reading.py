"""Reading what search tools and retrievers return as passages."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langchain_core.documents import Document

from langchain_agentrm.reward_agent.types import Passage

__all__ = ["of_document", "of_result"]

_TEXT = (
    "content", "page_content", "text", "snippet", "body", "description", "answer",
    "raw_content", "summary",
)  # fmt: skip
_SOURCE = ("source", "url", "link", "href", "file_path", "path", "id", "title")
_WRAPPERS = ("results", "organic", "organic_results", "items", "documents", "data")


def of_document(document: Document, default: str) -> list[Passage]:
    """Read a document; none if it is blank.

    Args:
        document: What a retriever found.
        default: Source of a document that names none.

    Returns:
        At most one passage.
    """
    source = _first(document.metadata, _SOURCE) or document.id or default
    return _passages([(document.page_content, source)])


def of_result(result: object, default: str) -> list[Passage]:
    """Read what a search tool returned.

    Args:
        result: A text, a document, a mapping with a text, or one with a list of hits;
            a list of those; or any of it as JSON.
        default: Source of what names none.

    Returns:
        Its passages, in order; none if there is no text in it.
    """
    if isinstance(result, Document):
        return of_document(result, default)
    if isinstance(result, str):
        parsed = _parsed(result)
        if parsed is None:
            return _passages([(result, default)])
        return of_result(parsed, default)
    if isinstance(result, Mapping):
        return _of_mapping(result, default)
    if isinstance(result, Sequence) and not isinstance(result, bytes | bytearray):
        return [p for part in result for p in of_result(part, default)]
    return []


def _of_mapping(result: Mapping[Any, Any], default: str) -> list[Passage]:
    # A summary that stands beside the hits names no source, so the hits come alone.
    for name in _WRAPPERS:
        hits = result.get(name)
        if isinstance(hits, Sequence) and not isinstance(hits, str | bytes):
            return of_result(hits, default)
    return _passages(
        [(_first(result, _TEXT), _first(result, _SOURCE) or default)],
    )


def _first(mapping: Mapping[Any, Any], names: Iterable[str]) -> str:
    for name in names:
        value = mapping.get(name)
        if isinstance(value, str | int) and str(value).strip():
            return str(value)
    return ""


def _passages(found: Iterable[tuple[str, str]]) -> list[Passage]:
    return [Passage(text.strip(), source) for text, source in found if text.strip()]


def _parsed(text: str) -> object:
    """Read JSON lists and objects; None for any other text."""
    if not text.lstrip().startswith(("[", "{")):
        return None
    try:
        parsed: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return parsed
