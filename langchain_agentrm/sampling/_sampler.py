"""A chat model whose generations are candidates: one traced run for n of them."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages.ai import UsageMetadata, add_usage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field

from langchain_agentrm.sampling._draws import Abilities, Meter, draw
from langchain_agentrm.sampling._limit import Limiter, adrive, drive

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from langchain_core.callbacks import (
        AsyncCallbackManagerForLLMRun,
        CallbackManagerForLLMRun,
    )
    from langchain_core.language_models.base import LangSmithParams
    from langchain_core.messages import AIMessage, BaseMessage

__all__ = ["METER", "CandidateSampler", "merge", "sampler_for"]

METER: ContextVar[Meter] = ContextVar("agentrm_meter")
"""Where the sampler counts; a context variable, as a failed run returns nothing."""


class CandidateSampler(BaseChatModel):
    """Calls the policy's own `_generate`, so that a tracer sees one run.

    It has no `_stream`: a streaming run would merge the candidates into one text.
    """

    policy: BaseChatModel = Field(exclude=True, repr=False)
    limiter: Any = Field(exclude=True, repr=False)
    abilities: Any = Field(exclude=True, repr=False)

    @property
    def _llm_type(self) -> str:
        return "agentrm-sampler"

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        return self.policy._identifying_params  # noqa: SLF001 - the run is the policy's

    def _get_ls_params(
        self, stop: list[str] | None = None, **kwargs: Any
    ) -> LangSmithParams:
        return self.policy._get_ls_params(stop=stop, **kwargs)  # noqa: SLF001 - same

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        *,
        draws: int = 1,
        draw_seed: int | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        # The policy does not get the run: it would stream its tokens to it.
        del run_manager
        policy = self.policy

        def call(options: dict[str, Any]) -> ChatResult:
            if policy.rate_limiter:
                policy.rate_limiter.acquire(blocking=True)
            return policy._generate(messages, stop=stop, **options)  # noqa: SLF001 - see class

        plan = draw(draws, draw_seed, kwargs, self.abilities, METER.get())
        return merge(drive(plan, call, self.limiter), draws)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        *,
        draws: int = 1,
        draw_seed: int | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        del run_manager
        policy = self.policy

        async def call(options: dict[str, Any]) -> ChatResult:
            if policy.rate_limiter:
                await policy.rate_limiter.aacquire(blocking=True)
            return await policy._agenerate(messages, stop=stop, **options)  # noqa: SLF001 - see class

        plan = draw(draws, draw_seed, kwargs, self.abilities, METER.get())
        return merge(await adrive(plan, call, self.limiter), draws)


def sampler_for(
    policy: BaseChatModel, limiter: Limiter, abilities: Abilities
) -> CandidateSampler:
    """Make the sampler of a policy; the policy's own callbacks and tags go along."""
    return CandidateSampler(
        policy=policy,
        limiter=limiter,
        abilities=abilities,
        # A cache would answer all draws of one prompt with the first.
        cache=False,
        callbacks=policy.callbacks,
        tags=policy.tags,
        metadata=policy.metadata,
        verbose=policy.verbose,
        output_version=policy.output_version,
    )


def merge(results: Sequence[ChatResult], n: int) -> ChatResult:
    """Put the candidates of several calls together, counting each call's usage once.

    The usage of all is on the first message: with `n=` every choice carries that of the
    whole request, and summing over choices would count it n times.

    Args:
        results: What came back, one result a call.
        n: How many candidates were asked for; surplus ones are left out.

    Returns:
        One result, of the policy's own message objects where one call made them all.
    """
    head = dict(results[0].llm_output or {})
    usage: UsageMetadata | None = None
    for result in results:
        usage = add_usage(
            usage, getattr(result.generations[0].message, "usage_metadata", None)
        )
    generations = [g for result in results for g in result.generations][:n]
    if len(results) > 1:
        head.pop("token_usage", None)
        generations = [_detached(g) for g in generations]
    seen: set[str] = set()
    rest = {k: v for k, v in head.items() if k != "token_usage"}
    for i, generation in enumerate(generations):
        message = cast("AIMessage", generation.message)
        # Setting a field goes through pydantic: only where it changes something.
        if i == 0:
            message.usage_metadata = usage
        elif getattr(message, "usage_metadata", None) is not None:
            message.usage_metadata = None
        message.response_metadata = {**rest, **message.response_metadata}
        if message.id in seen:
            message.id = None
        elif message.id is not None:
            seen.add(message.id)
    return ChatResult(generations=generations, llm_output=head)


def _detached(generation: ChatGeneration) -> ChatGeneration:
    """Copy a single draw: a fake model may hand out one object again and again."""
    return ChatGeneration(
        message=generation.message.model_copy(),
        generation_info=generation.generation_info,
    )
