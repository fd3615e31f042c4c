"""Chat models that talk to the loopback server and leave no connection behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
from langchain_openai import ChatOpenAI

if TYPE_CHECKING:
    from tests.servers.openai_server import OpenAIServer

# The default async client is shared by the process and dies with its first loop; and a
# kept connection outlives the loop it was made in.
_NONE_KEPT = httpx.Limits(max_keepalive_connections=0)


def chat_openai(server: OpenAIServer, **kwargs: Any) -> ChatOpenAI:
    """Make a chat model on `server`, without retries unless they are asked for."""
    kwargs.setdefault("max_retries", 0)
    kwargs.setdefault("base_url", server.url)
    return ChatOpenAI(
        model="m",
        api_key="x",
        http_client=httpx.Client(trust_env=False, limits=_NONE_KEPT),
        http_async_client=httpx.AsyncClient(trust_env=False, limits=_NONE_KEPT),
        **kwargs,
    )
