"""A request's body, of a known type and a bounded size."""

from __future__ import annotations

from starlette.requests import Request

from langchain_agentrm.serving._proxy_wire import JSON, ProxyError, refusal

__all__ = ["read_body"]


async def read_body(request: Request, limit: int, *, what: str = "proxy") -> bytes:
    """Read a JSON body, and no more of it than the limit.

    Args:
        request: The request.
        limit: Largest size in bytes.
        what: The server's name in messages.

    Returns:
        The body.

    Raises:
        ProxyError: With status 415 for another type, 413 for a larger body.
    """
    # Other types can be sent by any web page without asking the server first.
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != JSON:
        text = f"The content type is {kind!r:.80}. Send application/json."
        raise refusal(415, text)
    size = request.headers.get("content-length", "0")
    if size.isdecimal() and int(size) > limit:
        raise _too_large(limit, what)
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > limit:
            raise _too_large(limit, what)
    return bytes(data)


def _too_large(limit: int, what: str) -> ProxyError:
    text = f"The body is larger than {limit} bytes, which is this {what}'s limit."
    return refusal(413, text, headers={"connection": "close"})
