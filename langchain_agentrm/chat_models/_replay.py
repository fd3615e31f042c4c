"""A finished message as the chunks of a stream."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk

__all__ = ["replay"]

_WORD = re.compile(r"\S+\s*|\s+")


def replay(message: AIMessage) -> Iterator[ChatGenerationChunk]:
    """Give a message in pieces: words, then tool calls, metadata and usage.

    Args:
        message: The whole message.

    Yields:
        Chunks whose sum is the message. One with malformed tool calls comes whole: a
        sum of chunks reads their arguments again, and would mend them into calls.
    """
    if message.invalid_tool_calls:
        yield ChatGenerationChunk(message=_last(message, message.content, whole=True))
        return
    rest = message.content
    if isinstance(rest, str):
        for word in _WORD.findall(rest):
            yield ChatGenerationChunk(
                message=AIMessageChunk(content=word, id=message.id)
            )
        rest = ""
    yield ChatGenerationChunk(message=_last(message, rest))


def _last(
    message: AIMessage,
    content: str | list[str | dict[str, object]],
    *,
    whole: bool = False,
) -> AIMessageChunk:
    calls = [
        tool_call_chunk(
            name=c["name"],
            args=json.dumps(c["args"], ensure_ascii=False),
            id=c["id"],
            index=i,
        )
        for i, c in enumerate(message.tool_calls)
    ]
    chunk = AIMessageChunk(
        content=content,
        tool_calls=message.tool_calls if whole else [],
        invalid_tool_calls=message.invalid_tool_calls,
        tool_call_chunks=[] if whole else calls,
        additional_kwargs=message.additional_kwargs,
        response_metadata=message.response_metadata,
        usage_metadata=message.usage_metadata,
        id=message.id,
        chunk_position="last",
    )
    chunk.name = message.name
    return chunk
