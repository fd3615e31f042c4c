"""Prompts with several answers each, for best of n and for annotation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, convert_to_messages

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.evaluation._rows import Place, messages_of, rows_of, text_of
from langchain_agentrm.evaluation.preference_data import digest_of
from langchain_agentrm.trajectory import Trajectory

__all__ = ["ResponseSet", "load_responses", "one_set", "response_trajectories"]


@dataclass(frozen=True, slots=True)
class ResponseSet:
    """One prompt and the answers that were drawn for it.

    Attributes:
        id: Its identifier: the row's `id`, else a digest of prompt and answers.
        messages: The prompt, `{role, content}` each.
        plain: Whether the file gives the prompt as a text, not as messages.
        responses: The answers in the order drawn.
        correct: What each answer is worth, 0..1, where the file says.
    """

    id: str
    messages: tuple[Mapping[str, str], ...]
    plain: bool
    responses: tuple[str, ...]
    correct: tuple[float, ...] = ()


def load_responses(path: str | Path) -> list[ResponseSet]:
    """Read rows `{"prompt", "responses", "id"?, "correct"?}`, JSON or JSONL.

    Args:
        path: The file. A prompt is a text or a list of messages; `correct` has a number
            in 0..1, or true or false, for each response.

    Returns:
        The prompts in the file's order.

    Raises:
        ConfigurationError: If a row is malformed (names file and line), or two rows
            have one id.
    """
    sets: list[ResponseSet] = []
    seen: dict[str, Place] = {}
    for place, row in rows_of(path):
        made = _set(row, place)
        if made.id in seen:
            place.refuse(
                f"the id {made.id!r} is that of line {seen[made.id].line} too",
                "Give each row an id of its own, and no row twice.",
            )
        seen[made.id] = place
        sets.append(made)
    return sets


def response_trajectories(
    given: ResponseSet, responses: Sequence[str]
) -> list[Trajectory]:
    """Make answers to one prompt compete.

    Args:
        given: Whose prompt.
        responses: The answers.

    Returns:
        A trajectory each, all of one group.
    """
    messages = convert_to_messages([dict(m) for m in given.messages])
    return [
        Trajectory.from_messages(messages, AIMessage(text), group=given.id)
        for text in responses
    ]


def one_set(prompt: str, responses: Sequence[str]) -> ResponseSet:
    """Make a set of a request and answers that come from no file.

    Args:
        prompt: The request.
        responses: The answers.

    Returns:
        The set.

    Raises:
        ConfigurationError: If the request is blank or there is no answer.
    """
    if not prompt.strip() or not responses:
        msg = f"A request of {len(prompt)} characters with {len(responses)} answers."
        raise ConfigurationError(msg, remedy="Give a request and one answer or more.")
    messages = ({"role": "user", "content": prompt},)
    name = digest_of(messages, *responses)
    return ResponseSet(name, messages, plain=True, responses=tuple(responses))


def _set(row: Mapping[str, Any], place: Place) -> ResponseSet:
    plain = isinstance(row.get("prompt"), str)
    messages: tuple[dict[str, str], ...]
    if plain:
        messages = ({"role": "user", "content": text_of(row, "prompt", place)},)
    else:
        messages = messages_of(row, "prompt", place)
        if messages[-1]["role"] != "user":
            place.refuse(
                "the prompt does not end with the user's message", "Repair the row."
            )
    responses = row.get("responses")
    if (
        not isinstance(responses, list)
        or not responses
        or not all(isinstance(r, str) for r in responses)
    ):
        place.refuse(
            f"responses={responses!r:.60} is no list of texts",
            "Give the answers as a list of texts.",
        )
    given = row.get("id")
    if not isinstance(given, str | int | None):
        place.refuse(f"the id {given!r} is no name", "Give a text or a number.")
    name = digest_of(messages, *responses) if given is None else str(given)
    return ResponseSet(
        id=name,
        messages=messages,
        plain=plain,
        responses=tuple(responses),
        correct=_correct(row.get("correct"), len(responses), place),
    )


def _correct(value: object, n: int, place: Place) -> tuple[float, ...]:
    if value is None:
        return ()
    good = isinstance(value, list) and all(
        isinstance(v, int | float) and 0 <= v <= 1 for v in value
    )
    if not isinstance(value, list) or not good or len(value) != n:
        place.refuse(
            f"correct={value!r:.60} does not go with {n} responses",
            "Give one number from 0 to 1 for each response, or leave it out.",
        )
    return tuple(float(v) for v in value)
