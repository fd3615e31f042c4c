"""vLLM's `/pooling` on the wire, and how a step's texts become its requests."""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_agentrm.reward_models._remote.http import Reply, ServerFailureError

__all__ = ["Answer", "Ids", "Request", "Text", "answer_of", "packed", "pooling_body"]

Ids = tuple[int, ...]

_FLOAT = 4


@dataclass(frozen=True, slots=True)
class Text:
    """A text to score: its ids, what it shares a server with, whom it rivals."""

    ids: Ids
    key: str
    group: str


@dataclass(frozen=True, slots=True)
class Request:
    """Distinct texts that go to a server at once."""

    texts: tuple[Ids, ...]
    key: str

    @property
    def tokens(self) -> int:
        """Tokens of all texts."""
        return sum(map(len, self.texts))

    def halves(self) -> tuple[Request, Request]:
        """Cut in two, to find the text that a server refuses."""
        middle = len(self.texts) // 2
        return (
            Request(self.texts[:middle], self.key),
            Request(self.texts[middle:], self.key),
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """A server's values in the order asked; NaN where the model gave none.

    Attributes:
        values: One a text.
        input_tokens: What the server says it read; None where it does not.
        cached_tokens: Those from its cache, where it says so.
    """

    values: tuple[float, ...]
    input_tokens: int | None = None
    cached_tokens: int = 0


def packed(
    texts: Iterable[Text], limit: int, home: Callable[[str], str]
) -> list[Request]:
    """Put equal texts together and the rest into as few requests as may be.

    Args:
        texts: What is to be scored.
        limit: Tokens of one request. It is passed over only by a single text.
        home: Tells the server of a key.

    Returns:
        Requests that each go to one server. A group is cut only if it alone is beyond
        the limit.
    """
    distinct: dict[Ids, Text] = {}
    for text in texts:
        distinct.setdefault(text.ids, text)
    groups: dict[tuple[str, str], list[Ids]] = {}
    for text in distinct.values():
        groups.setdefault((text.key, text.group), []).append(text.ids)
    homes: dict[str, list[tuple[str, list[Ids]]]] = {}
    where: dict[str, str] = {}
    for (key, _), members in groups.items():
        # Asked once a key: a server that goes down meanwhile must not part a search.
        if key not in where:
            where[key] = home(key)
        homes.setdefault(where[key], []).append((key, members))
    return [r for units in homes.values() for r in _filled(units, limit)]


def _filled(units: Sequence[tuple[str, list[Ids]]], limit: int) -> Iterator[Request]:
    # A request that fails over goes where its first text's key says.
    held: list[Ids] = []
    key = ""
    size = 0
    for unit_key, members in units:
        weight = sum(map(len, members))
        pieces = [members] if weight <= limit else list(_cut(members, limit))
        for piece in pieces:
            weight = sum(map(len, piece))
            if held and size + weight > limit:
                yield Request(tuple(held), key)
                held, size = [], 0
            key = key if held else unit_key
            held.extend(piece)
            size += weight
    if held:
        yield Request(tuple(held), key)


def _cut(members: Sequence[Ids], limit: int) -> Iterator[list[Ids]]:
    piece: list[Ids] = []
    size = 0
    for ids in members:
        if piece and size + len(ids) > limit:
            yield piece
            piece, size = [], 0
        piece.append(ids)
        size += len(ids)
    yield piece


def pooling_body(
    model: str, texts: Sequence[Ids], switch: str, *, activation: bool = False
) -> dict[str, Any]:
    """Write a request.

    Args:
        model: The served model's name.
        texts: Token ids; vLLM takes them as they are, without a template.
        switch: The option's name that turns the activation on or off.
        activation: Whether to squash the scores.

    Returns:
        The JSON body. Base64 is asked for because in plain JSON one NaN turns the
        whole answer into an error.
    """
    return {
        "model": model,
        "input": [list(ids) for ids in texts],
        switch: activation,
        "encoding_format": "base64",
    }


def answer_of(reply: Reply, count: int) -> Answer:
    """Read an answer.

    Args:
        reply: What came.
        count: How many texts were asked.

    Returns:
        The values in the order asked.

    Raises:
        ServerFailureError: If the status is not 200, or there is not exactly one number
            for each text.
    """
    body = reply.json()
    rows = body.get("data") if isinstance(body, dict) else None
    if not isinstance(rows, list) or not all(isinstance(r, dict) for r in rows):
        raise _malformed(reply, "an answer without a list `data`")
    places = sorted(r["index"] for r in rows if isinstance(r.get("index"), int))
    if places != list(range(count)) or len(rows) != count:
        raise _malformed(reply, f"{len(rows)} scores numbered {places} for {count}")
    rows.sort(key=lambda r: r["index"])
    values = tuple(_value(reply, r.get("data")) for r in rows)
    usage = body.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    read = usage.get("prompt_tokens")
    return Answer(
        values,
        read if isinstance(read, int) else None,
        cached if isinstance(cached, int) else 0,
    )


def _value(reply: Reply, data: object) -> float:
    numbers: list[Any]
    if isinstance(data, str):
        try:
            raw = base64.b64decode(data, validate=True)
        except binascii.Error as error:
            raise _malformed(reply, "a score that is not base64") from error
        if len(raw) % _FLOAT:
            raise _malformed(reply, f"a score of {len(raw)} bytes")
        numbers = list(struct.unpack(f"<{len(raw) // _FLOAT}f", raw))
    else:
        numbers = data if isinstance(data, list) else [data]
    if len(numbers) != 1:
        raise _malformed(
            reply,
            f"{len(numbers)} numbers a text",
            "A reward model has one output at the last token (num_labels=1).",
        )
    number = numbers[0]
    # JSON has no NaN: servers that send one by hand write null.
    if number is None:
        return float("nan")
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise _malformed(reply, f"a score of type {type(number).__name__}")
    return float(number)


def _malformed(
    reply: Reply,
    what: str,
    remedy: str = "Check that vLLM serves a reward model there (`--runner pooling`).",
) -> ServerFailureError:
    return ServerFailureError(
        f"{reply.call.shown} gave {what}.",
        remedy=remedy,
        retryable=False,
        status=reply.status,
    )
