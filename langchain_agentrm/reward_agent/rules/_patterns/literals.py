"""Given texts: how an answer starts and ends, its titles, labels and templates."""

from __future__ import annotations

import re

from langchain_agentrm.reward_agent.rules._patterns.reader import (
    LIST,
    QUOTED,
    Reader,
    quoted,
)
from langchain_agentrm.reward_agent.rules.dsl import (
    Count,
    End,
    FirstWord,
    Label,
    Options,
    Parts,
    Postscript,
    Repeat,
    Scope,
    Start,
    Template,
)

__all__ = ["read_literals", "read_options"]

_EDGE = re.compile(
    r"\b(?P<verb>start|begin|end|finish|conclude)(?:s|ed|ing|ning)?\b"
    r"(?: (?:your|the) (?:\w+ )?(?:response|answer|reply|email|letter|story|essay"
    r"|output)| it| (?P<each>(?:each|every) \w+))?(?: \w+){0,2}? (?:with|by|in)"
    r"(?: (?:the|this))?"
    r"(?: (?:exact |following |exact same )?(?:phrase|words?|sentence|text|title|label"
    r"|statement|question|line))?:?"
    rf" (?:of )?(?P<text>{QUOTED})",
    re.IGNORECASE,
)
_PLAIN_END = re.compile(
    r"\b(?i:end|finish|conclude)(?:ing)? (?:(?:your|the) (?:\w+ )?\w+|it)"
    r" with(?: (?:the|this)(?: exact)? (?:phrase|sentence|words?|question))?:"
    r"\s+(?P<text>[A-Z][^.?!\n]{2,80}[.?!]?)",
)
_VERY_END = re.compile(
    rf"\b(?:very )?end of (?:your|the) \w+ should (?:read|be|say):? (?P<text>{QUOTED})",
    re.IGNORECASE,
)
_EACH = re.compile(r"\b(?:each|every)\b[ \w]{0,40}$", re.IGNORECASE)
# "1." or "-" at each item asks for a list, which other patterns read.
_LIST_MARK = re.compile(r"\W*\d{0,2}\W*")
_EACH_PART: tuple[tuple[str, Scope], ...] = (
    ("paragraph", "paragraph"),
    ("section", "section"),
    ("sentence", "sentence"),
    ("bullet", "bullet"),
    ("line", "line"),
    ("item", "item"),
    ("step", "item"),
)
_TITLED = re.compile(
    r"\b(?:titled|labell?ed|entitled|marked(?: as| with)?|headed|heading"
    r"|(?:section|part|chapter|column|heading|header|row|file)s? (?:named|called)"
    rf"|header|section|columns?)\b[: ]+(?:the )?(?P<text>{LIST})",
    re.IGNORECASE,
)
_PHRASE = r"[A-Z][\w&'-]*(?: (?:of|the|in|for|to|[A-Z\d][\w&'-]*)\b){0,6}"
_LISTED = re.compile(
    r"\b(?:sections?|parts|columns|headings|headers|titles|format|structure)\b"
    r"(?: \w+){0,2}?(?: (?:for|titled|labell?ed|named|called))?:? "
    rf"(?P<list>{QUOTED}(?:,? (?:and |or )?{QUOTED})+"
    rf"|(?<=: ){_PHRASE}(?:, {_PHRASE})*(?:,? and {_PHRASE}))",
)
_TITLED_CAPITALS = re.compile(
    r"(?:titled|labeled|sections?:|called) (?P<text>(?:[A-Z][A-Z'&-]+ ?){1,8})\b"
)
_TEMPLATE = re.compile(
    r"(?P<text>'[^'\n]{0,30}\{[^{}\n]+\}[^'\n]{0,30}'"
    r"|\"[^\"\n]{0,30}\{[^{}\n]+\}[^\"\n]{0,30}\")"
)
_POSTSCRIPT = re.compile(
    r"post ?script|(?<!\w)(?:P\.\s?P\.\s?S\.?|P\.\s?S\.)", re.IGNORECASE
)
_DOUBLE_POSTSCRIPT = re.compile(r"(?<!\w)P\.\s?P\.\s?S\b")
_MARKED_SECTIONS = re.compile(
    r"\b(?P<n>\d{1,3}) (?:\w+ )?(?:sections|parts|chapters|days|rounds)\b"
    r"(?:(?!\d+ )[^{}]){0,160}?(?:mark|start|begin|label|separat)[^.:]{{0,60}}?"
    r"(?:with|as|by) (?:the )?(?:word )?['\"]?(?P<marker>[A-Za-z]+)['\"]? ?(?:X|\d)\b",
    re.IGNORECASE,
)
_NTH_PARAGRAPH = (
    r"(?:paragraph (?P<after>\d+)|(?:the )?(?P<word>first|second|third|fourth|fifth"
    r"|sixth|seventh|eighth|ninth|tenth|(?P<before>\d+)(?:st|nd|rd|th)) paragraph)"
)
_WITH_WORD = rf" with (?:the )?(?:word )?(?:of )?(?P<text>{QUOTED}|\w+)"
_FIRST_WORDS = (
    re.compile(
        rf"\b{_NTH_PARAGRAPH}[^.]{{0,40}}?(?:start|begin)s?(?:ning)?(?: \w+)?"
        rf"{_WITH_WORD}",
        re.IGNORECASE,
    ),
    re.compile(rf"\b(?:start|begin) {_NTH_PARAGRAPH}{_WITH_WORD}", re.IGNORECASE),
)
_ORDINALS = [
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
]
_OPTIONS = re.compile(
    r"\b(?:(?:one of the (?:following|options|phrases|choices)|choose (?:from|one)"
    r"|options)\b[^'\"]{0,60}"
    rf"(?P<list>{QUOTED}(?:(?:,? ?(?:and|or) |, ?| )?{QUOTED})+)"
    r"|(?:answer|reply|respond)(?: with)?(?: either)?:? "
    rf"(?P<either>{QUOTED}(?:,? or {QUOTED}|, {QUOTED})+))",
    re.IGNORECASE,
)
_TWO = re.compile(
    r"\b(?P<n>\d|two|three) (?:\w+ ){0,2}(?:responses|answers|versions|replies|\w+s)\b"
    r"[^*]{0,160}?(?P<separator>\*{6})",
    re.IGNORECASE,
)
_REPEAT = re.compile(
    r"\brepeat (?:the|this|my) (?:(?:entire|exact|whole|full) )*"
    r"(?:request|question|prompt|sentence|instruction)s?\b"
    r"[^.\n]{0,40}?(?:word for word|without change|exactly|above|first|before)",
    re.IGNORECASE,
)
_WORDS_FOR_TWO = 2
_SHORTEST_LABEL = 4


