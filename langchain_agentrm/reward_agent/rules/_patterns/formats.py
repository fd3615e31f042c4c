"""Formats: lists, tables, JSON, case of letters, titles, languages."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from langchain_agentrm.reward_agent.rules._patterns.reader import Reader
from langchain_agentrm.reward_agent.rules.dsl import (
    Capitals,
    Case,
    Count,
    Format,
    Language,
    Quotation,
    Rule,
    Scope,
    Unit,
)

__all__ = ["read_formats"]

# At least one of the unit, unless a number of it was asked for.
_SOME_WORDS: Sequence[tuple[Unit, str]] = (
    (
        "numbered",
        (
            r"\bnumbered (?:list|format|bullet|points|steps|items|sections|entries)"
            r"|in a numbered|each (?:\w+ )?(?:must be |is )?numbered"
        ),
    ),
    ("bullets", r"\bbullet(?:ed)?[- ]?(?:point)?s?\b"),
    (
        "code_blocks",
        r"triple backticks|code block|code snippet|syntax highlighting|fenced",
    ),
    (
        "highlights",
        (
            r"(?:each|every)[^.,;]{0,40}(?:title|heading|header)[^.,;]{0,40}bold"
            r"|bold(?:ed)? (?:title|heading|header)|title (?:formatted )?in bold"
            r"|double asterisks|\bin bold"
        ),
    ),
    (
        "headings",
        (
            r"(?:^|[\s'\"])##? ?[{<A-Z]|markdown head|heading level"
            r"|header (?:formatted )?in markdown|heading in markdown"
            r"|headers? in (?:the )?markdown"
        ),
    ),
    ("placeholders", r"\bsquare brackets"),
)
_SOME = tuple(
    (unit, re.compile(words, re.IGNORECASE | re.MULTILINE))
    for unit, words in _SOME_WORDS
)
_FORMATS: Sequence[tuple[Rule, re.Pattern[str]]] = tuple(
    (rule, re.compile(words, re.IGNORECASE))
    for rule, words in (
        (
            Format(format="table"),
            (
                r"\btable\b (?:format|with|in markdown|using)|markdown table"
                r"|in a table\b|table format"
            ),
        ),
        (
            Format(format="json"),
            r"\b(?:valid |in )json\b|json (?:format|object)|wrapped in json",
        ),
        (
            Format(format="angle_title"),
            r"double angular brackets|double angle brackets|<<\s?(?:your )?title\s?>>",
        ),
        (
            Format(format="capital_heading"),
            (
                r"(?:heading|header|title) in (?:all )?(?:upper|caps)"
                r"|all[- ]caps heading|uppercase heading"
                r"|title in all capital letters"
            ),
        ),
        (
            Quotation(),
            (
                r"(?:wrap|enclose|put|surround)[^.]{0,60}\b(?:in|with|within|inside)"
                r" (?:a pair of )?double quot"
                r"|(?:response|answer|reply|output|everything|it)[^.]{0,40}"
                r"(?:wrapped|enclosed|surrounded)[^.]{0,20}double quot"
                r"|double quot(?:ation|e)[^.]{0,20} around (?:your|the)"
            ),
        ),
    )
)
_DIVIDER = re.compile(
    r"markdown (?:divider|separator)"
    r"|(?:separat|divid)\w*[^.]{0,60}(?<!\*)(?:\*\*\*|\* \* \*)(?!\*)"
    r"|(?<!\*)(?:\*\*\*|\* \* \*)(?!\*) (?:as|to) [^.]{0,20}separat",
    re.IGNORECASE,
)
_WHOLE = r"response|answer|reply|letter|output|poem|story|song|text|email|essay"
_LOWER = re.compile(
    rf"(?:entire )?(?:{_WHOLE})[^.]{{0,60}}(?:in )?(?:all )?lower ?-?case"
    r"|no (?:capital|uppercase) letters|\ball (?:in )?lower ?-?case"
    r"|\b(?:use|in) only lower ?-?case|only (?:use )?lower ?-?case"
    r"|not (?:contain|have|include|use) any (?:capital|uppercase) letters"
    r"|capital letters (?:are|is) (?:not allowed|forbidden)"
    r"|(?:without|avoid|not use|don't use)[^.]{0,30}capital letters",
    re.IGNORECASE,
)
_UPPER = re.compile(
    rf"(?:entire |whole )?(?:{_WHOLE})[^.;,]{{0,40}}(?:in |be )"
    r"(?:all capital letters|all caps|english and in all capital|all uppercase)"
    r"|only (?:in |use |using )?(?:capital|uppercase) letters|all capital letters"
    r"|all letters[^.]{0,40}capitali[sz]ed"
    r"|all capitals\b|all uppercase|english capital letters"
    r"|(?:in|use|using) capital letters",
    re.IGNORECASE,
)
_OF_A_PART = re.compile(
    r"head|title|section|label|word|name|start|begin|first|each|sentence|not|item",
    re.IGNORECASE,
)
_ENGLISH = re.compile(r"\bin english\b|english", re.IGNORECASE)
_CAPITAL_START = re.compile(
    r"(?:each|every) (?P<part>[^.,;]{0,45}?)(?:start|begin)(?:s|ning)?(?: with)?"
    r" (?:with )?an? capital|beginning with a capital",
    re.IGNORECASE,
)
_CAPITAL_PARTS: Mapping[str, Scope] = {
    "sentence": "sentence",
    "paragraph": "paragraph",
    "line": "line",
    "section": "section",
}
_LANGUAGES: Mapping[str, str] = {
    "arabic": "ar",
    "bengali": "bn",
    "bulgarian": "bg",
    "chinese": "zh",
    "czech": "cs",
    "danish": "da",
    "dutch": "nl",
    "english": "en",
    "finnish": "fi",
    "french": "fr",
    "german": "de",
    "greek": "el",
    "gujarati": "gu",
    "hebrew": "he",
    "hindi": "hi",
    "hungarian": "hu",
    "indonesian": "id",
    "italian": "it",
    "japanese": "ja",
    "kannada": "kn",
    "korean": "ko",
    "malayalam": "ml",
    "marathi": "mr",
    "nepali": "ne",
    "norwegian": "no",
    "persian": "fa",
    "farsi": "fa",
    "polish": "pl",
    "portuguese": "pt",
    "punjabi": "pa",
    "romanian": "ro",
    "russian": "ru",
    "spanish": "es",
    "swahili": "sw",
    "swedish": "sv",
    "tagalog": "tl",
    "tamil": "ta",
    "telugu": "te",
    "thai": "th",
    "turkish": "tr",
    "ukrainian": "uk",
    "urdu": "ur",
    "vietnamese": "vi",
}
_NAMES = "|".join(_LANGUAGES)
_LANGUAGE = re.compile(
    rf"\b(?:{_WHOLE}|everything|respond|reply|answer|write)\b[^.?!]{{0,60}}?"
    rf"\b(?:in|using)(?: the| only)? (?P<name>{_NAMES})\b"
    rf"|\bonly (?:use |in )?(?:the )?(?P<other>{_NAMES})\b"
    rf"|\b(?:using only (?:the )?(?P<third>{_NAMES})\b"
    rf"|(?:use|using|in) (?P<fourth>{_NAMES})(?: language)? only\b)",
    re.IGNORECASE,
)


def read_formats(reader: Reader) -> None:
    """Read what form the answer is to have.

    Args:
        reader: The request; gets the rules.
    """
    for rule, pattern in _FORMATS:
        if pattern.search(reader.text):
            reader.add(rule)
    _dividers(reader)
    counted = {rule.unit for rule in reader.rules if isinstance(rule, Count)}
    for unit, pattern in _SOME:
        if unit not in counted and pattern.search(reader.text):
            reader.add(Count(unit=unit, relation="at_least", n=1))
    _cases(reader)
    _languages(reader)
    for match in _CAPITAL_START.finditer(reader.text):
        named = (match.group("part") or "").lower()
        found = [s for word, s in _CAPITAL_PARTS.items() if word in named]
        scope: Scope = found[0] if found else "item"
        reader.add(Capitals(scope=scope))


def _dividers(reader: Reader) -> None:
    if not _DIVIDER.search(reader.text):
        return
    for at, rule in enumerate(reader.rules):
        parts = {"paragraphs", "sections", "stanzas"}
        if isinstance(rule, Count) and rule.unit in parts and not rule.separator:
            starred = "***" in reader.text or "* * *" in reader.text
            if starred and rule.scope == "response":
                reader.rules[at] = rule.model_copy(update={"separator": "***"})
                return
    reader.add(Format(format="divider"))


def _cases(reader: Reader) -> None:
    text = reader.text
    lower, upper = _LOWER.search(text), None
    for match in _UPPER.finditer(text):
        near = re.split(r"[.!?]", reader.before(match, 45))[-1] + match.group(0)
        if not _OF_A_PART.search(near):
            upper = match
    if lower and not _OF_A_PART.search(reader.before(lower, 20)):
        reader.add(Case(case="lower", english=_english(text, lower)))
    elif upper:
        reader.add(Case(case="upper", english=_english(text, upper)))


def _english(text: str, match: re.Match[str]) -> bool:
    return bool(_ENGLISH.search(text[max(0, match.start() - 60) : match.end() + 30]))


def _languages(reader: Reader) -> None:
    for match in _LANGUAGE.finditer(reader.text):
        names = match.group("name", "other", "third", "fourth")
        code = _LANGUAGES[next(name.lower() for name in names if name)]
        if code != "en":
            reader.add(Language(language=code))
