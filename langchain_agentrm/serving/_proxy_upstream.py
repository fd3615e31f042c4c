"""The upstream: candidates by one `n=` request, or by single ones where it must be."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from langchain_core.outputs import ChatGeneration, ChatResult

from langchain_agentrm.sampling._draws import Abilities, Meter, draw
from langchain_agentrm.sampling._limit import Limiter, adrive
from langchain_agentrm.serving._proxy_body import Ask
from langchain_agentrm.serving._proxy_messages import answer, fault
from langchain_agentrm.serving._proxy_settings import ProxySettings, api_base, shown
from langchain_agentrm.serving._proxy_wire import JSON, UpstreamError, encode, refusal
from langchain_agentrm.types import Candidate

__all__ = ["Drawn", "Upstream"]

# What tells a client when to come back and whom to ask; the rest is of the connection.
_KEPT = ("content-type", "retry-after", "retry-after-ms", "x-should-retry")
_KEPT_PREFIXES = ("x-request-id", "x-ratelimit-", "openai-")
_CONNECT_SECONDS = 10.0
# Below the five seconds after which servers commonly close an idle connection: one
# that closes while a request is on its way to it looks like a dead server.
_IDLE_SECONDS = 3.0
_MODELS_KNOWN = 256


@dataclass(frozen=True, slots=True)
class Drawn:
    """What the upstream answered to one request.

    Attributes:
        head: The first reply, without its choices.
        choices: All choices as they came, by the order of the candidates.
        candidates: The same choices for the search core; `message.id` is the position.
        usage: Of all replies, each counted once; None where there is none.
        requests: Requests made.
    """

    head: Mapping[str, Any]
    choices: tuple[Mapping[str, Any], ...]
    candidates: tuple[Candidate, ...]
    usage: dict[str, Any] | None
    requests: int


class Upstream:
    """An OpenAI-compatible server, asked in raw JSON.

    Args:
        url: Its address.
        settings: Key and limits.
        on_request: Told of each request to it.
    """

    def __init__(
        self, url: str, settings: ProxySettings, on_request: Callable[[], None]
    ) -> None:
        self.base = api_base(url)
        self.shown = shown(self.base)
        self._settings = settings
        self._on_request = on_request
        self._limiter = Limiter(settings.max_upstream)
        # What a server takes can differ by model: it may be a gateway to several.
        self._known: OrderedDict[str, Abilities] = OrderedDict()
        self._client: httpx.AsyncClient | None = None

    async def models(self, authorization: str | None) -> httpx.Response:
        """Ask for its models.

        Args:
            authorization: The client's own header, where it is forwarded.

        Returns:
            The reply, of status 200.

        Raises:
            ProxyError: If there is none.
        """
        return await self._send("GET", "/models", None, authorization)

    async def draw(self, ask: Ask, authorization: str | None) -> Drawn:
        """Draw a request's candidates.

        Args:
            ask: The request.
            authorization: The client's own header, where it is forwarded.

        Returns:
            At least one candidate.

        Raises:
            ProxyError: If none came: the upstream's own answer, or 502 or 504.
        """
        known = self._abilities(str(ask.body.get("model")))
        # A client's seed goes along, one derived from it with each single draw; equal
        # seeds would draw one answer n times.
        abilities = Abilities(many=known.many, seeds=ask.seed is not None)
        meter = Meter()

        async def call(options: dict[str, Any]) -> ChatResult:
            if "n" in options or ask.draw == 1:
                options.pop("seed", None)  # the client's own, as it came
            body = encode({**ask.body, **options})
            reply = await self._send("POST", "/chat/completions", body, authorization)
            return self._read(reply)

        plan = draw(ask.draw, ask.seed, {}, abilities, meter)
        results = await adrive(plan, call, self._limiter)
        known.many = abilities.many
        return _joined(results, ask.draw, meter.requests)

    async def aclose(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    def _abilities(self, model: str) -> Abilities:
        known = self._known.setdefault(model, Abilities(many=True, seeds=True))
        self._known.move_to_end(model)
        if len(self._known) > _MODELS_KNOWN:
            self._known.popitem(last=False)
        return known

    async def _send(
        self, method: str, path: str, body: bytes | None, authorization: str | None
    ) -> httpx.Response:
        if self._client is None:
            self._client = self._connect()
        headers = {"content-type": JSON} if body is not None else {}
        key = self._settings.upstream_key
        if authorization is not None:
            headers["authorization"] = authorization
        elif key is not None:
            headers["authorization"] = f"Bearer {key}"
        self._on_request()
        try:
            reply = await self._client.request(
                method, self.base + path, content=body, headers=headers
            )
        except httpx.TimeoutException as error:
            raise self._lost(504, "gave no answer in time", error) from error
        except httpx.RequestError as error:
            raise self._lost(502, "cannot be reached", error) from error
        if reply.is_success:
            return reply
        if reply.is_redirect:
            where = f"redirects to {shown(reply.headers.get('location', ''))!r}"
            raise self._lost(502, where, None)
        raise UpstreamError(reply.status_code, reply.content, _kept(reply.headers))

    def _connect(self) -> httpx.AsyncClient:
        s = self._settings
        return httpx.AsyncClient(
            timeout=httpx.Timeout(s.seconds, connect=min(_CONNECT_SECONDS, s.seconds)),
            limits=httpx.Limits(
                max_connections=None,
                max_keepalive_connections=s.max_upstream,
                keepalive_expiry=_IDLE_SECONDS,
            ),
        )

    def _lost(self, status: int, what: str, error: Exception | None) -> Exception:
        why = f" ({type(error).__name__})" if error else ""
        return refusal(
            status,
            f"The upstream {self.shown} {what}{why}. Check that it is up.",
            kind="upstream_error",
            code="upstream_timeout" if status == 504 else "upstream_unreachable",  # noqa: PLR2004
        )

    def _read(self, reply: httpx.Response) -> ChatResult:
        try:
            body = reply.json()
        except (ValueError, RecursionError) as error:
            raise self._nonsense(that="is no JSON") from error
        choices = body.get("choices") if isinstance(body, dict) else None
        if not isinstance(choices, list) or not choices:
            raise self._nonsense(that="holds no choices")
        if not all(
            isinstance(c, dict) and isinstance(c.get("message"), dict) for c in choices
        ):
            raise self._nonsense(that="holds a choice without a message")
        return ChatResult(
            generations=[ChatGeneration(message=answer(c["message"])) for c in choices],
            llm_output=body,
        )

    def _nonsense(self, *, that: str) -> Exception:
        return refusal(
            502,
            f"The upstream's answer {that}. Check that {self.shown} is an "
            "OpenAI-compatible endpoint.",
            kind="upstream_error",
            code="upstream_invalid",
        )


def _kept(headers: httpx.Headers) -> dict[str, str]:
    return {
        k: v for k, v in headers.items() if k in _KEPT or k.startswith(_KEPT_PREFIXES)
    }


def _joined(results: list[ChatResult], n: int, requests: int) -> Drawn:
    bodies = [r.llm_output or {} for r in results]
    choices = [c for body in bodies for c in body["choices"]][:n]
    messages = [g.message for r in results for g in r.generations][:n]
    candidates = []
    for i, (choice, message) in enumerate(zip(choices, messages, strict=True)):
        message.id = str(i)
        error = fault(message, choice.get("finish_reason"))  # type: ignore[arg-type]
        candidates.append(Candidate(message=message, error=error))  # type: ignore[arg-type]
    usages = [u for body in bodies if isinstance(u := body.get("usage"), dict)]
    return Drawn(
        head={k: v for k, v in bodies[0].items() if k != "choices"},
        choices=tuple(choices),
        candidates=tuple(candidates),
        usage=_sum(usages) if usages else None,
        requests=requests,
    )


def _sum(usages: list[dict[str, Any]]) -> dict[str, Any]:
    """Add usages field by field, details included."""
    out = dict(usages[0])
    for usage in usages[1:]:
        for name, value in usage.items():
            here = out.get(name)
            if isinstance(value, dict) and isinstance(here, dict):
                out[name] = _sum([here, value])
            elif _number(value) and _number(here):
                out[name] = here + value
            elif here is None:
                out[name] = value
    return out


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
