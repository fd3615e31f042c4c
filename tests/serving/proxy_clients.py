"""Clients of the proxy's tests."""

from __future__ import annotations

from typing import Any

import httpx
import openai

HELLO = [{"role": "user", "content": "Say a number."}]


def connect(url: str, **options: Any) -> openai.OpenAI:
    """Make an official client."""
    options = {"api_key": "EMPTY", "max_retries": 0, **options}
    return openai.OpenAI(base_url=f"{url}/v1", **options)


def post(url: str, body: Any = None, **options: Any) -> httpx.Response:
    """Send a chat request as raw HTTP."""
    body = {"model": "m", "messages": HELLO, **(body or {})}
    options = {"json": body, "timeout": 20, **options}
    return httpx.post(f"{url}/v1/chat/completions", **options)
