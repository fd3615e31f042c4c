"""Running a server: listen, say so, and on SIGTERM finish what is in work."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.serving._proxy_guard import Guarded, is_loopback

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["check_exposed", "run"]


def check_exposed(
    host: str,
    settings: Guarded,
    *,
    what: str = "proxy",
    variable: str = "AGENTRM_PROXY_TOKEN",
) -> None:
    """Refuse to listen beyond loopback without a token.

    Args:
        host: Address to listen on.
        settings: The token.
        what: The server's name in the message.
        variable: Environment variable that its command reads the token from.

    Raises:
        ConfigurationError: If anyone could ask.
    """
    if settings.token is None and not is_loopback(host):
        msg = f"host={host!r} is not loopback, and the {what} has no token."
        raise ConfigurationError(msg, remedy=f"Set {variable}, or listen on 127.0.0.1.")


def run(
    app: FastAPI,
    *,
    host: str,
    port: int,
    drain_seconds: int,
    on_ready: Callable[[str], None],
) -> None:
    """Serve until SIGTERM or Ctrl-C, then finish what is in work.

    Args:
        app: The app.
        host: Address to listen on.
        port: Port; 0 for a free one.
        drain_seconds: Longest time for what is in work after the signal; then it is
            cut off, its upstream requests included.
        on_ready: Told the address once it is open.

    Raises:
        ConfigurationError: If the address cannot be opened.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        msg = f"Cannot listen on {host}:{port}: {error}."
        raise ConfigurationError(
            msg, remedy="Choose another --port, or 0 for a free one."
        ) from error
    shown = f"[{host}]" if family is socket.AF_INET6 else host
    config = uvicorn.Config(
        app,
        log_level="warning",
        ws="none",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=drain_seconds,
    )
    # uvicorn raises the signal again once it has drained: the end was asked for and
    # went well.
    before = {s: signal.signal(s, _drained) for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        on_ready(f"http://{shown}:{listener.getsockname()[1]}")
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        listener.close()
        for number, handler in before.items():
            signal.signal(number, handler)


def _drained(_signal: int, _frame: FrameType | None) -> None:
    """Do nothing."""
