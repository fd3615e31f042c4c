"""English text into terms, as Lucene's English analyser cuts and stems it."""

from __future__ import annotations

import re
import threading
import unicodedata
from functools import cache

__all__ = ["STOP_WORDS", "Analyser"]

_STOP = """
a an and are as at be but by for if in into is it no not of on or such that the their
then there these they this to was will with
"""
STOP_WORDS = frozenset(_STOP.split())

_LONGEST = 255
_POSSESSIVE = re.compile(r"['\u2019\uff07][sS]$")

# Lucene stems with Porter's own later program, PyStemmer with the published algorithm.
# They differ in two endings behind a syllable, in some doubled consonants, and in words
# of two letters.
_SYLLABLE = re.compile("[aeiouy][^aeiouy]")
_ENDINGS = (
    *((f"bl{end}", "ble") for end in ("y", "i", "ies", "ys")),
    *((f"log{end}", "log") for end in ("y", "i", "ies", "ys")),
)
_DOUBLED = tuple(2 * letter for letter in "chjkqvwx")
_SHORT = 2
_REMEMBERED = 200_000


class Analyser:
    """Cuts English text into the terms that are indexed and searched."""

    def __init__(self) -> None:
        # Loaded here: naming tasks needs no stemmer.
        import Stemmer  # type: ignore[import-not-found]

        self._stemmer = Stemmer.Stemmer("porter")
        self._stems: dict[str, str] = {}
        # A stemmer holds buffers, so that threads take turns.
        self._lock = threading.Lock()

    def terms(self, text: str) -> list[str]:
        """Return the terms of a text: words in small letters, stemmed, no stop words.

        Args:
            text: Any text.
        """
        out = []
        for word in _words().findall(text):
            for start in range(0, len(word), _LONGEST):
                part = _POSSESSIVE.sub("", word[start : start + _LONGEST]).lower()
                if part not in STOP_WORDS:
                    out.append(self._stems.get(part) or self._stem(part))
        return out

    def _stem(self, word: str) -> str:
        if len(word) <= _SHORT:
            return word
        with self._lock:
            stem: str = self._stemmer.stemWord(_as_lucene(word))
            if len(self._stems) < _REMEMBERED:
                self._stems[word] = stem
        return stem


def _as_lucene(word: str) -> str:
    """Rewrite a word so that the published algorithm stems it as Lucene does."""
    for ending, kept in _ENDINGS:
        if word.endswith(ending):
            front = word.removesuffix(ending)
            return front + kept if _SYLLABLE.search(front) else word
    for ending in ("ed", "ing"):
        front = word.removesuffix(ending)
        if front != word and front.endswith(_DOUBLED) and _SYLLABLE.search(front):
            return front[:-1]
    return word


@cache
def _words() -> re.Pattern[str]:
    """Compile the word boundaries of Unicode, as far as English catalogues need them.

    Letters may be joined by an apostrophe, a point, a colon or a middle dot between
    them, and digits by a point, a comma, a semicolon or an apostrophe. Accents and soft
    hyphens belong to their letter. Ideographs and pictures stand alone. Superscripts
    and fractions are no part of a word, though Python takes them for one.
    """
    ideographs = "\u3040-\u309f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    pictures = "\u00a9\u00ae\u2122\u2600-\u27bf\U0001f300-\U0001faff"
    marks = "\u0300-\u036f\u00ad\u200c\u200d\u2060\ufe0f"
    numbers = "".join(
        chr(i) for i in range(0x3400) if unicodedata.category(chr(i)) == "No"
    )
    sign = rf"[^\W{numbers}{ideographs}]"
    letter = rf"[^\W\d_{numbers}{ideographs}]"
    run = rf"{sign}(?:{sign}|[{marks}])*"
    between_letters = rf"(?<={letter})['.:\u00b7\u2019](?={letter})"
    between_digits = r"(?<=\d)[.,;'\u2019](?=\d)"
    word = rf"{run}(?:(?:{between_letters}|{between_digits}){run})*"
    return re.compile(rf"{word}|[{ideographs}{pictures}]")
