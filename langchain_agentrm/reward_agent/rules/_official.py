"""The profile `"ifeval"`: rules decided as IFEval's own verifiers decide them.

Source: Instruction-Following Evaluation for Large Language Models (Zhou et al., 2023)
and the verifiers published with it, with their quirks: a keyword is found inside longer
words, bullets are lines with `*` or `-`, `***` alone divides paragraphs. What those
verifiers leave to chance is not copied: a sign that is no letter is counted as given,
where they draw a letter at random; the language detector has a fixed seed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import lru_cache, singledispatch
from importlib import import_module
from typing import Any

from langchain_agentrm.reward_agent.rules import _natural, dsl
from langchain_agentrm.reward_agent.rules._language import (
    NO_DETECTOR,
    UndetectableError,
    language_of,
)
from langchain_agentrm.reward_agent.rules._outcome import Outcome

__all__ = ["decide"]

_NO_SENTENCES = (
    "IFEval counts sentences by NLTK's Punkt model, which is not installed: "
    "`pip install 'langchain-agentrm[ifeval]'`, then "
    "`python -m nltk.downloader punkt_tab`"
)
_FENCES = ("```json", "```Json", "```JSON", "```")
# Characters of a regular expression that can make a search take for ever.
_RISKY = set("*+{}()|[]\\")
_FEW = 3
_LONGEST_PATTERN = 100
_POSTSCRIPTS: Mapping[str, str] = {
    "P.P.S": r"p\.\s?p\.\s?s",
    "P.S.": r"p\.\s?s\.",
}


def decide(rule: dsl.Rule, answer: str) -> Outcome:
    """Decide one rule.

    Args:
        rule: The rule.
        answer: The answer; an empty one keeps no rule.

    Returns:
        Whether it holds, and what was seen.
    """
    if answer.strip() or isinstance(rule, dsl.Unknown):
        return _decide(rule, answer)
    return Outcome(passed=False, detail="the answer is empty")


@singledispatch
def _decide(rule: dsl.Rule, answer: str) -> Outcome:
    return _natural.decide(rule, answer)


@_decide.register
def _count(rule: dsl.Count, answer: str) -> Outcome:
    if rule.scope != "response":
        return _natural.decide(rule, answer)
    match rule.unit:
        case _ if rule.separator:
            return _separated(rule, answer)
        case "sentences":
            return _sentences(rule, answer)
        case "capital_words":
            return _capital_words(rule, answer)
        case "sections" if rule.marker:
            marker = re.escape(rule.marker.strip())
            seen = len(re.findall(rf"\s?{marker}\s?\d+\s?", answer))
        case "words" | "bullets" | "highlights" | "placeholders":
            seen = _COUNTS[rule.unit](answer)
        case _:
            return _natural.decide(rule, answer)
    return Outcome(rule.holds(seen), f"{seen} {rule.unit}")


@_decide.register
def _frequency(rule: dsl.Frequency, answer: str) -> Outcome:
    seen = len(_searched(rule.text.strip()).findall(answer))
    return Outcome(rule.holds(seen), f"{seen} times")


@_decide.register
def _keyword(rule: dsl.Keyword, answer: str) -> Outcome:
    return Outcome(_searched(rule.text).search(answer) is not None)


@_decide.register
def _forbid(rule: dsl.Forbid, answer: str) -> Outcome:
    word = _searched(rule.text).pattern
    return Outcome(re.search(rf"\b{word}\b", answer, re.IGNORECASE) is None)


@_decide.register
def _case(rule: dsl.Case, answer: str) -> Outcome:
    fits = answer.isupper() if rule.case == "upper" else answer.islower()
    if not fits or not rule.english:
        return Outcome(fits)
    return _in_language("en", answer)


@_decide.register
def _language(rule: dsl.Language, answer: str) -> Outcome:
    return _in_language(rule.language, answer)


@_decide.register
def _first_word(rule: dsl.FirstWord, answer: str) -> Outcome:
    blocks = answer.split("\n\n")
    seen = sum(1 for block in blocks if block.strip())
    # The nth is counted with the blank ones, the total without.
    if rule.nth > seen or not blocks[rule.nth - 1].strip():
        return Outcome(passed=False, detail=f"{seen} paragraphs")
    word = blocks[rule.nth - 1].split()[0].lstrip("'").lstrip('"')
    first = re.split(r"[.,?!'\"]", word, maxsplit=1)[0].lower()
    good = seen == rule.paragraphs and first == rule.text
    return Outcome(good, f"{seen} paragraphs, number {rule.nth} begins {first!r}")


@_decide.register
def _parts(rule: dsl.Parts, answer: str) -> Outcome:
    pieces = answer.split(rule.separator)
    found = [p.strip() for p in pieces if p.strip()]
    gap = any(not piece.strip() for piece in pieces[1:-1])
    different = len(set(found)) == len(found)
    good = not gap and different and len(found) == rule.n
    return Outcome(good, f"{len(found)} parts")


@_decide.register
def _postscript(rule: dsl.Postscript, answer: str) -> Outcome:
    marker = rule.text.strip()
    pattern = _POSTSCRIPTS.get(marker) or re.escape(marker.lower())
    return Outcome(re.search(pattern, answer.lower()) is not None)


@_decide.register
def _quotation(rule: dsl.Quotation, answer: str) -> Outcome:  # noqa: ARG001
    text = answer.strip()
    return Outcome(len(text) > 1 and text[0] == text[-1] == '"')


@_decide.register
def _options(rule: dsl.Options, answer: str) -> Outcome:
    return Outcome(any(option in answer.strip() for option in rule.options))


@_decide.register
def _repeat(rule: dsl.Repeat, answer: str) -> Outcome:
    return Outcome(answer.strip().lower().startswith(rule.text.strip().lower()))


@_decide.register
def _end(rule: dsl.End, answer: str) -> Outcome:
    if rule.scope != "response":
        return _natural.decide(rule, answer)
    tail = answer.strip().strip('"').lower()
    return Outcome(tail.endswith(rule.text.strip().lower()))


@_decide.register
def _format(rule: dsl.Format, answer: str) -> Outcome:
    match rule.format:
        case "json":
            return Outcome(_is_json(answer))
        case "angle_title":
            titles = _angle_titles(answer)
            return Outcome(any(t.lstrip("<").rstrip(">").strip() for t in titles))
        case _:
            return _natural.decide(rule, answer)


@lru_cache(maxsize=1024)
def _searched(text: str) -> re.Pattern[str]:
    """Read a keyword as a pattern, as the verifiers do, where that is harmless."""
    long = len(text) > _LONGEST_PATTERN or text.count("?") > _FEW
    risky = long or set(text) & _RISKY
    try:
        return re.compile(re.escape(text) if risky else text, re.IGNORECASE)
    except re.error:
        return re.compile(re.escape(text), re.IGNORECASE)


def _count_bullets(answer: str) -> int:
    stars = re.findall(r"^[^\S\n]*\*[^\*].*$", answer, re.MULTILINE)
    return len(stars) + len(re.findall(r"^[^\S\n]*-.*$", answer, re.MULTILINE))


def _count_placeholders(answer: str) -> int:
    count = 0
    for line in answer.split("\n"):
        at = 0
        while (start := line.find("[", at)) >= 0:
            if (end := line.find("]", start)) < 0:
                break
            count, at = count + 1, end + 1
    return count


def _angle_titles(answer: str) -> list[str]:
    titles = []
    for line in answer.split("\n"):
        start, end = line.find("<<"), line.rfind(">>")
        if 0 <= start < end - 2:
            titles.append(line[start : end + 2])
    return titles


def _count_highlights(answer: str) -> int:
    single = re.findall(r"\*[^\n\*]*\*", answer)
    double = re.findall(r"\*\*[^\n\*]*\*\*", answer)
    return sum(1 for h in single + double if h.strip("*").strip())


_COUNTS: Mapping[str, Callable[[str], int]] = {
    "words": lambda answer: len(re.findall(r"\w+", answer)),
    "bullets": _count_bullets,
    "highlights": _count_highlights,
    "placeholders": _count_placeholders,
}


def _sentences(rule: dsl.Count, answer: str) -> Outcome:
    split = _punkt()
    if split is None:
        return Outcome(None, _NO_SENTENCES)
    seen = len(split.tokenize(answer))
    return Outcome(rule.holds(seen), f"{seen} sentences")


@lru_cache(maxsize=1)
def _punkt() -> Any:
    try:
        tokenizers: Any = import_module("nltk.tokenize")
        return tokenizers.PunktTokenizer("english")
    except (ImportError, LookupError, OSError):
        return None


def _capital_words(rule: dsl.Count, answer: str) -> Outcome:
    try:
        tokenizers: Any = import_module("nltk.tokenize")
    except ImportError:
        return Outcome(
            None, "nltk is not installed: `pip install 'langchain-agentrm[ifeval]'`"
        )
    split = _punkt()
    pieces = [answer] if split is None else split.tokenize(answer)
    words = tokenizers.NLTKWordTokenizer()
    seen = sum(w.isupper() for p in pieces for w in words.tokenize(p))
    return Outcome(rule.holds(seen), f"{seen} capital words")


def _separated(rule: dsl.Count, answer: str) -> Outcome:
    blocks = re.split(rf"\s?{re.escape(rule.separator)}\s?", answer)
    if any(not block.strip() for block in blocks[1:-1]):
        return Outcome(passed=False, detail="nothing between two dividers")
    edges = blocks[:1] + blocks[1:][-1:]
    seen = len(blocks) - sum(1 for block in edges if not block.strip())
    return Outcome(rule.holds(seen), f"{seen} {rule.unit}")


def _in_language(wanted: str, answer: str) -> Outcome:
    try:
        seen = language_of(answer)
    except ImportError:
        return Outcome(None, NO_DETECTOR)
    except UndetectableError:
        return Outcome(passed=True, detail="no language can be told, which counts")
    return Outcome(seen == wanted, f"it is in {seen!r}")


def _is_json(answer: str) -> bool:
    text = answer.strip()
    for fence in _FENCES:
        text = text.removeprefix(fence)
    try:
        json.loads(text.removesuffix("```").strip())
    except (ValueError, RecursionError):
        return False
    return True
