"""Fixtures that more than one test folder needs. Only loopback may be reached."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.servers.openai_server import OpenAIServer, running

if TYPE_CHECKING:
    from collections.abc import Iterator

# A test must not depend on, nor send to, what the developer's shell is set up for.
for _name in list(os.environ):
    if _name.startswith(("LANGSMITH_", "LANGCHAIN_", "OPENAI_")):
        del os.environ[_name]
_proxies: dict[str, str] = {}
for _name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
    for _spelt in (_name, _name.lower()):
        if (_value := os.environ.pop(_spelt, None)) is not None:
            _proxies[_spelt] = _value


@pytest.fixture(scope="session")
def shell_proxies() -> dict[str, str]:
    """Proxies of the developer's shell, for a child process that installs packages."""
    return _proxies


@pytest.fixture
def openai_server() -> Iterator[OpenAIServer]:
    """Serve the OpenAI chat API on loopback, scripted through `.script`."""
    with running() as server:
        yield server
