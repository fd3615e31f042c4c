"""An OpenAI-compatible endpoint that answers with the best of n.

Any client of `/v1/chat/completions` gets reward-guided choice by changing its base URL.
The request goes to the upstream as it came, with `n` raised; the reward model ranks the
candidates, and the best go back. Nothing else of a candidate leaves the proxy.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from langchain_agentrm.errors import RewardModelError
from langchain_agentrm.reward_models.base import RewardModel
from langchain_agentrm.serving._http_body import read_body
from langchain_agentrm.serving._proxy_body import Ask, read_ask
from langchain_agentrm.serving._proxy_choice import ranked
from langchain_agentrm.serving._proxy_guard import Guard
from langchain_agentrm.serving._proxy_metrics import CONTENT_TYPE, Metrics
from langchain_agentrm.serving._proxy_reply import chunks, completion, event
from langchain_agentrm.serving._proxy_settings import ProxySettings
from langchain_agentrm.serving._proxy_upstream import Drawn, Upstream
from langchain_agentrm.serving._proxy_wire import JSON, ProxyError, encode, refusal

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

__all__ = ["ProxySettings", "create_app"]

_log = logging.getLogger(__name__)

_OK = 200
_GONE = 499
"""nginx's status for a client that left; it is only ever counted."""

_KEEP_ALIVE = b": agentrm\n\n"


