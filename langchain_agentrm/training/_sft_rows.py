"""Dialogues as tokens, with a label on each token that the loss is taken on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_agentrm.errors import ConfigurationError

__all__ = ["IGNORED", "Encoded", "encode_rows"]

IGNORED = -100
"""Label of a token without a loss."""


@dataclass(slots=True)
class Encoded:
    """Rows ready for a trainer.

    Attributes:
        input_ids: Tokens by row.
        labels: The same, with `IGNORED` where no loss is taken.
        shortened: Rows that lost turns at their end.
        dropped: Ids of rows of which nothing to learn was left.
    """

    input_ids: list[list[int]] = field(default_factory=list)
    labels: list[list[int]] = field(default_factory=list)
    shortened: int = 0
    dropped: list[str] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        """Tokens of all rows."""
        return sum(map(len, self.input_ids))

    @property
    def trained(self) -> int:
        """Tokens that the loss is taken on."""
        return sum(x != IGNORED for row in self.labels for x in row)


def encode_rows(
    tokenizer: Any, template: str, rows: Sequence[Mapping[str, Any]], limit: int
) -> Encoded:
    """Tokenize rows of stage `dialogues`.

    A row longer than the limit ends with the last assistant message that still fits:
    the start holds instruction and goal, and half an action teaches the wrong end.

    Args:
        tokenizer: The model's tokenizer.
        template: Jinja source with generation markers.
        rows: Rows with `id` and `messages`.
        limit: Most tokens of a row.

    Returns:
        The rows as tokens.

    Raises:
        ConfigurationError: If the template marks other spans than the assistant's.
    """
    out = Encoded()
    for row in rows:
        ids, spans = _spans(tokenizer, template, row)
        flags = [m["train"] for m in row["messages"] if m["role"] == "assistant"]
        fitting = [end for _, end in spans if end <= limit]
        end = fitting[-1] if fitting else 0
        labels = [IGNORED] * end
        for (first, last), train in zip(spans, flags, strict=True):
            if train and last <= end:
                labels[first:last] = ids[first:last]
        if all(x == IGNORED for x in labels):
            out.dropped.append(str(row["id"]))
            continue
        out.shortened += len(fitting) < len(spans)
        out.input_ids.append(ids[:end])
        out.labels.append(labels)
    return out


def _spans(
    tokenizer: Any, template: str, row: Mapping[str, Any]
) -> tuple[list[int], list[tuple[int, int]]]:
    """Tokens of a row, and where each assistant message begins and ends."""
    # Without the flags: a template that knows them would leave messages unmarked, and
    # marked spans could not be counted off against messages.
    messages = [{"role": m["role"], "content": m["content"]} for m in row["messages"]]
    made = tokenizer.apply_chat_template(
        messages,
        chat_template=template,
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    spans: list[tuple[int, int]] = []
    for i, marked in enumerate(made["assistant_masks"]):
        if not marked:
            continue
        if spans and spans[-1][1] == i:
            spans[-1] = (spans[-1][0], i + 1)
        else:
            spans.append((i, i + 1))
    said = sum(m["role"] == "assistant" for m in messages)
    if len(spans) != said:
        msg = (
            f"The chat template marks {len(spans)} spans in row {row['id']!r}, which "
            f"has {said} assistant messages."
        )
        raise ConfigurationError(
            msg, remedy="Mark each assistant message once, with its end-of-turn token."
        )
    return list(made["input_ids"]), spans
