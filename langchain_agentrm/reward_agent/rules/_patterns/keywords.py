"""Words that must occur, so often, or not at all."""

from __future__ import annotations

import re

from langchain_agentrm.reward_agent.rules._patterns.reader import (
    LIST,
    QUOTED,
    Reader,
    quoted,
    relation_before,
)
from langchain_agentrm.reward_agent.rules.dsl import (
    Count,
    Forbid,
    Frequency,
    Keyword,
    Letter,
    Relation,
    Without,
)

__all__ = ["read_keywords"]

_DIGITS = re.compile(r"\d+")
_TIMES = {"once": 1, "twice": 2, "thrice": 3}
_N = (
    r"(?P<n>(?:\d{1,4}(?: ?- ?| to | or | and ))?\d{1,4} times?|\d{1,4} or more times"
    r"|once|twice|thrice)"
)
_BARE = r"\w{1,100}(?!\w)"
_WORD_TIMES = re.compile(
    rf"\b(?:key ?)?(?:words?|phrase|term)(?:: ?| )(?P<word>{QUOTED}|{_BARE})"
    rf"(?P<mid>[^.;'\"{{}}]{{0,60}}?)\b{_N}",
    re.IGNORECASE,
)
_TIMES_WORD = re.compile(
    rf"\b(?:use|include|mention|repeat|contain)s? (?:the )?(?:key ?)?(?:word|phrase"
    rf"|term) (?P<word>{QUOTED}|{_BARE}),? (?P<mid>(?:[\w ]{{0,30}} )?){_N}",
    re.IGNORECASE,
)
_LETTER_TIMES = re.compile(
    r"\bletters? ['\"]?(?P<letter>[a-zA-Z#!?*])['\"]? (?P<mid>[^.;]{0,50}?)"
    r"(?P<n>\d{1,4} times|once|twice|thrice)",
)
_NO_LETTER = re.compile(
    r"\b(?:not|n't|without|avoid|never)\b[^.;\n]{0,30} the letter"
    r" ['\"]?(?P<letter>[a-zA-Z])['\"]?(?!\w)",
    re.IGNORECASE,
)
_CAPITALS = re.compile(
    r"\b(?:words? (?:with|in) (?:all )?capital(?:s| letters)|all[- ]caps? words|"
    r"(?:fully )?capitali[sz]ed words|words in all caps)\b(?P<mid>[^.;]{0,60}?)"
    r"(?P<n>\d{1,4})(?: or more)? times",
    re.IGNORECASE,
)
_CAPITALS_OF = re.compile(
    r"(?P<n>\d{1,4})(?: or more)? (?:words?(?: or phrases)?[^.,;]{0,30}"
    r"\b(?:with|in) (?:all )?(?:capitals?(?: letters)?|caps)\b|all[- ]caps? words)",
    re.IGNORECASE,
)
_OCCUR = re.compile(r"appear|use|mention|include|occur|repeat|least|exact|must|should")
_LISTED = re.compile(
    rf"\b(?:key ?words?|(?:the )?(?:following )?(?:key ?)?(?:words?|terms?|phrases?))"
    rf"\b[:\s]+(?P<list>{LIST})",
    re.IGNORECASE,
)
_PIECE = r"[\w\-]{1,100}(?![\w\-])"
_ITEM = rf"{_PIECE}(?: {_PIECE})?"
# "The word 'x'" alone asks for nothing: it must be one that is to be used.
_TO_USE = re.compile(
    r"\b(?:includ\w+|us(?:e|es|ing)|contain\w*|mention\w*|incorporat\w+|featur\w+"
    r"|hav(?:e|ing)|has|add|following|not|avoid\w*|without|exclud\w+|refrain|omit"
    r"|don't|never|forbid\w*)\b(?![^.;]*\b(?:start|begin|end|title|label|from|by)\w*)"
    r"[^.;]{0,50}$",
    re.IGNORECASE,
)
_PLAIN = re.compile(
    r"\b(?:key ?words|keyword|(?:includes?|use|contains?|has|have) the words):? "
    rf"\[?(?P<list>{_ITEM}(?:, (?!and ){_ITEM})*"
    rf"(?:,? and {_ITEM})?)\]?(?=[.,;\n]|$| in (?:your|the)"
    rf"| and (?:format|present|ensure|include|provide|be|contain))",
    re.IGNORECASE,
)
_PLAIN_FORBIDDEN = re.compile(
    rf"\b(?:do not|don't|never|avoid|without|refrain from)\b[^.;:\n]{{0,30}}?"
    rf"\b(?:the )?(?:following )?(?:key ?)?(?:words?|terms?|phrases?)\b(?:[: ]+)"
    rf"(?P<list>{_ITEM}(?:, (?!and |or ){_ITEM})*(?:,? (?:and|or) {_ITEM})?)"
    rf"(?=[.,;\n]|$| in (?:your|the|any))",
    re.IGNORECASE,
)
_BANNED = re.compile(
    rf"\bthe (?:key ?)?words? (?P<list>{LIST}|{_ITEM}(?:,? (?:and|or) {_ITEM})?)"
    r" (?:can ?not|must not|should not|may not|are not|is not)"
    r" (?:be|allowed|appear|used|occur)",
    re.IGNORECASE,
)
_DIRECT = re.compile(
    rf"\b(?:mention|include|including) (?P<list>{LIST})(?! (?:section|column|heading))",
    re.IGNORECASE,
)
_NO_NAME = re.compile(
    r"(?:in|from|used|that|should|must|are|related|to|at|of|which|with|such|is|or|and"
    r"|for|you|the|like|count|limit|long|each|per|your|it|a|an|more|were|can)\b",
    re.IGNORECASE,
)
_NEGATED = re.compile(
    r"\b(?:not|avoid|without|exclude|excluding|don't|never|forbid\w*|refrain|omit)\b"
    r"[^.;]{0,40}$",
    re.IGNORECASE,
)
_NO_COMMA = re.compile(
    r"\b(?:no|not (?:use|include|contain)(?: any)?|without(?: using| the use of)?"
    r"(?: any)?|avoid(?: using| the use of)?(?: any)?|don't (?:use|include)(?: any)?"
    r"|refrain from (?:using|the use of)(?: any)?|use zero|free of|any) commas?\b"
    r"|\bcommas? (?:are|is) (?:not allowed|forbidden)",
    re.IGNORECASE,
)
_ANY_COMMAS = re.compile(
    r"(?:not|no|never|without|refrain|avoid|n't)\b[^.]*$", re.IGNORECASE
)