def create_app(
    upstream: str, reward_model: RewardModel, settings: ProxySettings | None = None
) -> FastAPI:
    """Make the proxy's ASGI app.

    It serves `/v1/chat/completions`, `/v1/models`, `/healthz` and `/metrics`. A request
    may carry `agentrm: {"n": 8, "return_scores": true}`; its own `n` is the number of
    answers, best first.

    Args:
        upstream: Address of an OpenAI-compatible server, such as
            `http://127.0.0.1:8000/v1`.
        reward_model: Who ranks the candidates, one batch a request.
        settings: Numbers, secrets and limits; the defaults if None.

    Returns:
        The app, for any ASGI server.

    Raises:
        ConfigurationError: If the address is none.

    Example:
        ```python
        from langchain_agentrm import FunctionRewardModel
        from langchain_agentrm.serving.proxy import create_app

        shortest = FunctionRewardModel(
            lambda ts: [-float(len(t.turns[-1].action)) for t in ts]
        )
        app = create_app("http://127.0.0.1:8000/v1", shortest)
        ```
    """
    settings = settings or ProxySettings()
    proxy = _Proxy(upstream, reward_model, settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await proxy.upstream.aclose()

    app = FastAPI(
        title="agentrm proxy",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.state.metrics = proxy.metrics
    app.add_middleware(Guard, settings=settings, apart=settings.forward_authorization)
    app.add_exception_handler(ProxyError, _error_response)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(ClientDisconnect, _nobody)
    app.add_exception_handler(Exception, _bug)
    routes: tuple[tuple[str, str, Callable[..., Any]], ...] = (
        ("POST", "/v1/chat/completions", proxy.chat),
        ("GET", "/v1/models", proxy.models),
        ("GET", "/healthz", _health),
        ("GET", "/metrics", proxy.show_metrics),
    )
    for method, path, handler in routes:
        app.add_api_route(path, handler, methods=[method], response_model=None)
    return app


class _Proxy:
    """The endpoints, and what they share."""

    def __init__(
        self, upstream: str, reward_model: RewardModel, settings: ProxySettings
    ) -> None:
        self.settings = settings
        self.reward_model = reward_model
        self.metrics = Metrics()
        self.upstream = Upstream(
            upstream, settings, lambda: self.metrics.count("upstream_requests_total")
        )

    async def models(self, request: Request) -> Response:
        """List the upstream's models, as it lists them."""
        reply = await self.upstream.models(self._forwarded(request))
        return Response(reply.content, media_type=reply.headers.get("content-type"))

    async def show_metrics(self) -> Response:
        """Show the counters."""
        return PlainTextResponse(self.metrics.text(), media_type=CONTENT_TYPE)

    async def chat(self, request: Request) -> Response:
        """Answer one chat request."""
        if self.metrics.in_flight >= self.settings.max_concurrency:
            self.metrics.count("requests_total", status="429")
            raise refusal(
                429,
                f"{self.metrics.in_flight} requests are in work, which is the limit. "
                "Try again, or raise max_concurrency.",
                kind="rate_limit_error",
                code="too_many_requests",
                headers={"retry-after": "1"},
            )
        slot = _Slot(self.metrics)
        try:
            ask = read_ask(
                await read_body(request, self.settings.max_body), self.settings
            )
            work = asyncio.create_task(self._best(ask, self._forwarded(request)))
            if ask.stream:
                return await self._streamed(ask, work, slot)
            answer = await _while_there(work, request.receive)
        except ProxyError as error:
            slot.end(error.status_code)
            raise
        except (asyncio.CancelledError, ClientDisconnect):
            slot.end(_GONE)
            raise
        except BaseException:
            slot.end(500)
            raise
        if answer is None:
            slot.end(_GONE)
            return Response(status_code=_GONE)
        slot.end(_OK)
        return Response(encode(answer), media_type=JSON)

    async def _streamed(
        self, ask: Ask, work: asyncio.Task[dict[str, Any]], slot: _Slot
    ) -> Response:
        try:
            await asyncio.wait({work}, timeout=self.settings.early)
            if work.done():
                work.result()  # an early error keeps its HTTP status
        except BaseException:
            await _stopped(work)
            raise
        return _EventStream(ask, work, slot, self.settings.keep_alive)

    async def _best(self, ask: Ask, authorization: str | None) -> dict[str, Any]:
        try:
            async with asyncio.timeout(self.settings.seconds):
                drawn = await self.upstream.draw(ask, authorization)
                order = await ranked(
                    ask,
                    drawn,
                    self.reward_model,
                    self.settings,
                    lambda seconds: self.metrics.time("score_seconds", seconds),
                )
        except TimeoutError as error:
            raise refusal(
                504,
                f"The request took longer than {self.settings.seconds:g} s. Ask for "
                "fewer candidates, or raise the proxy's limit.",
                kind="timeout_error",
                code="timeout",
            ) from error
        except RewardModelError as error:
            raise refusal(502, str(error), kind="reward_model_error") from error
        answer = completion(ask, drawn, order)
        self._count(drawn, answer["agentrm"])
        return answer

    def _count(self, drawn: Drawn, report: Mapping[str, Any]) -> None:
        count = self.metrics.count
        unsound = sum(c.error is not None for c in drawn.candidates)
        count("candidates_total", report["n"], kind="drawn")
        count("candidates_total", report["distinct"], kind="distinct")
        count("candidates_total", unsound, kind="unsound")
        for kind in ("prompt", "completion"):
            tokens = (drawn.usage or {}).get(f"{kind}_tokens")
            count("tokens_total", tokens if isinstance(tokens, int) else 0, kind=kind)
        count("tokens_total", report["reward_tokens"], kind="reward")
        if report["fallback"]:
            count("fallbacks_total")

    def _forwarded(self, request: Request) -> str | None:
        if not self.settings.forward_authorization:
            return None
        return request.headers.get("authorization")


class _Slot:
    """One chat request in work, counted once when it ends."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._began = time.perf_counter()
        self._open = True
        metrics.in_flight += 1

    def end(self, status: int) -> None:
        if self._open:
            self._open = False
            self._metrics.in_flight -= 1
            self._metrics.count("requests_total", status=str(status))
            self._metrics.time("request_seconds", time.perf_counter() - self._began)


class _EventStream(Response):
    """Comments while candidates are drawn and scored, then the winner replayed."""

    media_type = "text/event-stream"

    def __init__(
        self,
        ask: Ask,
        work: asyncio.Task[dict[str, Any]],
        slot: _Slot,
        keep_alive: float,
    ) -> None:
        super().__init__(
            headers={"cache-control": "no-cache", "x-accel-buffering": "no"}
        )
        del self.headers["content-length"]
        self._ask = ask
        self._work = work
        self._slot = slot
        self._keep_alive = keep_alive

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it all, or stop the work when the client leaves."""
        del scope
        gone = asyncio.create_task(_left(receive))
        status = _GONE
        try:
            await send(
                {
                    "type": "http.response.start",
                    "status": self.status_code,
                    "headers": self.raw_headers,
                }
            )
            while not self._work.done() and not gone.done():
                await send(_part(_KEEP_ALIVE))
                await asyncio.wait(
                    {self._work, gone},
                    timeout=self._keep_alive,
                    return_when=asyncio.FIRST_COMPLETED,
                )
            if self._work.done():
                status = await self._replay(send)
        finally:
            await _stopped(self._work, gone)
            self._slot.end(status)

    async def _replay(self, send: Send) -> int:
        status = _OK
        try:
            answer = self._work.result()
        except Exception as error:  # noqa: BLE001 - a stream has no other way
            # The headers are gone: what is left is the form that clients read.
            if not isinstance(error, ProxyError):
                _log.exception("A streamed request failed.")
                error = _failure(error)
            status = error.status_code
            data = event({"error": error.error})
        else:
            usage = self._ask.include_usage
            data = b"".join(chunks(answer, include_usage=usage))
        await send({"type": "http.response.body", "body": data})
        return status


def _part(data: bytes) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": True}


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _while_there(
    work: asyncio.Task[dict[str, Any]], receive: Receive
) -> dict[str, Any] | None:
    """Wait for an answer; stop it, and give None, once the client has left."""
    gone = asyncio.create_task(_left(receive))
    try:
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        return work.result() if work.done() else None
    finally:
        await _stopped(work, gone)


async def _stopped(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    # Gathered, so that connections are back in the pool before the request ends.
    await asyncio.gather(*tasks, return_exceptions=True)


async def _health() -> dict[str, str]:
    return {"status": "ok"}


async def _error_response(_: Request, error: Exception) -> Response:
    if not isinstance(error, ProxyError):
        raise error
    return Response(error.content, error.status_code, headers=error.headers)


async def _http_error(_: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 500)
    text = str(getattr(error, "detail", error))
    remedy = "This proxy serves /v1/chat/completions and /v1/models."
    made = refusal(status, f"{text}. {remedy}", headers=getattr(error, "headers", None))
    return Response(made.content, made.status_code, headers=made.headers)


async def _nobody(_: Request, error: Exception) -> Response:
    del error
    return Response(status_code=_GONE)


def _failure(error: Exception) -> ProxyError:
    return refusal(
        500,
        f"The proxy failed with {type(error).__name__}. Its log tells more.",
        kind="server_error",
    )


async def _bug(_: Request, error: Exception) -> Response:
    made = _failure(error)
    return Response(made.content, made.status_code, headers=made.headers)
