"""The profile `"natural"`: rules decided as a careful reader of the request would."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import partial, singledispatch

from langchain_agentrm.reward_agent.rules import _text as texts
from langchain_agentrm.reward_agent.rules import dsl
from langchain_agentrm.reward_agent.rules._language import (
    NO_DETECTOR,
    UndetectableError,
    language_of,
)
from langchain_agentrm.reward_agent.rules._outcome import Outcome

__all__ = ["decide"]

_SLOT = re.compile(r"\{[^{}]*\}|\[[^\[\]]*\]")
_SHOWN = 12


@singledispatch
def decide(rule: dsl.Rule, answer: str) -> Outcome:
    """Decide one rule.

    Args:
        rule: The rule.
        answer: The answer.

    Returns:
        Whether it holds, and what was seen.

    Raises:
        NotImplementedError: If there is no function for that kind of rule.
    """
    msg = f"no check for a rule of kind {rule.kind!r}"
    raise NotImplementedError(msg)


@decide.register
def _unknown(rule: dsl.Unknown, answer: str) -> Outcome:  # noqa: ARG001
    return Outcome(None, rule.why)


@decide.register
def _count(rule: dsl.Count, answer: str) -> Outcome:
    if rule.separator and rule.scope == "response":
        blocks = [b for b in _cut(answer, rule.separator) if b.strip()]
        return Outcome(rule.holds(len(blocks)), f"{len(blocks)} {rule.unit}")
    marker = rule.marker.strip()
    if marker and rule.scope == "response":
        opened = rf"^[^\w\n]*{re.escape(marker)}\s*(?:\d+|[IVX]+)\b"
        found = len(re.findall(opened, answer, re.MULTILINE | re.IGNORECASE))
        return Outcome(rule.holds(found), f"{found} {rule.unit}")
    where = texts.parts(answer, rule.scope)
    if not where:
        return Outcome(passed=False, detail=f"no {rule.scope} found")
    seen = [texts.counts(part, rule.unit) for part in where]
    good = [any(map(rule.holds, readings)) for readings in seen]
    told = ", ".join(" or ".join(map(str, readings)) for readings in seen[:_SHOWN])
    return Outcome(all(good), f"{told} {rule.unit.replace('_', ' ')}")


@decide.register
def _keyword(rule: dsl.Keyword, answer: str) -> Outcome:
    return Outcome(_squeeze(rule.text) in _squeeze(answer))


@decide.register
def _forbid(rule: dsl.Forbid, answer: str) -> Outcome:
    seen = texts.occurrences(rule.text, answer)
    return Outcome(seen == 0, f"{seen} times")


@decide.register
def _frequency(rule: dsl.Frequency, answer: str) -> Outcome:
    seen = texts.occurrences(rule.text, answer)
    return Outcome(rule.holds(seen), f"{seen} times")


@decide.register
def _letter(rule: dsl.Letter, answer: str) -> Outcome:
    seen = answer.lower().count(rule.text.lower())
    return Outcome(rule.holds(seen), f"{seen} times")


@decide.register
def _without(rule: dsl.Without, answer: str) -> Outcome:
    return Outcome(not set(rule.text) & set(answer))


@decide.register
def _start(rule: dsl.Start, answer: str) -> Outcome:
    if texts.bare(rule.text):
        return _each(rule.scope, answer, "begins", partial(_begins, rule.text))
    mark = rule.text.strip()
    return _each(
        rule.scope, answer, "begins", lambda part: part.strip().startswith(mark)
    )


@decide.register
def _end(rule: dsl.End, answer: str) -> Outcome:
    return _each(rule.scope, answer, "ends", partial(_ends, rule.text))


@decide.register
def _capitals(rule: dsl.Capitals, answer: str) -> Outcome:
    return _each(rule.scope, answer, "begins", _capital)


@decide.register
def _first_word(rule: dsl.FirstWord, answer: str) -> Outcome:
    blocks = texts.parts(answer, "stanza")
    if len(blocks) != rule.paragraphs or rule.nth > len(blocks):
        return Outcome(passed=False, detail=f"{len(blocks)} paragraphs")
    first = blocks[rule.nth - 1]
    return Outcome(_begins(rule.text, first), f"begins {first[:40]!r}")


@decide.register
def _repeat(rule: dsl.Repeat, answer: str) -> Outcome:
    head, text = _squeeze(texts.bare(rule.text)), _squeeze(texts.bare(answer))
    return Outcome(text.startswith(head))


@decide.register
def _label(rule: dsl.Label, answer: str) -> Outcome:
    if rule.text.isupper():
        return Outcome(rule.text in answer)
    return Outcome(_squeeze(rule.text) in _squeeze(answer.replace("*", "")))


@decide.register
def _template(rule: dsl.Template, answer: str) -> Outcome:
    text = rule.text.lstrip("# ") or rule.text
    pieces = [_squeeze(p) for p in _SLOT.split(text)]
    seen = sum(_filled(pieces, _squeeze(line)) for line in answer.splitlines())
    return Outcome(seen >= rule.n, f"{seen} times")


@decide.register
def _case(rule: dsl.Case, answer: str) -> Outcome:
    fits = answer.isupper() if rule.case == "upper" else answer.islower()
    if not fits or not rule.english:
        return Outcome(fits)
    return _in_language("en", answer)


@decide.register
def _language(rule: dsl.Language, answer: str) -> Outcome:
    return _in_language(rule.language, answer)


@decide.register
def _format(rule: dsl.Format, answer: str) -> Outcome:
    return Outcome(_FORMATS[rule.format](answer))


@decide.register
def _postscript(rule: dsl.Postscript, answer: str) -> Outcome:
    letters = [re.escape(letter) for letter in rule.text if letter.isalnum()]
    # "PS" needs no stops; "ps" without them may be any word.
    capitals = r"\.?\s?".join(letters)
    stopped = r"\.\s?".join(letters) + r"\."
    begins = rf"^[^\w\n]*(?:{capitals}|(?i:{stopped}))(?!\w)"
    return Outcome(re.search(begins, answer, re.MULTILINE) is not None)


@decide.register
def _quotation(rule: dsl.Quotation, answer: str) -> Outcome:  # noqa: ARG001
    text = answer.strip()
    opened, closed = text[:1] in {'"', "\u201c"}, text[-1:] in {'"', "\u201d"}
    return Outcome(opened and closed and len(text) > 1)


@decide.register
def _options(rule: dsl.Options, answer: str) -> Outcome:
    said = _squeeze(answer)
    return Outcome(any(_squeeze(option) in said for option in rule.options))


@decide.register
def _parts(rule: dsl.Parts, answer: str) -> Outcome:
    found = [p.strip() for p in _cut(answer, rule.separator) if p.strip()]
    different = len(set(found)) == len(found)
    return Outcome(different and len(found) == rule.n, f"{len(found)} parts")


def _squeeze(text: str) -> str:
    """Fold case, runs of blanks and curly apostrophes."""
    return " ".join(text.lower().replace("\u2019", "'").split())


def _cut(answer: str, separator: str) -> list[str]:
    """Cut at a separator; one of stars may be written with blanks between them."""
    if set(separator) == {"*"}:
        stars = r"[ \t]?".join(r"\*" for _ in separator)
        return re.split(rf"(?<!\*){stars}(?!\*)", answer)
    return answer.split(separator)


def _each(scope: str, answer: str, what: str, holds: Callable[[str], bool]) -> Outcome:
    """Hold each part to a rule, and show the first that breaks it."""
    where = texts.parts(answer, scope)
    if not where:
        return Outcome(passed=False, detail=f"no {scope} found")
    bad = next((part.strip() for part in where if not holds(part)), None)
    if bad is None:
        return Outcome(passed=True)
    shown = bad[-40:] if what == "ends" else bad[:40]
    return Outcome(passed=False, detail=f"one {what} {shown!r}")


def _filled(pieces: list[str], line: str) -> int:
    """Count how often the pieces stand in a line, with a slot filled between each."""
    count = at = 0
    while True:
        for place, piece in enumerate(pieces):
            start = line.find(piece, at + (place > 0))
            if start < 0:
                return count
            at = start + len(piece)
        count += 1


def _begins(wanted: str, text: str) -> bool:
    rest, head = _squeeze(texts.bare(text)), _squeeze(texts.bare(wanted))
    if not rest.startswith(head):
        return False
    follows = rest[len(head) : len(head) + 1]
    return not (head[-1:].isalnum() and follows.isalnum())


def _ends(wanted: str, text: str) -> bool:
    if not texts.bare(wanted):
        return text.rstrip().endswith(wanted.strip())
    marks = "*_\"'`\u201d\u2019 \t\n"
    tail, end = _squeeze(text.rstrip(marks)), _squeeze(wanted.rstrip(marks))
    # A full stop may close a sentence that a phrase without one ends.
    stopped = end[-1:].isalnum() and tail.rstrip(".!").endswith(end)
    return stopped or tail.endswith(end)


def _capital(text: str) -> bool:
    first = re.search(r"[^\W\d_]", text)
    return first is None or first.group(0) == first.group(0).upper()


def _in_language(wanted: str, answer: str) -> Outcome:
    try:
        seen = language_of(answer)
    except ImportError:
        return Outcome(None, NO_DETECTOR)
    except UndetectableError:
        return Outcome(None, "the text shows no language")
    # "zh" is met by "zh-cn"; "zh-tw" only by itself.
    same = wanted in {seen, seen.partition("-")[0]}
    return Outcome(same, f"it is in {seen!r}")


def _is_json(answer: str) -> bool:
    text = re.sub(r"^```(?:json)?|```$", "", answer.strip(), flags=re.IGNORECASE)
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


_FORMATS: Mapping[str, Callable[[str], bool]] = {
    "json": _is_json,
    "table": texts.has_table,
    "divider": texts.has_divider,
    "angle_title": texts.has_angle_title,
    "capital_heading": texts.has_capital_heading,
}