def read_literals(reader: Reader) -> None:
    """Read texts that the answer has to carry at given places.

    Args:
        reader: The request; gets the rules.
    """
    _first_words(reader)
    _edges(reader)
    _labels(reader)
    for match in _TEMPLATE.finditer(reader.text):
        text = match.group("text")[1:-1]
        if "\\" in text or "$" in text:
            continue
        if re.search(r"\w", re.sub(r"\{[^{}]*\}", "", text)):
            each = _EACH.search(reader.before(match, 100))
            reader.add(Template(text=text, n=_sections_told(reader) if each else 1))
    if _POSTSCRIPT.search(reader.text):
        double = _DOUBLE_POSTSCRIPT.search(reader.text)
        reader.add(Postscript(text="P.P.S" if double else "P.S."))
    for match in _TWO.finditer(reader.text):
        named = match.group("n").lower()
        n = {"two": 2, "three": 3}.get(named) or int(named)
        if n >= _WORDS_FOR_TWO:
            reader.add(Parts(n=n, separator=match.group("separator")))
    _sections(reader)
    _repeats(reader)


def read_options(reader: Reader) -> None:
    """Read what the answer may choose from, before its options look like keywords.

    Args:
        reader: The request; gets the rules.
    """
    for match in _OPTIONS.finditer(reader.text):
        options = quoted(match.group("list") or match.group("either"))
        if len(options) > 1:
            reader.add(Options(options=tuple(options)))
            reader.take(match)


