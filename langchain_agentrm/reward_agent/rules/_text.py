"""What a careful reader sees in an answer: words, sentences, lists, sections.

Where two readings are fair, both are given: "3 sections" may be three headings or three
bold lines, and an answer is held to the reading that favours it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache

__all__ = [
    "bare",
    "counts",
    "has_angle_title",
    "has_capital_heading",
    "has_divider",
    "has_table",
    "occurrences",
    "parts",
]

_CODE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_HEADING = re.compile(r"^[ \t]{0,3}#{1,6}[ \t]+\S", re.MULTILINE)
_BULLET = re.compile(r"^[ \t]*[-*+\u2022\u25cf\u25aa\u2013][ \t]+(?=\S)", re.MULTILINE)
_NUMBERED = re.compile(
    r"^[ \t]*(?:#+[ \t]*)?(?:\*\*)?(?:(?:step|section|part|chapter)[ \t]+)?"
    r"[(\[]?\d{1,3}[\])}.:](?:\*\*)?[ \t]*(?=\S)",
    re.MULTILINE | re.IGNORECASE,
)
_DIVIDER = re.compile(
    r"^[ \t]*(?:\*[ \t]?\*[ \t]?\*[* \t]*|-{3,}[ \t]*|_{3,}[ \t]*)$", re.MULTILINE
)
_BOLD_LINE = re.compile(
    r"^[ \t]*(?:\d+[.)][ \t]*|[-*][ \t]+)?\*\*[^*\n]+\*\*:?", re.MULTILINE
)
_CAPITAL_LINE = re.compile(
    r"^[ \t]*(?:\*\*|#+ )?[\[(]?[A-Z][A-Z0-9 ,'&/()-]{3,}[\])]?(?:\*\*)?:?",
    re.MULTILINE,
)
_NAMED = re.compile(
    r"^[ \t]*(?:\*\*|#+ )?(?:section|part|chapter|step|[IVX]+)\b[ \t]*\d*[.:]?",
    re.MULTILINE | re.IGNORECASE,
)
_ABBREVIATION = re.compile(
    r"\b(?:Mr|Mrs|Ms|Dr|Prof|St|vs|etc|e\.g|i\.e|U\.S|U\.K|No|Jr|Sr|Inc|Ltd|approx"
    r"|a\.m|p\.m|cf|Fig|Eq)\.",
    re.IGNORECASE,
)
_WORD = re.compile(
    r"[A-Za-z0-9\u00c0-\u024f]+(?:['\u2019_.\-/][A-Za-z0-9\u00c0-\u024f]+)*"
)
_EMOJI = re.compile("[\U0001f300-\U0001faff\u2600-\u27bf]")
_HIGHLIGHT = re.compile(r"\*\*[^*\n]+\*\*|(?<!\*)\*[^*\n\s][^*\n]*\*(?!\*)|__[^_\n]+__")
_PLACEHOLDER = re.compile(r"\[[^\[\]\n]+\](?!\()")
_SENTENCE_END = re.compile(r"(?<=[.!?\u2026])[\"'\u201d\u2019)*_\]]*\s+")
_ITEM = re.compile(r"^[ \t]*(?:[-*\u2022+]|\d{1,2}[.):])[ \t]+")
_LETTER_OR_DIGIT = re.compile(r"\w")
_ONE_DOT = "\u2024"
_SHORT_LINE = 9


def bare(text: str) -> str:
    """Drop marks of emphasis, quotation and headings around a text."""
    return text.strip().strip("*_#>`\"'\u201c\u201d \t\n")


def _nonblank(lines: list[str]) -> list[str]:
    return [line for line in lines if line.strip()]


def _sentences(text: str) -> list[str]:
    text = _CODE.sub(" ", text)
    text = _ABBREVIATION.sub(lambda m: m.group(0).replace(".", _ONE_DOT), text)
    text = re.sub(r"(?<=\d)\.(?=\d)", _ONE_DOT, text)
    out = []
    for line in text.splitlines():
        if _HEADING.match(line) or _DIVIDER.match(line):
            continue
        pieces = _SENTENCE_END.split(_ITEM.sub("", line))
        out += [p for p in pieces if _LETTER_OR_DIGIT.search(p)]
    return out


def _paragraphs(text: str) -> list[str]:
    blocks = re.split(r"\n\s*\n", _DIVIDER.sub("\n\n", text).strip())
    return [b for b in blocks if _LETTER_OR_DIGIT.search(b)]


def _is_body(block: str) -> bool:
    if _HEADING.match(block) and "\n" not in block:
        return False
    ended = block.rstrip().rstrip("*_\"'\u201d)").endswith((".", "!", "?"))
    return ended or len(block.split()) >= _SHORT_LINE


def _items(text: str) -> list[str]:
    numbered = [p.strip() for p in _NUMBERED.split(text)[1:]]
    return numbered or _bullets(text)


def _bullets(text: str) -> list[str]:
    for mark in (_BULLET, _NUMBERED):
        found = [mark.sub("", x) for x in text.splitlines() if mark.match(x)]
        if found:
            return found
    return []


def _sections(text: str) -> list[str]:
    for mark in (_HEADING, _BOLD_LINE, _NUMBERED, _CAPITAL_LINE):
        starts = [m.start() for m in mark.finditer(text)]
        if len(starts) > 1:
            cuts = zip(starts, [*starts[1:], len(text)], strict=True)
            return [_without_title(text[a:b]) for a, b in cuts]
    return _paragraphs(text)


def _without_title(section: str) -> str:
    title, _, body = section.strip().partition("\n")
    return body or title


def _code_blocks(text: str) -> list[str]:
    return _CODE.findall(text)


_PARTS: Mapping[str, Callable[[str], list[str]]] = {
    "response": lambda text: [text],
    "paragraph": lambda text: [p for p in _paragraphs(text) if _is_body(p)],
    "section": _sections,
    "bullet": _bullets,
    "item": _items,
    "line": lambda text: _nonblank(text.splitlines()),
    "stanza": _paragraphs,
    "sentence": _sentences,
    "code_block": _code_blocks,
}


def parts(text: str, scope: str) -> list[str]:
    """Cut an answer into its parts of a kind, their marks left off.

    Args:
        text: The answer.
        scope: What parts.

    Returns:
        The parts in order; none if there are none.
    """
    return _PARTS[scope](text)


def _count_words(text: str) -> set[int]:
    spaced = text.split()
    return {
        len(_WORD.findall(text)),
        len(spaced),
        sum(1 for w in spaced if _LETTER_OR_DIGIT.search(w)),
    }


def _count_paragraphs(text: str) -> set[int]:
    blocks = _paragraphs(text)
    return {len(blocks), sum(1 for b in blocks if _is_body(b))}


def _count_bullets(text: str) -> set[int]:
    plain = _CODE.sub("\n", text)
    return {len(_BULLET.findall(plain)) or len(_NUMBERED.findall(plain))}


def _count_numbered(text: str) -> set[int]:
    plain = _CODE.sub("\n", text)
    return {len(_NUMBERED.findall(plain)) or len(_BULLET.findall(plain))}


def _count_sections(text: str) -> set[int]:
    levels = {
        len(re.findall(rf"^\s{{0,3}}#{{{level}}}\s+\S", text, re.MULTILINE))
        for level in range(1, 7)
    }
    marks = (_HEADING, _BOLD_LINE, _CAPITAL_LINE, _NAMED, _NUMBERED)
    seen = levels | {len(mark.findall(text)) for mark in marks}
    dividers = len(_DIVIDER.findall(text))
    seen.add(dividers + 1 if dividers else 0)
    if not _HEADING.search(text):
        seen.add(len(_paragraphs(text)))
    return seen - {0} or {0}


def _count_sentences(text: str) -> set[int]:
    found = len(_sentences(text))
    # A response that is one block of code, such as a table, has its text in there.
    return {found or len(_sentences(text.replace("```", "\n")))}


def _is_label(line: str) -> bool:
    text = line.strip()
    wrapped = text.startswith(("[", "(", "**")) and text.endswith(("]", ")", "**"))
    return wrapped or text.endswith((":", ":**")) or bool(_HEADING.match(line))


def _count_lines(text: str) -> set[int]:
    blocks = _code_blocks(text)
    if blocks:
        inside = [_nonblank(b.strip("`").splitlines()[1:]) for b in blocks]
        return {sum(map(len, inside)), len(_nonblank(text.splitlines()))}
    lines = _nonblank(text.splitlines())
    return {len(lines), sum(1 for line in lines if not _is_label(line))}


_COUNTS: Mapping[str, Callable[[str], set[int]]] = {
    "words": _count_words,
    "characters": lambda text: {len(text)},
    "sentences": _count_sentences,
    "paragraphs": _count_paragraphs,
    "bullets": _count_bullets,
    "numbered": _count_numbered,
    "sections": _count_sections,
    "lines": _count_lines,
    "stanzas": _count_paragraphs,
    "code_blocks": lambda text: {len(_code_blocks(text))},
    "headings": lambda text: {len(_HEADING.findall(text))},
    "highlights": lambda text: {len(_HIGHLIGHT.findall(text))},
    "placeholders": lambda text: {len(_PLACEHOLDER.findall(text))},
    "emojis": lambda text: {len(_EMOJI.findall(text))},
    "capital_words": lambda text: {sum(w.isupper() for w in _WORD.findall(text))},
}


def counts(text: str, unit: str) -> tuple[int, ...]:
    """Count a unit, in all readings that are fair.

    Args:
        text: The answer or a part of it.
        unit: What is counted.

    Returns:
        The counts, ascending; most units have one.
    """
    return tuple(sorted(_COUNTS[unit](text)))


@lru_cache(maxsize=1024)
def _as_word(text: str) -> re.Pattern[str]:
    words = r"\s+".join(re.escape(w) for w in text.split())
    return re.compile(rf"(?<!\w){words}(?!\w)", re.IGNORECASE)


def occurrences(word: str, text: str) -> int:
    """Count a word or phrase, as a whole word and in any case of letters."""
    return len(_as_word(word).findall(text))


def has_table(text: str) -> bool:
    """Tell whether there is a Markdown table."""
    lines = [line.strip() for line in text.splitlines()]
    rows = [line[:1] == "|" == line[-1:] and len(line) > 1 for line in lines]
    return any(
        rows[at] and rows[at + 1] and set(lines[at + 1]) <= set("|:- \t")
        for at in range(len(lines) - 1)
    )


def has_divider(text: str) -> bool:
    """Tell whether there is a Markdown divider."""
    return _DIVIDER.search(text) is not None


def has_capital_heading(text: str) -> bool:
    """Tell whether a line opens in capital letters as a heading does."""
    return _CAPITAL_LINE.search(text) is not None


def has_angle_title(text: str) -> bool:
    """Tell whether there is a title in double angular brackets."""
    return any(title.strip() for title in re.findall(r"<<([^<>\n]+)>>", text))
