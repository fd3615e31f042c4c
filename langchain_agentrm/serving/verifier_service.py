"""A `RewardAgent` behind HTTP: verdicts, scores, and the paper's `/evaluate/`.

Source: the server of Agentic Reward Modeling's public code, which answers
`POST /evaluate/` with one number an answer, to anybody. Verdicts, limits, the token and
that it never makes up a number are ours.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from langchain_agentrm.errors import (
    AgentRMError,
    ConfigurationError,
    RewardModelError,
)
from langchain_agentrm.reward_agent import Explanation, RewardAgent, self_test
from langchain_agentrm.serving._http_body import read_body
from langchain_agentrm.serving._proxy_guard import Guard
from langchain_agentrm.serving._proxy_wire import JSON, ProxyError, encode, refusal
from langchain_agentrm.serving._verifier_body import read_candidates
from langchain_agentrm.serving._verifier_settings import VerifierSettings, redacted
from langchain_agentrm.trajectory import Trajectory
from langchain_agentrm.types import Batch, Score

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["TOKEN_VARIABLE", "VerifierSettings", "create_verifier_app"]

T = TypeVar("T")

_log = logging.getLogger(__name__)

TOKEN_VARIABLE = "AGENTRM_VERIFIER_TOKEN"  # noqa: S105 - a variable's name
"""Environment variable that the command reads the token from."""

_WHAT = "service"
_GONE = 499
_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


def create_verifier_app(
    agent: RewardAgent, settings: VerifierSettings | None = None
) -> FastAPI:
    """Make the service's ASGI app.

    It serves `/v1/verify`, `/v1/score`, `/evaluate/` and `/healthz`. A body holds
    `instruction` (or `messages`) and `answers`. An answer has status 503 where a part
    of the agent failed, or no signal decides: there is no default score.

    Args:
        agent: What verifies and scores; it is called from several threads.
        settings: Token and limits; the defaults if None.

    Returns:
        The app, for any ASGI server.

    Raises:
        ConfigurationError: If a verifier runs model-written code without
            `allow_code=True`, or its sandbox does not hold.

    Example:
        ```python
        from langchain_agentrm.reward_agent import RewardAgent
        from langchain_agentrm.serving.verifier_service import create_verifier_app


        def polite(trajectory):
            return "please" in trajectory.turns[-1].action


        app = create_verifier_app(RewardAgent(verifiers=[polite]))
        ```
    """
    settings = settings or VerifierSettings()
    _check_code(agent, settings)
    service = _Service(agent, settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            service.close()

    app = FastAPI(
        title="agentrm verifiers",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.add_middleware(Guard, settings=settings, what=_WHAT, variable=TOKEN_VARIABLE)
    # Added last, so that it stands before the guard: a refusal has an id too.
    app.add_middleware(_Identified)
    app.add_exception_handler(ProxyError, _error_response)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(ClientDisconnect, _nobody)
    app.add_exception_handler(Exception, _bug)
    routes: tuple[tuple[str, str, Callable[..., Any]], ...] = (
        ("POST", "/v1/verify", service.verify),
        ("POST", "/v1/score", service.score),
        ("POST", "/evaluate/", service.evaluate),
        ("GET", "/healthz", _health),
    )
    for method, path, handler in routes:
        app.add_api_route(path, handler, methods=[method], response_model=None)
    return app


class _Service:
    """The endpoints, and what they share."""

    def __init__(self, agent: RewardAgent, settings: VerifierSettings) -> None:
        self.agent = agent
        self.settings = settings
        self._in_work = 0
        self._threads = ThreadPoolExecutor(
            settings.max_concurrency, thread_name_prefix="agentrm-verify"
        )

    def close(self) -> None:
        """Take no more work; what is in work ends by its own time-outs."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def verify(self, request: Request) -> Response:
        """Tell what each verifier says of each answer."""
        explanations = await self._work(request, self.agent.explain)
        if all(v.abstains for e in explanations for v in e.verdicts.values()):
            self._undecided(explanations[0])
        told = [
            {
                "verdicts": _verdicts(e),
                "route": {"names": list(e.route.names), "reason": e.route.reason},
            }
            for e in explanations
        ]
        return self._reply({"answers": told})

    async def score(self, request: Request) -> Response:
        """Score each answer."""
        batch: Batch[Score] = await self._work(request, self.agent.score)
        for score in batch.items:
            if not score.ok or score.signals.get("failed_signals"):
                there = ", ".join(n for n in score.signals if n != "failed_signals")
                self._refuse(score.error or f"a signal failed, beside {there}")
        usage = batch.usage
        return self._reply(
            {
                "scores": [
                    {"value": s.value, "signals": dict(s.signals)} for s in batch.items
                ],
                "usage": {
                    "requests": usage.requests,
                    "input_tokens": usage.input_tokens,
                    "output_tokens": usage.output_tokens,
                },
            }
        )

    async def evaluate(self, request: Request) -> Response:
        """Give one number an answer: the mean of its verdicts, as upstream does."""
        explanations = await self._work(request, self.agent.explain)
        names = [v.name for v in self.agent.verifiers]
        values = []
        for explanation in explanations:
            if explanation.signals.get("failed_signals"):
                self._undecided(explanation)
            some = [explanation.signals[n] for n in explanation.used if n in names]
            if not some:
                self._undecided(explanation)
            values.append(sum(some) / len(some))
        return self._reply({"result": values})

    async def _work(
        self, request: Request, ask: Callable[[Sequence[Trajectory]], T]
    ) -> T:
        """Ask the agent in a thread, within the limits."""
        if self._in_work >= self.settings.max_concurrency:
            raise refusal(
                429,
                f"{self._in_work} requests are in work, which is the limit. Try again, "
                "or raise max_concurrency.",
                kind="rate_limit_error",
                code="too_many_requests",
                headers={"retry-after": "1"},
            )
        self._in_work += 1
        work: asyncio.Future[T] | None = None
        try:
            data = await read_body(request, self.settings.max_body, what=_WHAT)
            candidates = read_candidates(data, self.settings.max_answers)
            loop = asyncio.get_running_loop()
            work = loop.run_in_executor(self._threads, ask, candidates)
            work.add_done_callback(self._ended)
            # A thread cannot be stopped: its slot stays taken until it ends.
            return await asyncio.wait_for(asyncio.shield(work), self.settings.seconds)
        except TimeoutError as error:
            raise refusal(
                504,
                f"The request took longer than {self.settings.seconds:g} s. Send fewer "
                "answers, or raise the service's limit.",
                kind="timeout_error",
                code="timeout",
            ) from error
        except AgentRMError as error:
            self._refuse(str(error), error)
        finally:
            if work is None:
                self._in_work -= 1

    def _ended(self, work: asyncio.Future[Any]) -> None:
        self._in_work -= 1
        # Read, so that a failure after its request was answered is no warning.
        if not work.cancelled():
            work.exception()

    def _undecided(self, explanation: Explanation) -> NoReturn:
        why = [f"{name}: {reason}" for name, reason in explanation.left_out.items()]
        why = why or [explanation.score.error or "no verifier applies"]
        self._refuse("; ".join(why))

    def _refuse(self, why: str, cause: Exception | None = None) -> NoReturn:
        text = redacted(why, self.settings.token)
        _log.warning("nothing could be decided: %s", text)
        retry = isinstance(cause, RewardModelError) and cause.retryable
        raise refusal(
            503,
            f"No answer is given, since a part failed or nothing decides: {text}",
            kind="undecided",
            code="undecided",
            headers={"retry-after": "1"} if retry else None,
        ) from cause

    def _reply(self, body: dict[str, Any]) -> Response:
        text = redacted(encode(body).decode(), self.settings.token)
        return Response(text, media_type=JSON)


