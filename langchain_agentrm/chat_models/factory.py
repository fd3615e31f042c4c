"""From a word on the command line to a chat model."""

from __future__ import annotations

import os
from pathlib import Path

from langchain_core.language_models import BaseChatModel

from langchain_agentrm.errors import ConfigurationError

__all__ = ["chat_model"]


def chat_model(
    name: str, *, base_url: str | None = None, temperature: float = 1.0
) -> BaseChatModel:
    """Make the chat model that a word names.

    Args:
        name: A checkpoint folder, `local:FOLDER`, or `openai:MODEL` for any
            OpenAI-compatible server.
        base_url: The server's address, such as `http://127.0.0.1:8000/v1`.
        temperature: Sampling temperature.

    Returns:
        The chat model.

    Raises:
        ConfigurationError: If the word names nothing that exists.
    """
    kind, _, rest = name.partition(":")
    if kind == "openai" and rest:
        from langchain_openai import ChatOpenAI

        # A served name is free text: without this, some names pick another protocol.
        return ChatOpenAI(
            model=rest,
            base_url=base_url,
            temperature=temperature,
            use_responses_api=False,
            stream_usage=True,
            api_key=lambda: os.environ.get("OPENAI_API_KEY", "EMPTY"),
        )
    folder = Path(rest if kind == "local" else name)
    if not folder.is_dir():
        msg = f"Policy {name!r} is neither a checkpoint folder nor openai:MODEL."
        raise ConfigurationError(
            msg, remedy="Use a folder, local:FOLDER, or openai:MODEL with --base-url."
        )
    from langchain_agentrm.chat_models.local import ChatLocal

    return ChatLocal(path=str(folder), temperature=temperature)