def read_keywords(reader: Reader, bare_frequency: Relation) -> None:
    """Read keywords, their numbers, forbidden words and characters.

    Args:
        reader: The request; gets the rules.
        bare_frequency: What "should appear 3 times" means.
    """
    _frequencies(reader, bare_frequency)
    _quoted_words(reader)
    _plain_words(reader)
    for match in _NO_COMMA.finditer(reader.text):
        if not match.group(0).lower().startswith("any") or _ANY_COMMAS.search(
            reader.before(match)
        ):
            reader.add(Without(text=","))


def _quoted_words(reader: Reader) -> None:
    for match in _LISTED.finditer(reader.text):
        keyed = match.group(0).lower().startswith("key")
        if reader.free(match) and (keyed or _TO_USE.search(reader.before(match, 60))):
            _words(reader, match, quoted(match.group("list")))
    for match in _BANNED.finditer(reader.text):
        words = match.group("list")
        if reader.free(match):
            _words(reader, match, quoted(words) or _split(words), forbidden=True)
    for match in _DIRECT.finditer(reader.text):
        words = [w for w in quoted(match.group("list")) if "{" not in w]
        if reader.free(match) and "**" not in match.group("list"):
            _words(reader, match, words)


def _plain_words(reader: Reader) -> None:
    for match in _PLAIN_FORBIDDEN.finditer(reader.text):
        words = match.group("list")
        if reader.free(match) and not _NO_NAME.match(words):
            _words(reader, match, _split(words), forbidden=True)
    for match in _PLAIN.finditer(reader.text):
        words = match.group("list")
        if reader.free(match) and not _NO_NAME.match(words):
            _words(reader, match, _split(words))


def _split(words: str) -> list[str]:
    return [w.strip() for w in re.split(r",? (?:and|or) |, ", words) if w.strip()]


def _words(
    reader: Reader, match: re.Match[str], words: list[str], *, forbidden: bool = False
) -> None:
    reader.take(match)
    negated = forbidden or _NEGATED.search(reader.before(match, 50))
    for word in words:
        reader.add(Forbid(text=word) if negated else Keyword(text=word))


def _frequencies(reader: Reader, bare: Relation) -> None:
    for pattern in (_WORD_TIMES, _TIMES_WORD):
        for match in pattern.finditer(reader.text):
            _frequency(reader, match, bare)
    for match in _LETTER_TIMES.finditer(reader.text):
        relation = relation_before(match.group("mid")) or bare
        letter, times = match.group("letter"), match.group("n")
        n = _TIMES.get(times) or int(times.split()[0])
        reader.add(Letter(text=letter, relation=relation, n=n))
        reader.take(match)
    for match in _NO_LETTER.finditer(reader.text):
        if reader.free(match):
            reader.add(Letter(text=match.group("letter"), relation="less_than", n=1))
            reader.take(match)
    for pattern in (_CAPITALS, _CAPITALS_OF):
        for match in pattern.finditer(reader.text):
            if not reader.free(match):
                continue
            before = match.groupdict().get("mid") or reader.before(match)
            relation = relation_before(before) or bare
            n = int(match.group("n"))
            reader.add(Count(unit="capital_words", relation=relation, n=n))
            reader.take(match)


def _frequency(reader: Reader, match: re.Match[str], bare: Relation) -> None:
    told = f"{reader.before(match, 30)} {match.group('mid')}".lower()
    word = match.group("word")
    if not reader.free(match) or not _OCCUR.search(told):
        return
    plain = not re.match(QUOTED, word)
    if plain and _NO_NAME.match(word):
        return
    times = match.group("n").lower()
    numbers = [_TIMES[times]] if times in _TIMES else _DIGITS.findall(times)
    n, high = int(numbers[0]), int(numbers[-1])
    relation = relation_before(match.group("mid")) or bare
    if "or more" in times:
        relation = "at_least"
    name = word if plain else quoted(word)[0]
    reader.take(match)
    if high > n:
        reader.add(Frequency(text=name, relation="between", n=n, n_max=high))
    else:
        reader.add(Frequency(text=name, relation=relation, n=n))