class _Identified:
    """Gives each request an id, in its answer and in the log."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; note how it ended."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
        # Only a plain id is taken over: it goes into a header and into the log.
        name = given if _ID.fullmatch(given) else uuid.uuid4().hex
        began, status = time.perf_counter(), 0

        async def identified(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = name
            await send(message)

        try:
            await self.app(scope, receive, identified)
        finally:
            seconds = time.perf_counter() - began
            _log.info("%s %r %d %.3f s", name, scope["path"], status, seconds)


def _verdicts(explanation: Explanation) -> dict[str, Any]:
    verdicts: dict[str, Any] = explanation.as_dict()["verdicts"]
    failed = {
        name: {"value": None, "reason": why, "error": why}
        for name, why in explanation.left_out.items()
        if name in explanation.route.names and name not in verdicts
    }
    return {**verdicts, **failed}


def _check_code(agent: RewardAgent, settings: VerifierSettings) -> None:
    for verifier in agent.verifiers:
        sandbox = getattr(verifier, "sandbox", None)
        if sandbox is None:
            continue
        if not settings.allow_code:
            msg = f"The verifier {verifier.name!r} runs code that a model wrote."
            raise ConfigurationError(
                msg, remedy="Allow it with --allow-code, or leave the verifier out."
            )
        breaches = self_test(sandbox)
        if breaches:
            msg = f"The sandbox {sandbox.name!r} does not hold: {breaches[0]}."
            raise ConfigurationError(
                msg, remedy="Install langchain-agentrm[sandbox], or bubblewrap."
            )


async def _health() -> dict[str, str]:
    return {"status": "ok"}


async def _error_response(_: Request, error: Exception) -> Response:
    if not isinstance(error, ProxyError):
        raise error
    return Response(error.content, error.status_code, headers=error.headers)


async def _http_error(_: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 500)
    text = str(getattr(error, "detail", error))
    remedy = "This service serves POST /v1/verify, /v1/score and /evaluate/."
    made = refusal(status, f"{text}. {remedy}", headers=getattr(error, "headers", None))
    return Response(made.content, made.status_code, headers=made.headers)


async def _nobody(_: Request, error: Exception) -> Response:
    del error
    return Response(status_code=_GONE)


async def _bug(_: Request, error: Exception) -> Response:
    made = refusal(
        500,
        f"The service failed with {type(error).__name__}. Its log tells more.",
        kind="server_error",
    )
    return Response(made.content, made.status_code, headers=made.headers)
