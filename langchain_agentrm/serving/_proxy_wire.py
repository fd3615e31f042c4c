"""JSON in and out, and errors in the form that OpenAI's clients read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

__all__ = ["ProxyError", "UpstreamError", "decode", "encode", "refusal"]

JSON = "application/json"
_SHOWN = 300


class ProxyError(Exception):
    """An answer that is an error: status, body and headers as they go out.

    Attributes:
        status_code: HTTP status.
        content: Body.
        headers: Headers, content type included.
    """

    def __init__(
        self, status_code: int, content: bytes, headers: Mapping[str, str]
    ) -> None:
        super().__init__(f"status {status_code}")
        self.status_code = status_code
        self.content = content
        self.headers = dict(headers)

    @property
    def error(self) -> dict[str, Any]:
        """The error as one object, for a stream whose headers are gone."""
        try:
            body = json.loads(self.content)
        except (ValueError, RecursionError):
            body = None
        found = body.get("error", body) if isinstance(body, dict) else body
        if isinstance(found, dict) and found:
            return found
        text = self.content[: 4 * _SHOWN].decode("utf-8", "replace")[:_SHOWN]
        return {
            "message": str(found or text or "no text"),
            "type": "upstream_error",
            "code": self.status_code,
        }


class UpstreamError(ProxyError):
    """What the upstream refused, as it said it.

    Attributes:
        param: The option that it objects to, where it names one.
        body: The start of its answer as text, for finding an option's name in it.
    """

    def __init__(
        self, status_code: int, content: bytes, headers: Mapping[str, str]
    ) -> None:
        super().__init__(status_code, content, headers)
        self.param = self.error.get("param")
        self.body = str(self.error.get("message") or self.error)[: 4 * _SHOWN]


def refusal(
    status: int,
    message: str,
    *,
    kind: str = "invalid_request_error",
    param: str | None = None,
    code: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> ProxyError:
    """Make an error of the proxy's own.

    Args:
        status: HTTP status.
        message: What is wrong, the value, and the remedy.
        kind: OpenAI's `type`.
        param: The option that is wrong.
        code: OpenAI's `code`.
        headers: Further headers.

    Returns:
        The error, to be raised.
    """
    error = {"message": message, "type": kind, "param": param, "code": code}
    return ProxyError(
        status, encode({"error": error}), {"content-type": JSON, **(headers or {})}
    )


def encode(value: Any) -> bytes:
    """Write JSON; half a surrogate pair, which JSON may hold, is escaped."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


def decode(data: bytes) -> Any:
    """Read strict JSON.

    Args:
        data: The text.

    Returns:
        Its value.

    Raises:
        ValueError: If it is no JSON, holds NaN or an infinity, or nests too deeply.
    """
    try:
        return json.loads(data, parse_constant=_no_constant)
    except RecursionError as error:
        msg = "it nests too deeply"
        raise ValueError(msg) from error


def _no_constant(name: str) -> NoReturn:
    msg = f"{name} is no JSON"
    raise ValueError(msg)
