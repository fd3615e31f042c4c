"""Numbers of words, sentences, paragraphs, bullet points and the like."""

from __future__ import annotations

import re
from collections.abc import Sequence

from langchain_agentrm.reward_agent.rules._patterns.reader import (
    Reader,
    relation_before,
)
from langchain_agentrm.reward_agent.rules.dsl import Count, Relation, Scope, Unit

__all__ = ["read_quantities"]

_FILLER = r"(?:(?!and |or |to |of )\w+ ){0,2}?"
_UNITS: Sequence[tuple[Unit, str]] = (
    ("words", r"words?\b"),
    ("sentences", r"(?:(?:full|complete|short|clear|concise|long) )?sentences?\b"),
    ("paragraphs", rf"{_FILLER}paragraphs?\b"),
    (
        "bullets",
        (
            rf"{_FILLER}bullet(?:ed)?(?:[- ]points?|s| items?| list items?)?\b"
            r"|(?:key )?points in bullet form|list items\b"
        ),
    ),
    ("sections", rf"{_FILLER}(?:sections?|parts|chapters)\b"),
    ("stanzas", r"stanzas?\b|verses\b"),
    ("lines", r"(?:poetic )?lines?\b(?! break)"),
    (
        "numbered",
        (
            r"(?:(?:numbered|distinct|key|main|clear) )?(?:steps?|items?|points?|tips"
            r"|reasons|entries|facts|ideas)\b"
        ),
    ),
    ("characters", r"characters?\b|letters\b(?! )"),
    ("code_blocks", r"(?:separate )?code (?:snippets?|blocks?)\b"),
    ("emojis", r"emojis?\b"),
    (
        "highlights",
        (
            r"(?:bold(?:ed)?|highlighted|italic(?:ized)?) (?:text )?"
            r"(?:words?|phrases?|sections?|terms?|keywords?|parts?)\b"
        ),
    ),
    ("placeholders", r"placeholders?\b"),
    ("headings", r"(?:markdown )?(?:headings?|headers|subheadings?)\b"),
)
_N = (
    r"(?P<n>\d{1,5})(?:\s*(?:-|to|and)\s*(?P<high>\d{1,5}))?(?P<plus>\+)?"
    r"(?: or (?P<open>more|fewer|less))?"
)
_PATTERNS = tuple(
    (unit, re.compile(rf"(?<![\w.#$]){_N}[ -]+(?:{words})", re.IGNORECASE))
    for unit, words in _UNITS
)
_HIGHLIGHT = re.compile(
    r"\b(?:highlight|bold|italici[sz]e)\w*\b[^.;]{0,40}$", re.IGNORECASE
)
_HIGHLIGHTED = re.compile(r"[^.,;]{0,25}\b(?:highlighted|italici[sz]ed|in bold)\b")
_ITALIC = re.compile(r"italic|bold|highlight", re.IGNORECASE)
_LONGEST_LIST = 200
_SCOPES: Sequence[tuple[Scope, str]] = (
    ("paragraph", r"paragraphs?"),
    ("section", r"sections?|parts?|chapters?"),
    ("sentence", r"sentences?"),
    ("bullet", r"bullets?(?: points?)?"),
    ("item", r"items?|points?|steps?|entr(?:y|ies)|tips?|reasons?|titles?"),
    ("line", r"lines?|verses?"),
    ("stanza", r"stanzas?"),
    ("code_block", r"code (?:snippets?|blocks?)"),
)
_EACH = re.compile(r"\b(?:each|every|per)\b", re.IGNORECASE)
_NEW_TOPIC = re.compile(
    r",\s*(?:and )?(?:ensur\w+|provide|contain|consist|limit|include|must"
    r"|the (?:response|word)|your|answer|be |with the|in exactly)"
    r"|,\s*(?:and )?(?:format|structur|present|organi[sz])\w*"
    r"|\band (?:ensur\w+|provide|limit|include|your|contain|format)\b"
    r"|\b(?:it|response|answer) (?:contains?|is|should|must)\b"
)
_OF_EACH = re.compile(
    r"(?:with|contain|consist|having|has|being|limited|no |not |should|must|exactly"
    r"|at |including)"
)
_OTHER_WORDS = re.compile(
    r"bold|highlight|unique|different|new |capital|key|first|last|following|syllable"
)
_NOT_THE_ANSWER = re.compile(
    r"(?:\bin (?:\*\*)?bold(?:\*\*)?|\bbold)\b[^.;]{0,30}$"
    r"|\b(?:password|username|string|field|variable|first|last|previous|next|these"
    r"|top|input)\b[^.;]{0,30}$",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"[.;:!?]\s")
