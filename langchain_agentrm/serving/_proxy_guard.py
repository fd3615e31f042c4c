"""Who may ask: a bearer token, or nobody but this machine."""

from __future__ import annotations

import hmac
from ipaddress import ip_address
from typing import TYPE_CHECKING, Protocol

from starlette.datastructures import Headers

from langchain_agentrm.serving._proxy_wire import ProxyError, refusal

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["TOKEN_HEADER", "Guard", "Guarded", "is_loopback", "send_error"]

TOKEN_HEADER = "x-agentrm-token"  # noqa: S105 - a header's name


class Guarded(Protocol):
    """What a guard has to know of a server."""

    @property
    def token(self) -> str | None:
        """Bearer token that clients must send; None answers on loopback only."""
        ...


class Guard:
    """Refuses strangers before anything is read of what they send.

    Args:
        app: What is guarded; `/healthz` is not.
        settings: The token.
        what: The server's name in messages.
        variable: Environment variable that its command reads the token from.
        apart: Whether the token travels in a header of its own.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: Guarded,
        *,
        what: str = "proxy",
        variable: str = "AGENTRM_PROXY_TOKEN",
        apart: bool = False,
    ) -> None:
        self.app = app
        self._token = settings.token
        self._what = what
        self._variable = variable
        self._apart = apart

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "http" and scope["path"] != "/healthz":
            error = self._refused(scope)
            if error is not None:
                await send_error(error, send)
                return
        await self.app(scope, receive, send)

    def _refused(self, scope: Scope) -> ProxyError | None:
        headers = Headers(scope=scope)
        if self._token is None:
            return self._stranger(scope, headers)
        if self._apart:
            given = headers.get(TOKEN_HEADER, "")
        else:
            kind, _, given = headers.get("authorization", "").partition(" ")
            given = given.strip() if kind.lower() == "bearer" else ""
        if hmac.compare_digest(given.encode(), self._token.encode()):
            return None
        where = "X-AgentRM-Token: ..." if self._apart else "Authorization: Bearer ..."
        return refusal(
            401,
            f"The {self._what}'s token is missing or wrong. Send it as `{where}`.",
            kind="authentication_error",
            code="invalid_api_key",
            headers={"www-authenticate": "Bearer"},
        )

    def _stranger(self, scope: Scope, headers: Headers) -> ProxyError | None:
        """Without a token, only this machine may ask.

        The name asked for counts as well: a web page can point a name of its own at
        loopback, and a tunnel or another proxy in front brings the world here.
        """
        host, port = scope.get("server") or ("", 0)
        asked = _without_port(headers.get("host", ""))
        # Who may open a socket in the file system is the system's affair.
        is_file = port is None and host.startswith("/")
        if is_file or (is_loopback(host) and is_loopback(asked)):
            return None
        return refusal(
            403,
            f"This {self._what} has no token, so it answers on loopback only. Start it "
            f"with one ({self._variable}) and send it as `Authorization: Bearer ...`.",
            kind="permission_error",
        )


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def is_loopback(host: str) -> bool:
    """Tell whether an address or name is this machine's loopback."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


async def send_error(error: ProxyError, send: Send) -> None:
    """Send an error as an HTTP answer."""
    headers = {**error.headers, "content-length": str(len(error.content))}
    raw = [(k.lower().encode(), v.encode("latin-1")) for k, v in headers.items()]
    await send(
        {
            "type": "http.response.start",
            "status": error.status_code,
            "headers": raw,
        }
    )
    await send({"type": "http.response.body", "body": error.content})
