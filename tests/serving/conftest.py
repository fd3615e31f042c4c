"""Fixtures of the proxy's tests: a proxy in front of a scripted server."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from langchain_agentrm.serving.proxy import ProxySettings, create_app
from tests.serving.proxy_clients import connect
from tests.serving.proxy_upstream import ChatServer, by_number, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import openai


@pytest.fixture(scope="session")
def chat_server() -> Iterator[tuple[ChatServer, str]]:
    server = ChatServer()
    with serving(server.app()) as url:
        yield server, url


@pytest.fixture
def upstream(chat_server) -> ChatServer:
    """The server behind the proxy, as new."""
    server, _ = chat_server
    server.__dict__.update(ChatServer().__dict__)
    return server


@pytest.fixture
def proxy(chat_server, upstream) -> Iterator[Callable[..., str]]:
    """Starts proxies; gives the address under which each is."""
    with ExitStack() as stack:

        def start(reward_model: Any = None, **settings: Any) -> str:
            settings = {"n": 4, **settings}
            app = create_app(
                f"{chat_server[1]}/v1",
                reward_model or by_number(),
                ProxySettings(**settings),
            )
            return stack.enter_context(serving(app, timeout_graceful_shutdown=2))

        yield start


@pytest.fixture
def client(proxy) -> Iterator[openai.OpenAI]:
    """The official client, on a proxy that draws four."""
    with connect(proxy()) as made:
        yield made