_AFTER = 40
_EACH_AFTER = re.compile(
    r"^(?:\s+(?:or (?:less|fewer|more)|long|at (?:most|least)))?"
    r"\s+(?:in|for|per|within|to)?\s*(?:each|every|per)\s+(?:\w+\s)?(?P<part>\w+)",
    re.IGNORECASE,
)


def read_quantities(reader: Reader) -> None:
    """Read counts, their relations, and where they hold.

    Args:
        reader: The request; gets the rules.
    """
    for unit, pattern in _PATTERNS:
        for match in pattern.finditer(reader.text):
            if reader.free(match):
                _quantity(reader, unit, match)


def _quantity(reader: Reader, unit: Unit, match: re.Match[str]) -> None:
    clause = _CLAUSE.split(reader.before(match, 120))[-1]
    if _NOT_THE_ANSWER.search(clause):
        return
    if unit == "words" and _OTHER_WORDS.search(clause[-18:].lower()):
        return
    after = reader.text[match.end() : match.end() + _AFTER]
    marked = _HIGHLIGHT.search(clause) or _HIGHLIGHTED.match(after)
    if unit in {"sections", "numbered", "sentences"} and (
        marked or _ITALIC.search(match.group(0))
    ):
        unit = "highlights"
    if unit == "numbered" and int(match.group("n")) > _LONGEST_LIST:
        return
    scope = _scope(clause, after)
    if scope is None:
        return
    reader.take(match)
    n, high = int(match.group("n")), int(match.group("high") or 0)
    if high > n:
        reader.add(Count(unit=unit, relation="between", n=n, n_max=high, scope=scope))
    else:
        relation = _relation(match, clause, reader.text[match.end() :])
        if unit == "highlights" and relation == "exactly" and "exact" not in clause:
            relation = "at_least"
        reader.add(Count(unit=unit, relation=relation, n=n, scope=scope))


def _relation(match: re.Match[str], clause: str, after: str) -> Relation:
    opened = match.group("open") or ""
    follows = re.match(r"\s+or (more|less|fewer)\b", after)
    opened = opened or (follows.group(1) if follows else "")
    if opened == "more" or match.group("plus"):
        return "at_least"
    if opened:
        return "at_most"
    if re.match(r"\s+(?:at most|max(?:imum)?\b)", after):
        return "at_most"
    if re.match(r"\s+(?:at least|min(?:imum)?\b)", after):
        return "at_least"
    return relation_before(clause) or "exactly"


def _scope(clause: str, after: str) -> Scope | None:
    """Read where a count holds; None if that is some part we know nothing of."""
    follows = _EACH_AFTER.match(after)
    if follows and (named := _named(follows.group("part").lower())):
        return named
    found = list(_EACH.finditer(clause))
    if not found:
        return "response"
    tail = clause[found[-1].end() :].strip().lower()
    if _NEW_TOPIC.search(tail) or tail.startswith("separated"):
        return "response"
    for name, words in _SCOPES:
        if re.match(rf"(?:\w+ )?(?:{words})\b", tail):
            return name
    if not _OF_EACH.match(tail):
        return None
    ahead = clause[: found[-1].start()].lower()
    places = [
        (m.start(), name)
        for name, words in _SCOPES
        for m in re.finditer(rf"\b(?:{words})\b", ahead)
    ]
    return max(places)[1] if places else None


def _named(part: str) -> Scope | None:
    for name, words in _SCOPES:
        if re.fullmatch(words, part):
            return name
    return None
