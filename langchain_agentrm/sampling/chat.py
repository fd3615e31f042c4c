"""Candidates from any chat model: one `n=` request a state, or single ones at once."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult, LLMResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.base import RunnableBindingBase
from langchain_core.runnables.config import ensure_config, merge_configs

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.sampling._abilities import abilities_of, fields_of, fixed_options
from langchain_agentrm.sampling._draws import Abilities, Meter, draw
from langchain_agentrm.sampling._limit import Limiter, adrive, drive, in_threads
from langchain_agentrm.sampling._result import candidates, policy_error, usage_of
from langchain_agentrm.sampling._sampler import (
    METER,
    CandidateSampler,
    merge,
    sampler_for,
)
from langchain_agentrm.types import Batch, Candidate, ProposalRequest, Usage

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ChatProposer"]

_log = logging.getLogger(__name__)

# LangGraph's public name for "keep this model's output out of the token stream".
_NOSTREAM = "nostream"
_RUN_NAME = "agentrm.sample"


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came of one proposal request, failed or not."""

    messages: Sequence[AIMessage]
    requests: int
    error: Exception | None = None


class ChatProposer:
    """Draws candidates from a chat model, however it is wrapped.

    A chat model whose class has the field `n` is asked once per state with `n=`; if the
    server refuses or ignores `n`, single requests are sent at once instead, and this is
    remembered. A runnable that is no chat model (a prompt before a model, fallbacks,
    retries) is invoked n times. There a global LLM cache is not switched off: it would
    answer all draws alike.

    Args:
        policy: A chat model, also under `bind`, `bind_tools` or `with_config`, or a
            runnable that returns an AI message.
        temperature: Sampling temperature; None leaves the model's own.
        max_concurrency: Requests in flight at once, over all calls of this proposer.
        seed_requests: Send each request's seed where the model takes one.

    Raises:
        ConfigurationError: If an option has a value that cannot work.

    Example:
        ```python
        proposer = ChatProposer(ChatOpenAI(model="m").bind_tools(tools))
        batch = proposer.propose([ProposalRequest("root", messages, n=8, seed=0)])
        ```
    """

    def __init__(
        self,
        policy: Runnable[Any, Any],
        *,
        temperature: float | None = None,
        max_concurrency: int = 16,
        seed_requests: bool = True,
    ) -> None:
        given: object = policy
        if not isinstance(given, Runnable):
            msg = f"policy is a {type(given).__name__}, not a chat model."
            raise ConfigurationError(
                msg, remedy="Pass a chat model or a runnable that returns an AIMessage."
            )
        if max_concurrency < 1:
            msg = f"max_concurrency is {max_concurrency}."
            raise ConfigurationError(msg, remedy="Use 1 or more.")
        self.policy = policy
        self.temperature = temperature
        self.max_concurrency = max_concurrency
        self.seed_requests = seed_requests
        self._layers, self._target = _unwrap(policy)
        self._kwargs: dict[str, Any] = {}
        for layer in reversed(self._layers):
            self._kwargs.update(layer.kwargs)
        for ours in ("n", "stream"):
            self._kwargs.pop(ours, None)
        self._limiter = Limiter(max_concurrency)
        self._abilities = Abilities(many=False, seeds=False)
        self._sampler: CandidateSampler | None = None
        if isinstance(self._target, BaseChatModel):
            model = self._target
            self._abilities = abilities_of(model, self._kwargs, seeds=seed_requests)
            self._kwargs |= fixed_options(model)
            if self._abilities.seeds:
                self._kwargs.pop("seed", None)
            self._sampler = sampler_for(model, self._limiter, self._abilities)

    def propose(self, requests: Sequence[ProposalRequest]) -> Batch[list[Candidate]]:
        """Draw candidates for all states of a step at once, in threads.

        Args:
            requests: One a state.

        Returns:
            A list of candidates per request, empty where that request failed.

        Raises:
            PolicyError: If every request failed.
            ConfigurationError: If a request asks for no candidate.
        """
        _check(requests)
        outcomes = in_threads(self._one, requests, self.max_concurrency)
        return self._batch(requests, outcomes)

    async def apropose(
        self, requests: Sequence[ProposalRequest]
    ) -> Batch[list[Candidate]]:
        """Async twin of `propose`, on the running loop.

        Args:
            requests: One a state.

        Returns:
            A list of candidates per request, empty where that request failed.

        Raises:
            PolicyError: If every request failed.
            ConfigurationError: If a request asks for no candidate.
        """
        _check(requests)
        outcomes = await asyncio.gather(*(self._aone(r) for r in requests))
        return self._batch(requests, outcomes)

    def _one(self, request: ProposalRequest) -> _Answer:
        meter, config, options = self._prepare(request)
        n = _count(request)
        try:
            if self._sampler is not None:
                result = self._sampler.generate(
                    [list(request.messages)],
                    draws=n,
                    draw_seed=request.seed,
                    **_traced(config),
                    **options,
                )
                return _Answer(_messages(result), meter.requests)

            def call(kwargs: dict[str, Any]) -> ChatResult:
                answer = self._target.invoke(list(request.messages), config, **kwargs)
                return self._wrapped(answer)

            plan = draw(n, None, options, self._abilities, meter)
            merged = merge(drive(plan, call, self._limiter), n)
            return _Answer(_named(merged, request), meter.requests)
        except Exception as error:  # noqa: BLE001 - other requests go on
            return _Answer((), meter.requests, error)

    async def _aone(self, request: ProposalRequest) -> _Answer:
        meter, config, options = self._prepare(request)
        n = _count(request)
        try:
            if self._sampler is not None:
                result = await self._sampler.agenerate(
                    [list(request.messages)],
                    draws=n,
                    draw_seed=request.seed,
                    **_traced(config),
                    **options,
                )
                return _Answer(_messages(result), meter.requests)

            async def call(kwargs: dict[str, Any]) -> ChatResult:
                answer = await self._target.ainvoke(
                    list(request.messages), config, **kwargs
                )
                return self._wrapped(answer)

            plan = draw(n, None, options, self._abilities, meter)
            merged = merge(await adrive(plan, call, self._limiter), n)
            return _Answer(_named(merged, request), meter.requests)
        except Exception as error:  # noqa: BLE001 - other requests go on
            return _Answer((), meter.requests, error)

    def _prepare(
        self, request: ProposalRequest
    ) -> tuple[Meter, RunnableConfig, dict[str, Any]]:
        meter = Meter()
        METER.set(meter)
        config = ensure_config()
        for layer in self._layers:
            config = merge_configs(
                config, layer.config, *(f(config) for f in layer.config_factories)
            )
        config["tags"] = [*(config.get("tags") or []), _NOSTREAM]
        config["run_name"] = _RUN_NAME
        options = dict(self._kwargs)
        temperature = self.temperature
        if request.temperature is not None:
            temperature = request.temperature
        if request.greedy:
            temperature = 0.0
        if temperature is not None and "temperature" in fields_of(self._target):
            options["temperature"] = temperature
        return meter, config, options

    def _wrapped(self, answer: object) -> ChatResult:
        if not isinstance(answer, AIMessage):
            msg = f"{type(answer).__name__} is not an AIMessage"
            raise TypeError(msg)
        return ChatResult(generations=[ChatGeneration(message=answer)])

    def _batch(
        self, requests: Sequence[ProposalRequest], answers: Sequence[_Answer]
    ) -> Batch[list[Candidate]]:
        errors = [a.error for a in answers if a.error is not None]
        if errors and len(errors) == len(answers):
            raise policy_error(_name(self._target), errors) from errors[0]
        usage = Usage()
        items: list[list[Candidate]] = []
        for request, answer in zip(requests, answers, strict=True):
            if answer.error is not None:
                _log.warning("No candidates for %r: %s", request.parent, answer.error)
            first = answer.messages[0] if answer.messages else None
            usage += usage_of(first, answer.requests)
            items.append(candidates(request, answer.messages))
        return Batch(items, usage)