def _edges(reader: Reader) -> None:
    for pattern in (_EDGE, _PLAIN_END, _VERY_END):
        for match in pattern.finditer(reader.text):
            # The name of the text may be in the text itself: "end" in "the end".
            found = quoted(match.group("text")) or [match.group("text").strip()]
            before = reader.before(match)
            if not reader.free(match) or "{" in match.group("text"):
                continue
            verb = match.groupdict().get("verb", "end").lower()
            kind = End if verb[0] in "ecf" else Start
            each = match.groupdict().get("each") or _EACH.search(before)
            named = each if isinstance(each, str) or not each else each.group(0)
            reader.take(match)
            if _LIST_MARK.fullmatch(found[0]):
                continue
            if not named:
                reader.add(kind(text=found[0]))
            elif scope := _part(named) or _part(reader.before(match, 100)):
                reader.add(kind(text=found[0], scope=scope))


def _part(text: str) -> Scope | None:
    """Read which parts are meant: those named last."""
    places = [(text.lower().rfind(word), scope) for word, scope in _EACH_PART]
    place, scope = max(places)
    return scope if place >= 0 else None


def _labels(reader: Reader) -> None:
    for match in _LISTED.finditer(reader.text):
        names = match.group("list")
        found = quoted(names) or re.split(r",? and |, ", names)
        for name in found:
            if "{" not in name and len(name) > 1:
                reader.add(Label(text=re.sub(r"^#+ ?", "", name)))
    for match in _TITLED.finditer(reader.text):
        name = match.group("text")
        if "{" in name:
            reader.add(Template(text=name.strip("'\"")))
        else:
            for label in quoted(name):
                reader.add(Label(text=re.sub(r"^#+ ?", "", label)))
    for match in _TITLED_CAPITALS.finditer(reader.text):
        name = match.group("text").strip()
        if len(name) >= _SHORTEST_LABEL:
            reader.add(Label(text=name))


def _sections_told(reader: Reader) -> int:
    """Give how many sections, steps or items were asked for at least."""
    units = {"sections", "numbered", "paragraphs"}
    told = [
        rule.n
        for rule in reader.rules
        if isinstance(rule, Count)
        and rule.unit in units
        and rule.scope == "response"
        and rule.relation in {"exactly", "at_least", "between"}
    ]
    return max([1, told[0]]) if told else 1


def _first_words(reader: Reader) -> None:
    total = next(
        (
            rule.n
            for rule in reader.rules
            if isinstance(rule, Count)
            and rule.unit == "paragraphs"
            and rule.scope == "response"
            and rule.relation == "exactly"
        ),
        None,
    )
    for match in (m for p in _FIRST_WORDS for m in p.finditer(reader.text)):
        nth = match.group("after") or match.group("before")
        place = int(nth) if nth else _ORDINALS.index(match.group("word").lower()) + 1
        named = match.group("text")
        word = (quoted(named) or [named])[0]
        if total and 1 <= place <= total:
            reader.add(FirstWord(text=word, nth=place, paragraphs=total))
            reader.take(match)


def _sections(reader: Reader) -> None:
    for match in _MARKED_SECTIONS.finditer(reader.text):
        n, marker = int(match.group("n")), match.group("marker")
        same = [
            at
            for at, rule in enumerate(reader.rules)
            if isinstance(rule, Count)
            and rule.unit in {"sections", "paragraphs"}
            and rule.n == n
        ]
        relation = reader.rules[same[0]] if same else None
        told = relation.relation if isinstance(relation, Count) else "exactly"
        rule = Count(unit="sections", relation=told, n=n, marker=marker)
        if same:
            reader.rules[same[0]] = rule
        else:
            reader.add(rule)


def _repeats(reader: Reader) -> None:
    match = _REPEAT.search(reader.original)
    if match:
        # The sentence that says so is no part of what is to be repeated.
        opening = max(reader.original.rfind(mark, 0, match.start()) for mark in ".!?\n")
        request = reader.original[: opening + 1].strip()
        if request:
            reader.add(Repeat(text=request))
