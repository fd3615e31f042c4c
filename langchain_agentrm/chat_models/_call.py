"""Candidates of one call of a chat model, drawn inside that call's own run."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatResult
from pydantic import BaseModel, ValidationError
from typing_extensions import TypeIs

from langchain_agentrm.sampling._abilities import abilities_of, fixed_options
from langchain_agentrm.sampling._draws import Abilities, Meter
from langchain_agentrm.sampling._limit import Limiter
from langchain_agentrm.sampling._result import candidates, usage_of
from langchain_agentrm.sampling._sampler import METER, CandidateSampler, sampler_for
from langchain_agentrm.types import Batch, Candidate, ProposalRequest

__all__ = ["CallProposer", "Source"]

Read = Callable[[str], Any]

_log = logging.getLogger(__name__)

# Tool arguments that are JSON but no object make langchain-openai raise on the whole
# reply, which says nothing of its other choices.
_UNREADABLE = "The client cannot read one of the choices; drawing single ones: %s"


class Source:
    """A chat model that candidates are drawn from, and what was learned of its server.

    Args:
        policy: The chat model.
        max_concurrency: Requests in flight at once.
    """

    def __init__(self, policy: BaseChatModel, max_concurrency: int) -> None:
        self.policy = policy
        limiter = Limiter(max_concurrency)
        self._able = abilities_of(policy, {}, seeds=True)
        # The sampler's own copy learns what the server refuses.
        self._sampler = sampler_for(policy, limiter, replace(self._able))
        self._single = sampler_for(policy, limiter, Abilities(many=False, seeds=False))

    def call(
        self, stop: list[str] | None, options: dict[str, Any], *, seeded: bool
    ) -> CallProposer:
        """Make the proposer of one call.

        Args:
            stop: Stop words.
            options: Options of the call, bound tools among them.
            seeded: Whether to send seeds.

        Returns:
            The proposer.
        """
        options = {**options, **fixed_options(self.policy)}
        # Tools can move a call to an API that takes neither `n` nor `seed`.
        usual = abilities_of(self.policy, options, seeds=True) == self._able
        sampler = self._sampler if usual else self._single
        asked = options.get("response_format")
        if reader(asked) is not None and sampler.abilities.many:
            options = _as_extra_body(self.policy, options)
        return CallProposer(sampler, self._single, stop, options, asked, seeded=seeded)


class CallProposer:
    """Draws the candidates of one call.

    It calls the policy's own `_generate` and opens no run: tracers and usage callbacks
    see the caller's run only, with the tokens of all candidates once. Where the client
    cannot read one of many choices it draws single ones, of which that one fails alone.

    Attributes:
        read: Reads a structured answer, where the call asks for one.
        model: The pydantic class of that answer, where it has one.
        drawn: What came, in the order drawn.
        usage: Tokens of all candidates, each once; None where the policy gives none.
        llm_output: The policy's own record of the requests.
    """

    def __init__(
        self,
        sampler: CandidateSampler,
        single: CandidateSampler,
        stop: list[str] | None,
        options: dict[str, Any],
        response_format: object,
        *,
        seeded: bool,
    ) -> None:
        self.read = reader(response_format)
        self.model = response_format if _is_model(response_format) else None
        self.drawn: list[Candidate] = []
        self.usage: UsageMetadata | None = None
        self.llm_output: dict[str, Any] = {}
        self._sampler = sampler
        self._single = single
        self._stop = stop
        self._options = options
        self._seeded = seeded

    def propose(self, requests: Sequence[ProposalRequest]) -> Batch[list[Candidate]]:
        """Draw the candidates of one request.

        Args:
            requests: The one request.

        Returns:
            Its candidates.

        Raises:
            Exception: What the policy raised, as it raised it.
        """
        (request,) = requests
        meter = Meter()
        METER.set(meter)
        said, options = list(request.messages), self._draws(request)
        try:
            result = self._sampler._generate(said, stop=self._stop, **options)  # noqa: SLF001 - no run of its own, see class
        except ValidationError as error:
            _log.warning(_UNREADABLE, error)
            result = self._single._generate(said, stop=self._stop, **options)  # noqa: SLF001 - the same
        return self._batch(request, result, meter)

    async def apropose(
        self, requests: Sequence[ProposalRequest]
    ) -> Batch[list[Candidate]]:
        """Async twin of `propose`.

        Args:
            requests: The one request.

        Returns:
            Its candidates.

        Raises:
            Exception: What the policy raised, as it raised it.
        """
        (request,) = requests
        meter = Meter()
        METER.set(meter)
        said, options = list(request.messages), self._draws(request)
        try:
            result = await self._sampler._agenerate(said, stop=self._stop, **options)  # noqa: SLF001 - the same
        except ValidationError as error:
            _log.warning(_UNREADABLE, error)
            result = await self._single._agenerate(said, stop=self._stop, **options)  # noqa: SLF001 - the same
        return self._batch(request, result, meter)

    def _draws(self, request: ProposalRequest) -> dict[str, Any]:
        seed = request.seed if self._seeded else None
        return {**self._options, "draws": request.n, "draw_seed": seed}

    def _batch(
        self, request: ProposalRequest, result: ChatResult, meter: Meter
    ) -> Batch[list[Candidate]]:
        messages = []
        for generation in result.generations:
            message = cast("AIMessage", generation.message)
            about = generation.generation_info or {}
            message.response_metadata = {**about, **message.response_metadata}
            messages.append(message)
        self.drawn = candidates(request, messages)
        usage = messages[0].usage_metadata
        self.usage = usage if usage and usage["total_tokens"] else None
        self.llm_output = result.llm_output or {}
        return Batch([self.drawn], usage_of(messages[0], meter.requests))


def reader(response_format: object) -> Read | None:
    """Who reads the structured answer that a call asks for.

    Args:
        response_format: As OpenAI's API takes it, or a pydantic class.

    Returns:
        A function that raises `ValueError` on a malformed answer; None where the
        call asks for plain text.
    """
    if _is_model(response_format):
        return response_format.model_validate_json
    if isinstance(response_format, dict) and response_format.get("type") in {
        "json_schema",
        "json_object",
    }:
        return json.loads
    return None


def _is_model(given: object) -> TypeIs[type[BaseModel]]:
    return isinstance(given, type) and issubclass(given, BaseModel)


def _as_extra_body(policy: BaseChatModel, options: dict[str, Any]) -> dict[str, Any]:
    """Send the same body past the client's own parser.

    OpenAI's client reads all choices of a structured answer and raises if one of them
    is cut off or malformed, so that one bad candidate would cost the other n - 1.
    """
    if "extra_body" not in type(policy).model_fields:
        return options
    options = dict(options)
    asked = options.pop("response_format")
    if _is_model(asked):
        asked = _schema_of(asked)
    body = options.get("extra_body") or getattr(policy, "extra_body", None) or {}
    return {**options, "extra_body": {**body, "response_format": asked}}


def _schema_of(model: type[BaseModel]) -> dict[str, Any]:
    from openai import pydantic_function_tool

    function = pydantic_function_tool(model)["function"]
    return {
        "type": "json_schema",
        "json_schema": {
            "schema": function["parameters"],
            "name": model.__name__,
            "strict": True,
        },
    }
