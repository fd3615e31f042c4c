"""Reading a judge's answer, from its end: the last line decides."""

from __future__ import annotations

import re

from langchain_agentrm._asking import UnreadableAnswerError

__all__ = ["read_better", "read_grade", "read_ranking"]

_SHOWN = 80
_TOP_GRADE = 10.0


def read_ranking(text: str, count: int) -> tuple[tuple[int, ...], ...]:
    """Read `Ranking: 3 > 1 = 2`, or the `Best: 3` of those who write no more.

    Args:
        text: The judge's answer.
        count: How many candidates were shown.

    Returns:
        Places from 0, best first, those of equal rank together. Candidates that the
        answer does not name share the last rank.

    Raises:
        UnreadableAnswerError: If there is no such line, or it names a candidate twice
            or one that was not shown.
    """
    rest = _after(text, r"ranking|best(?: candidate)?", _RANKING)
    tiers = [
        tuple(int(n) - 1 for n in re.findall(r"[0-9]+", tier))
        for tier in re.split(r"[>,]", rest)
    ]
    named = [place for tier in tiers for place in tier]
    wrong = [place + 1 for place in named if not 0 <= place < count]
    if wrong:
        msg = f"it names candidate {wrong[0]} of {count}"
        raise UnreadableAnswerError(msg)
    if len(set(named)) != len(named):
        msg = f"it names a candidate twice: {_tail(rest)}"
        raise UnreadableAnswerError(msg)
    others = tuple(place for place in range(count) if place not in named)
    return tuple(tier for tier in (*tiers, others) if tier)


def read_better(text: str) -> tuple[tuple[int, ...], ...]:
    """Read `Better: 1`, `Better: 2` or `Better: tie`.

    Args:
        text: The judge's answer.

    Returns:
        Places from 0, the better first; one pair for a tie.

    Raises:
        UnreadableAnswerError: If there is no such line.
    """
    rest = _after(text, r"better|best|winner", _BETTER).lower()
    if "1" in rest:
        return ((0,), (1,))
    return ((1,), (0,)) if "2" in rest else ((0, 1),)


def read_grade(text: str) -> float:
    """Read `Grade: 7`, also `7.5` and `7/10`.

    Args:
        text: The judge's answer.

    Returns:
        The grade, 0 to 10.

    Raises:
        UnreadableAnswerError: If there is no such line, or the grade is outside.
    """
    rest = _after(text, r"grade|score|rating", _GRADE)
    grade = float(re.findall(r"-?[0-9]+(?:\.[0-9]+)?", rest)[0])
    if not 0 <= grade <= _TOP_GRADE:
        msg = f"its grade {grade:g} is not between 0 and 10"
        raise UnreadableAnswerError(msg)
    return grade


_NUMBER = r"(?:candidate[\s-]*)?[#\[(]?\s*[0-9]+\s*[\])]?"
_RANKING = re.compile(rf"{_NUMBER}(?:\s*[>,=]\s*{_NUMBER})*", re.IGNORECASE)
_BETTER = re.compile(
    r"(?:candidate[\s-]*)?[#\[(]?\s*[12]\s*[\])]?|tie|equal|neither|both", re.IGNORECASE
)
_GRADE = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:\s*(?:/|out of)\s*10)?", re.IGNORECASE)
_DECORATION = " \t*_`#\"'.$"


def _after(text: str, words: str, form: re.Pattern[str]) -> str:
    """Find the last line that states something in the form asked for."""
    lines = [line.strip(_DECORATION) for line in text.splitlines()]
    lines = [line for line in lines if line]
    if not lines:
        msg = "it is empty"
        raise UnreadableAnswerError(msg)
    label = re.compile(rf"(?:{words})\W*?(?:is)?[\s*_`:=]*(?=\S)", re.IGNORECASE)
    for line in reversed(lines):
        found = label.match(line)
        rest = line[found.end() :].strip(_DECORATION) if found else ""
        if rest and form.fullmatch(rest):
            return rest
    if form.fullmatch(lines[-1]):
        return lines[-1]
    msg = f"it ends with {_tail(lines[-1])}"
    raise UnreadableAnswerError(msg)


def _tail(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"...{text[-_SHOWN:]}")
