"""A chat model that answers with the best of n candidates."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, cast

from langchain_core.callbacks import (
    AsyncCallbackManagerForLLMRun,
    CallbackManagerForLLMRun,
)
from langchain_core.language_models import (
    BaseChatModel,
    LanguageModelInput,
    ModelProfile,
)
from langchain_core.language_models.base import LangSmithParams
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import (
    Runnable,
    RunnableBinding,
    RunnableParallel,
    RunnableSequence,
)
from langchain_core.tools import BaseTool
from pydantic import BaseModel, Field, PrivateAttr

from langchain_agentrm._choose import (
    AnswerGrammar,
    Choice,
    ChoiceSettings,
    InvalidPolicy,
    check_n,
    choose,
    info,
    standing,
)
from langchain_agentrm.chat_models._call import CallProposer, Source
from langchain_agentrm.chat_models._replay import replay
from langchain_agentrm.engine import Models, drive, drive_async
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.reward_models.base import RewardModel
from langchain_agentrm.search.rounds import RewardErrorPolicy

__all__ = ["ChatAgentRM"]

_INHERITED = (
    "callbacks",
    "tags",
    "metadata",
    "verbose",
    "output_version",
    "disable_streaming",
)


class ChatAgentRM(BaseChatModel):
    """Draw n candidates from a chat model, answer with the one scored best.

    Equal candidates are merged and scored once; malformed ones lose; ties, the reward
    model's resolution and its failures are dealt with as in a search. The winner
    carries `response_metadata["agentrm"]` (its `score`, `rank`, `votes`, the `scores`
    of all, what it cost, `fallback` where no score decided) and the tokens of all
    candidates, once. A stream replays the winner: the choice needs whole candidates.
    With n=1 calls pass straight through to the policy.

    Example:
        ```python no-run: chat_model and reward_model are yours
        llm = ChatAgentRM(policy=chat_model, reward_model=reward_model, n=8)
        answer = llm.invoke("How do I clean the mug?")
        answer.response_metadata["agentrm"]["score"]
        llm.invoke("And the pan?", n=16)
        ```
    """

    policy: BaseChatModel = Field(exclude=True)
    """Who proposes."""
    reward_model: RewardModel = Field(exclude=True, repr=False)
    """Who scores."""
    n: int = Field(default=5, ge=1)
    """Candidates a call; `invoke(..., n=8)` overrides it."""
    seed: int | None = 0
    """Run seed; each call's seed derives from it and the conversation, where the policy
    takes one. None sends none."""
    all_generations: bool = False
    """Let `generate` return all candidates, best first; `invoke` gives the best."""
    on_reward_error: RewardErrorPolicy = "policy_order"
    """Where nothing can be scored: the policy's own order, marked, or `"raise"`."""
    on_invalid: InvalidPolicy = "return"
    """Where no candidate holds an action (all cut off, empty or malformed): the
    policy's first answer, marked, or `"raise"`."""
    max_concurrency: int = Field(default=16, ge=1)
    """Policy requests in flight at once, where the server does not take `n`."""
    # Two reward models are told apart by nothing that a cache's key could hold.
    cache: Any = Field(default=False, exclude=True)
    """A cache of choices, or True for the global one; off by default."""

    _source: Source = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        """Take over what the policy's runs were given: callbacks, tags, metadata."""
        if isinstance(self.policy, ChatAgentRM):
            msg = "The policy is a ChatAgentRM, whose answer is chosen already."
            raise ConfigurationError(
                msg, remedy="Give the plain policy, and a larger n if you like."
            )
        given = set(self.model_fields_set)
        super().model_post_init(context)
        for name in _INHERITED:
            if name not in given:
                setattr(self, name, getattr(self.policy, name))
        self._source = Source(self.policy, self.max_concurrency)

    # Identity: for tracers, usage and `create_agent` it is the policy's.

    @property
    def _llm_type(self) -> str:
        return "agentrm"

    @property
    def model_name(self) -> str:
        """The policy's name; `create_agent` picks structured output by it."""
        for name in ("model_name", "model", "model_id"):
            value = getattr(self.policy, name, None)
            if isinstance(value, str):
                return value
        return ""

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        reward = type(self.reward_model)
        return {
            "n": self.n,
            "seed": self.seed,
            "reward_model": f"{reward.__module__}.{reward.__qualname__}",
            "policy_type": self.policy._llm_type,  # noqa: SLF001 - LangChain's hook
            "policy": dict(self.policy._identifying_params),  # noqa: SLF001 - the same
        }

    def _resolve_model_profile(self) -> ModelProfile | None:
        return self.policy.profile

    def _get_ls_params(
        self, stop: list[str] | None = None, **kwargs: Any
    ) -> LangSmithParams:
        return self.policy._get_ls_params(stop=stop, **kwargs)  # noqa: SLF001 - the same

    def _combine_llm_outputs(
        self, llm_outputs: list[dict[str, Any] | None]
    ) -> dict[str, Any]:
        known = [output or {} for output in llm_outputs]
        return self.policy._combine_llm_outputs(list(known))  # noqa: SLF001 - the same

    def get_token_ids(self, text: str) -> list[int]:
        """Tokenize as the policy does."""
        return self.policy.get_token_ids(text)

    def get_num_tokens_from_messages(
        self, messages: list[BaseMessage], tools: Sequence[Any] | None = None
    ) -> int:
        """Count as the policy does."""
        return self.policy.get_num_tokens_from_messages(messages, tools)

    # Tools and structured output: the policy builds them, around itself; the choice
    # then takes its place.

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Bind tools in the policy's own format.

        Args:
            tools: Tools in any form that the policy takes.
            tool_choice: As the policy takes it.
            **kwargs: Passed to the policy's `bind_tools`.

        Returns:
            This model with the tools bound.

        Raises:
            NotImplementedError: If the policy takes no tools.
        """
        bound = self.policy.bind_tools(tools, tool_choice=tool_choice, **kwargs)
        return cast("Runnable[LanguageModelInput, AIMessage]", self._around(bound))

    def with_structured_output(
        self,
        schema: dict[str, Any] | type,
        *,
        include_raw: bool = False,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, dict[str, Any] | BaseModel]:
        """Parse the chosen answer, as the policy would parse its own.

        Candidates that are no JSON, or do not fit a pydantic schema, lose.

        Args:
            schema: What to answer with.
            include_raw: Return `raw`, `parsed` and `parsing_error`.
            **kwargs: Passed to the policy, such as `method`.

        Returns:
            A runnable that gives the parsed answer.

        Raises:
            NotImplementedError: If the policy cannot.
        """
        chain = self.policy.with_structured_output(
            schema, include_raw=include_raw, **kwargs
        )
        return cast(
            "Runnable[LanguageModelInput, dict[str, Any] | BaseModel]",
            self._around(chain),
        )

    def _around(self, chain: Runnable[Any, Any]) -> Runnable[Any, Any]:
        """Put this model where the policy stands in a chain."""
        found = []

        def walk(node: Any) -> Any:
            if node is self.policy:
                found.append(node)
                return self
            if isinstance(node, type(self.policy)):
                found.append(node)
                return self.model_copy(update={"policy": node})
            if isinstance(node, RunnableBinding):
                return node.model_copy(update={"bound": walk(node.bound)})
            if isinstance(node, RunnableSequence):
                return RunnableSequence(*map(walk, node.steps), name=node.name)
            if isinstance(node, RunnableParallel):
                return RunnableParallel({k: walk(v) for k, v in node.steps__.items()})
            return node

        out: Runnable[Any, Any] = walk(chain)
        if not found:
            kind = type(self.policy).__name__
            msg = f"{kind} built a chain in which it cannot be found."
            raise ConfigurationError(
                msg, remedy="Use bind_tools and parse the tool call yourself."
            )
        return out

    # Generation.

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        n = check_n(kwargs.pop("n", self.n))
        if n == 1:
            self._wait()
            return self.policy._generate(  # noqa: SLF001 - the policy's answer as it is
                messages, stop=stop, run_manager=run_manager, **kwargs
            )
        call, settings = self._prepare(n, stop, kwargs)
        plan = self._plan(messages, call, settings)
        return self._result(drive(plan, Models(call, self.reward_model)), call)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        n = check_n(kwargs.pop("n", self.n))
        if n == 1:
            await self._await()
            return await self.policy._agenerate(  # noqa: SLF001 - the same
                messages, stop=stop, run_manager=run_manager, **kwargs
            )
        call, settings = self._prepare(n, stop, kwargs)
        plan = self._plan(messages, call, settings)
        choice = await drive_async(plan, Models(call, self.reward_model))
        return self._result(choice, call)

    def _prepare(
        self, n: int, stop: list[str] | None, kwargs: dict[str, Any]
    ) -> tuple[CallProposer, ChoiceSettings]:
        seed = kwargs.pop("seed", self.seed)
        for streaming in ("stream", "stream_usage"):
            kwargs.pop(streaming, None)
        # A copy with another policy brings the first one's source along.
        if self._source.policy is not self.policy:
            self._source = Source(self.policy, self.max_concurrency)
        call = self._source.call(stop, kwargs, seeded=seed is not None)
        tools = tuple(t for t in kwargs.get("tools") or () if isinstance(t, dict))
        settings = ChoiceSettings(
            n, seed or 0, self.on_reward_error, self.on_invalid, tools
        )
        return call, settings

    def _plan(
        self,
        messages: list[BaseMessage],
        call: CallProposer,
        settings: ChoiceSettings,
    ) -> Any:
        return choose(
            messages,
            AnswerGrammar(call.read),
            settings,
            resolution=self.reward_model.resolution,
            comparable=self.reward_model.comparable,
        )

    def _result(self, choice: Choice, call: CallProposer) -> ChatResult:
        n = len(call.drawn)
        about = info(choice, n=n)
        shown = choice.draws(call.drawn) if self.all_generations else [choice.winner]
        generations = []
        for rank, candidate in enumerate(shown):
            message = candidate.message
            own = about if rank == 0 else standing(candidate, rank, n)
            copy = message.model_copy(
                update={
                    "usage_metadata": call.usage if rank == 0 else None,
                    "response_metadata": {**message.response_metadata, "agentrm": own},
                    "additional_kwargs": _parsed(message, call),
                }
            )
            generations.append(
                ChatGeneration(
                    message=copy,
                    generation_info={
                        k: v
                        for k, v in message.response_metadata.items()
                        if k in {"finish_reason", "logprobs"}
                    },
                )
            )
        return ChatResult(generations=generations, llm_output=call.llm_output)

    # Streaming.

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        # Tokens are announced by BaseChatModel, which calls this without the run.
        del run_manager
        if check_n(kwargs.get("n", self.n)) == 1 and _streams(self.policy):
            kwargs.pop("n", None)
            self._wait()
            yield from self.policy._stream(messages, stop=stop, **kwargs)  # noqa: SLF001
            return
        kwargs.pop("stream_usage", None)
        result = self._generate(messages, stop=stop, **kwargs)
        yield from replay(_first(result))

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        del run_manager
        if check_n(kwargs.get("n", self.n)) == 1 and _streams(self.policy):
            kwargs.pop("n", None)
            await self._await()
            async for chunk in self.policy._astream(messages, stop=stop, **kwargs):  # noqa: SLF001
                yield chunk
            return
        kwargs.pop("stream_usage", None)
        result = await self._agenerate(messages, stop=stop, **kwargs)
        for chunk in replay(_first(result)):
            yield chunk

    def _wait(self) -> None:
        if self.policy.rate_limiter:
            self.policy.rate_limiter.acquire(blocking=True)

    async def _await(self) -> None:
        if self.policy.rate_limiter:
            await self.policy.rate_limiter.aacquire(blocking=True)


def _streams(policy: BaseChatModel) -> bool:
    kind = type(policy)
    return (
        kind._stream is not BaseChatModel._stream  # noqa: SLF001 - as LangChain asks it
        or kind._astream is not BaseChatModel._astream  # noqa: SLF001 - the same
    )


def _first(result: ChatResult) -> AIMessage:
    """The winner, with the record of the requests that `invoke` would put on it."""
    message = cast("AIMessage", result.generations[0].message)
    metadata = {**(result.llm_output or {}), **message.response_metadata}
    return message.model_copy(update={"response_metadata": metadata})


def _parsed(message: AIMessage, call: CallProposer) -> dict[str, Any]:
    """What the policy's own parser looks for; its client fills one choice at most."""
    if call.model is None or message.additional_kwargs.get("parsed") is not None:
        return message.additional_kwargs
    try:
        parsed = call.model.model_validate_json(str(message.text))
    except ValueError:
        return message.additional_kwargs
    return {**message.additional_kwargs, "parsed": parsed}
