"""One dialogue out of one foreign row: formats, roles, and what is trained on."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from langchain_agentrm.training._row_files import BadRow

__all__ = ["Dialogue", "Rules", "read_dialogue"]

_ROLES = {
    "assistant": "assistant",
    "gpt": "assistant",
    "human": "user",
    "system": "system",
    "user": "user",
}
_FLAGS = ("train", "loss", "weight")
_REPLY = re.compile(r"ok\b", re.IGNORECASE)
_ID_NAMES = ("task_id", "item_id", "game_file", "id")


@dataclass(frozen=True, slots=True)
class Rules:
    """How messages without a flag of their own are marked.

    Attributes:
        examples: Messages after the instruction's reply that are worked examples.
        task_marker: Text of the user message that states the task; nothing before the
            last such message is trained on. None: no such text.
    """

    examples: int = 0
    task_marker: str | None = None


@dataclass(frozen=True, slots=True)
class Dialogue:
    """One episode as chat messages.

    Attributes:
        messages: `{role, content, train}` each: an optional system message, then user
            and assistant by turns, ending with the assistant.
        task_id: The task, as its source names it; empty if it does not.
        reward: The episode's score, if the source has one.
        progress: Progress by step, if the source has it.
        trailing: Whether an observation after the last action was dropped.
    """

    messages: tuple[dict[str, Any], ...]
    task_id: str
    reward: float | None
    progress: tuple[float, ...] | None
    trailing: bool

    @property
    def digest(self) -> str:
        """Tells equal message lists."""
        text = "\x1e".join(
            f"{m['role']}\x1f{m['content']}\x1f{m['train']}" for m in self.messages
        )
        return _hash(text)

    @property
    def opening(self) -> str:
        """Names a task that has no id: what stands before the first trained message."""
        first = next(i for i, m in enumerate(self.messages) if m["train"])
        return _hash("\x1e".join(m["content"] for m in self.messages[:first]))


def read_dialogue(row: object, rules: Rules) -> Dialogue:
    """Read a row of ETO, ShareGPT, AgentGym, OpenAI, or this package.

    Args:
        row: The parsed JSON: an object with `conversations` or `messages`, or the bare
            list of messages.
        rules: How messages without a flag are marked.

    Returns:
        The dialogue.

    Raises:
        BadRow: If it is none, or its turns do not alternate.
    """
    fields: Mapping[str, Any] = row if isinstance(row, Mapping) else {"messages": row}
    raw = _messages_of(fields)
    said = [_message(i, item) for i, item in enumerate(raw)]
    trailing = bool(said) and said[-1]["role"] == "user"
    if trailing:
        said.pop()
    _check_turns(said)
    _mark(said, rules)
    if not any(m["train"] for m in said):
        msg = "no assistant message is left to train on"
        raise BadRow(msg)
    return Dialogue(
        tuple(said),
        _task_id(fields),
        _number(fields.get("reward"), "reward"),
        _progress(fields.get("progress")),
        trailing,
    )


def _messages_of(fields: Mapping[str, Any]) -> Sequence[Any]:
    found = [n for n in ("messages", "conversations") if fields.get(n) is not None]
    if len(found) != 1:
        msg = "neither `messages` nor `conversations`"
        if found:
            msg = "both `messages` and `conversations`"
        raise BadRow(msg)
    raw = fields[found[0]]
    if not isinstance(raw, list) or not raw:
        msg = f"`{found[0]}` is no list of messages"
        raise BadRow(msg)
    return raw


def _message(i: int, item: object) -> dict[str, Any]:
    if not isinstance(item, Mapping):
        msg = f"message {i} is no object"
        raise BadRow(msg)
    role = item.get("role", item.get("from"))
    if role not in _ROLES:
        known = ", ".join(sorted(_ROLES))
        msg = f"message {i} has the role {role!r}, known are {known}"
        raise BadRow(msg)
    if item.get("tool_calls"):
        msg = f"message {i} calls tools; actions must be text"
        raise BadRow(msg)
    text = _text(i, item.get("content", item.get("value")))
    return {"role": _ROLES[role], "content": text, "train": _flag(i, item)}


def _text(i: int, content: object) -> str:
    parts = content if isinstance(content, list) else [content]
    texts = []
    for part in parts:
        text = part
        if isinstance(part, Mapping) and part.get("type") == "text":
            text = part.get("text")
        if not isinstance(text, str):
            msg = f"message {i} has content that is no text: {part!r:.60}"
            raise BadRow(msg)
        texts.append(text)
    text = "".join(texts)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        msg = f"message {i} holds half a surrogate pair at character {error.start}"
        raise BadRow(msg) from error
    return text


def _flag(i: int, item: Mapping[str, Any]) -> bool | None:
    for name in _FLAGS:
        value = item.get(name)
        if value is None:
            continue
        if value not in (True, False, 0, 1):
            msg = f"message {i} has {name}={value!r}, which is neither true nor false"
            raise BadRow(msg)
        return bool(value)
    return None


def _check_turns(said: Sequence[Mapping[str, Any]]) -> None:
    turns = said[1:] if said and said[0]["role"] == "system" else said
    shift = len(said) - len(turns)
    for i, message in enumerate(turns):
        wanted = "assistant" if i % 2 else "user"
        if message["role"] != wanted:
            msg = f"message {i + shift} is by the {message['role']}, not the {wanted}"
            raise BadRow(msg)
    if not turns:
        msg = "no turn ends with an assistant message"
        raise BadRow(msg)


def _mark(said: list[dict[str, Any]], rules: Rules) -> None:
    """Turn missing flags into true or false; flags of the source win."""
    replies = [i for i, m in enumerate(said) if m["role"] == "assistant"]
    start = 0
    if len(replies) > 1 and _REPLY.match(said[replies[0]]["content"].strip()):
        start = replies[0] + 1
    start += rules.examples
    if rules.task_marker is not None:
        stated = [
            i
            for i, m in enumerate(said)
            if m["role"] == "user" and rules.task_marker in m["content"]
        ]
        if not stated:
            msg = f"no user message holds the task marker {rules.task_marker!r}"
            raise BadRow(msg)
        start = max(start, stated[-1])
    for i, message in enumerate(said):
        if message["role"] != "assistant":
            message["train"] = False
        elif message["train"] is None:
            message["train"] = i >= start


def _task_id(fields: Mapping[str, Any]) -> str:
    for name in _ID_NAMES:
        value = fields.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, str | int):
            msg = f"{name}={value!r:.40} is neither text nor a whole number"
            raise BadRow(msg)
        if name == "game_file":
            # Kind and trial name the game; what stands before is one machine's folder.
            parts = PurePosixPath(str(value).replace("\\", "/")).parts
            return "/".join(parts[-3:-1]) or str(value)
        return str(value)
    return ""


def _number(value: object, name: str) -> float | None:
    if value is None:
        return None
    ok = isinstance(value, int | float) and not isinstance(value, bool)
    if not ok or not math.isfinite(value):  # type: ignore[arg-type]
        msg = f"{name}={value!r:.40} is no finite number"
        raise BadRow(msg)
    return float(value)  # type: ignore[arg-type]


def _progress(value: object) -> tuple[float, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list):
        msg = f"progress={value!r:.40} is no list"
        raise BadRow(msg)
    numbers = [_number(x, "progress") for x in value]
    if any(x is None for x in numbers):
        msg = "progress holds a null"
        raise BadRow(msg)
    return tuple(x for x in numbers if x is not None)


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