def _check(requests: Sequence[ProposalRequest]) -> None:
    for request in requests:
        if request.n < 1:
            msg = f"A proposal request for {request.parent!r} has n={request.n}."
            raise ConfigurationError(msg, remedy="Ask for 1 candidate or more.")


def _count(request: ProposalRequest) -> int:
    return 1 if request.greedy else request.n


def _unwrap(
    policy: Runnable[Any, Any],
) -> tuple[list[RunnableBindingBase[Any, Any]], Runnable[Any, Any]]:
    """Peel bindings off, outermost first; one that does more (a retry) stays."""
    layers: list[RunnableBindingBase[Any, Any]] = []
    while (
        isinstance(policy, RunnableBindingBase)
        and type(policy).invoke is RunnableBindingBase.invoke
    ):
        layers.append(policy)
        policy = policy.bound
    return layers, policy


def _traced(config: RunnableConfig) -> dict[str, Any]:
    return {
        "callbacks": config.get("callbacks"),
        "tags": config.get("tags"),
        "metadata": config.get("metadata"),
        "run_name": config.get("run_name"),
    }


def _messages(result: LLMResult) -> list[AIMessage]:
    return [
        cast("AIMessage", cast("ChatGeneration", g).message)
        for g in result.generations[0]
    ]


def _named(result: ChatResult, request: ProposalRequest) -> list[AIMessage]:
    """Give ids to messages that a plain runnable left without one of their own."""
    messages = [cast("AIMessage", g.message) for g in result.generations]
    for i, message in enumerate(messages):
        if message.id is None:
            message.id = f"agentrm-{request.parent}-{request.seed}-{i}"
    return messages


def _name(model: Runnable[Any, Any]) -> str:
    name = getattr(model, "model_name", None) or getattr(model, "model", None)
    kind = type(model).__name__
    return f"{kind} {name!r}" if isinstance(name, str) else kind
