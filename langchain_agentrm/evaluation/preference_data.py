"""Preference pairs from the files that reward models are measured on.

Two forms are read: that of THU-IFBench and RM-Bench (`text_chosen`, `text_rejected`,
`id`, `domain`), and JudgeBench as its authors publish it (`question`, `response_A`,
`response_B`, `label`). Source: Agentic Reward Modeling (arXiv 2502.19328), section 4.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, convert_to_messages

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.evaluation._rows import Place, messages_of, rows_of, text_of
from langchain_agentrm.trajectory import Trajectory

__all__ = ["PreferencePair", "candidates", "digest_of", "load_pairs"]

_SHOWN = 3
_LABELS = {"A>B": ("response_A", "response_B"), "B>A": ("response_B", "response_A")}
_JUDGEBENCH = {
    "mmlu-pro": "knowledge",
    "livebench-reasoning": "reasoning",
    "livebench-math": "math",
    "livecodebench": "coding",
}
"""JudgeBench's own four categories, by how a source's name begins."""


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """Two answers to one prompt, of which one is known to be better.

    Attributes:
        id: The prompt's identifier, as the file gives it; several pairs may share one.
        key: The pair's own: the id and a digest of the content.
        row: Its place in the file, from 0.
        subset: Its part of the benchmark.
        messages: The prompt, `{role, content}` each.
        chosen: The better answer.
        rejected: The worse one.
    """

    id: str
    key: str
    row: int
    subset: str
    messages: tuple[Mapping[str, str], ...]
    chosen: str
    rejected: str


def load_pairs(path: str | Path) -> list[PreferencePair]:
    """Read a file of preference pairs, in either form, JSON or JSONL.

    Args:
        path: The file.

    Returns:
        The pairs in the file's order.

    Raises:
        ConfigurationError: If a row is malformed (names file and line), or two rows
            hold the same pair, whichever of its answers they prefer (names the rows).
    """
    pairs: list[PreferencePair] = []
    places: dict[str, list[Place]] = {}
    for place, row in rows_of(path):
        if "text_chosen" in row or "text_rejected" in row:
            pair = _converted(row, place)
        elif "label" in row or "response_A" in row:
            pair = _judgebench(row, place)
        else:
            place.refuse(
                f"the fields {sorted(row)} are of no known form",
                "Give text_chosen and text_rejected, or question, response_A, "
                "response_B and label.",
            )
        pairs.append(pair)
        sides = sorted((pair.chosen, pair.rejected))
        places.setdefault(digest_of(pair.messages, *sides), []).append(place)
    _refuse_repeats(path, [some for some in places.values() if len(some) > 1])
    return pairs


def candidates(pair: PreferencePair, first: str, second: str) -> list[Trajectory]:
    """Make two answers to a pair's prompt compete.

    Args:
        pair: Whose prompt.
        first: The answer shown first.
        second: The other one.

    Returns:
        Two trajectories of one group.
    """
    messages = convert_to_messages([dict(m) for m in pair.messages])
    return [
        Trajectory.from_messages(messages, AIMessage(text), group=pair.key)
        for text in (first, second)
    ]


def digest_of(messages: Sequence[Mapping[str, str]], *texts: str) -> str:
    """Hash a prompt and answers, in the order given."""
    parts = [part for m in messages for part in (m["role"], m["content"])]
    total = hashlib.blake2b(digest_size=12)
    for part in (*parts, *texts):
        data = part.encode("utf-8", "surrogatepass")
        total.update(b"%d:" % len(data) + data)
    return total.hexdigest()


def _converted(row: Mapping[str, Any], place: Place) -> PreferencePair:
    *prompt, chosen = messages_of(row, "text_chosen", place)
    *other, rejected = messages_of(row, "text_rejected", place)
    if prompt != other:
        place.refuse("the two answers are to different prompts", "Repair the row.")
    if chosen["role"] != "assistant" or rejected["role"] != "assistant":
        place.refuse(
            "the last message is not the assistant's", "End both with the answer."
        )
    return _pair(
        place,
        given=row.get("id"),
        subset=row.get("domain"),
        messages=prompt,
        answers=(chosen["content"], rejected["content"]),
    )


def _judgebench(row: Mapping[str, Any], place: Place) -> PreferencePair:
    label = row.get("label")
    if label not in _LABELS:
        place.refuse(f"label={label!r} is unknown", "Use 'A>B' or 'B>A'.")
    chosen, rejected = (text_of(row, name, place) for name in _LABELS[str(label)])
    source = str(row.get("source") or "judgebench")
    subset = next((s for p, s in _JUDGEBENCH.items() if source.startswith(p)), source)
    question = {"role": "user", "content": text_of(row, "question", place)}
    return _pair(
        place,
        given=row.get("pair_id"),
        subset=subset,
        messages=[question],
        answers=(chosen, rejected),
    )


def _pair(
    place: Place,
    *,
    given: object,
    subset: object,
    messages: list[dict[str, str]],
    answers: tuple[str, str],
) -> PreferencePair:
    name = str(given) if isinstance(given, str | int) and str(given).strip() else ""
    if not name:
        place.refuse(f"the id {given!r} is no name", "Give each row an id.")
    if subset == "all" or not isinstance(subset, str | None):
        place.refuse(
            f"the subset {subset!r} cannot be used", "Name it otherwise, in a text."
        )
    if not any(m["role"] == "user" and m["content"].strip() for m in messages):
        place.refuse("the prompt holds no user's message", "Add the request.")
    for answer in answers:
        if not answer.strip():
            place.refuse("an answer is blank", "Remove the row.")
    return PreferencePair(
        id=name,
        key=f"{name}:{digest_of(messages, *answers)}",
        row=place.row,
        subset=subset or "rest",
        messages=tuple(messages),
        chosen=answers[0],
        rejected=answers[1],
    )


def _refuse_repeats(path: str | Path, repeats: list[list[Place]]) -> None:
    if not repeats:
        return
    shown = "; ".join(
        "rows " + ", ".join(f"{p.row} (line {p.line})" for p in some)
        for some in repeats[:_SHOWN]
    )
    more = f"; and {len(repeats) - _SHOWN} more" if len(repeats) > _SHOWN else ""
    extra = sum(len(some) - 1 for some in repeats)
    msg = f"{path} holds {extra} rows that repeat another pair: {shown}{more}."
    raise ConfigurationError(
        msg, remedy="Remove the repeats, or read the benchmark's own source file."
    )
