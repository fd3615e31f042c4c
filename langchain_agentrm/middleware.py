"""AgentRMMiddleware: `create_agent` samples n answers and keeps the best one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

from langchain.agents.middleware import (
    AgentMiddleware,
    AgentState,
    ModelRequest,
    ModelResponse,
    TracePolicy,
    omit_payload,
)
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.ai import UsageMetadata, add_usage
from langchain_core.runnables.config import ensure_config, var_child_runnable_config
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.constants import TAG_NOSTREAM
from langgraph.errors import GraphBubbleUp

from langchain_agentrm._choose import (
    AnswerGrammar,
    Choice,
    ChoiceSettings,
    InvalidPolicy,
    check_n,
    choose,
    info,
)
from langchain_agentrm.chat_models.agentrm import ChatAgentRM
from langchain_agentrm.engine import Models, drive, drive_async
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.reward_models.base import RewardModel
from langchain_agentrm.sampling._abilities import abilities_of
from langchain_agentrm.sampling._draws import derive
from langchain_agentrm.sampling._limit import in_threads
from langchain_agentrm.sampling._result import candidates, usage_of
from langchain_agentrm.search.rounds import RewardErrorPolicy
from langchain_agentrm.types import Batch, Candidate, ProposalRequest, Usage

__all__ = ["AgentRMMiddleware"]

Strategy = Literal["model", "handler"]
Request = ModelRequest[Any]
Response = ModelResponse[Any]

# Models that one agent switches between; each keeps what was learned of its server.
_REMEMBERED = 8


class AgentRMMiddleware(AgentMiddleware[AgentState[Any], Any, Any]):
    """Sample n answers of the agent's model, keep the one the reward model prefers.

    The choice is made before any tool runs. Parallel tool calls are scored as one
    action, equal actions once, malformed ones lose. What the reward model thought is
    in the message's `response_metadata["agentrm"]` and in the custom stream
    (`agentrm.step` events); the agent's state gets no new key. The token stream shows
    the winner only, and its usage is that of all candidates.

    Strategies:

    - `"model"`: the agent's model is wrapped in `ChatAgentRM`, which asks for all
      candidates in one `n=` request where the server can. Middleware after this one
      runs once, and sees the wrapper as `request.model`. A model that is configured
      when it runs (`init_chat_model` without a name) takes the other way.
    - `"handler"`: all that comes after this middleware runs n times, structured output
      is parsed for each candidate, and one that failed to parse loses. Use it where
      later middleware must see each candidate.

    List it last: with `"handler"` a state update from later middleware would be that of
    whichever candidate ended last. `ModelCallLimitMiddleware` counts steps, not
    candidates.

    Args:
        reward_model: What scores candidates.
        n: Candidates a step; 1 leaves the agent as it is.
        strategy: How candidates are drawn.
        seed: Run seed, from which each request's seed derives; None sends none.
        on_reward_error: Where nothing can be scored: `"policy_order"`, the policy's own
            order, marked; or `"raise"`.
        on_invalid: Where no candidate holds an action: `"return"` the first, marked; or
            `"raise"`.
        max_concurrency: Requests in flight at once, where `n` cannot be used.

    Raises:
        ConfigurationError: If an option has a value that cannot work.

    Example:
        ```python no-run: chat_model, tools and reward_model are yours
        agent = create_agent(
            chat_model, tools, middleware=[AgentRMMiddleware(reward_model, n=8)]
        )
        ```
    """

    trace_policy = TracePolicy(process_inputs=omit_payload)

    def __init__(
        self,
        reward_model: RewardModel,
        *,
        n: int = 5,
        strategy: Strategy = "model",
        seed: int | None = 0,
        on_reward_error: RewardErrorPolicy = "policy_order",
        on_invalid: InvalidPolicy = "return",
        max_concurrency: int = 16,
    ) -> None:
        super().__init__()
        self.tools = []
        given: object = reward_model
        if not isinstance(given, RewardModel):
            msg = f"reward_model={given!r} is no reward model."
            raise ConfigurationError(
                msg,
                remedy="Pass AgentRM(...), or wrap a function in "
                "FunctionRewardModel(fn).",
            )
        for option, value, known in (
            ("strategy", strategy, {"model", "handler"}),
            ("on_reward_error", on_reward_error, {"policy_order", "raise"}),
            ("on_invalid", on_invalid, {"return", "raise"}),
        ):
            if value not in known:
                msg = f"{option}={value!r} is unknown."
                names = " or ".join(map(repr, sorted(known)))
                raise ConfigurationError(msg, remedy=f"Use {names}.")
        if max_concurrency < 1:
            msg = f"max_concurrency={max_concurrency!r} lets no request through."
            raise ConfigurationError(msg, remedy="Use 1 or more.")
        self.reward_model = reward_model
        self.n = check_n(n)
        self.strategy = strategy
        self.seed = seed
        self.on_reward_error: RewardErrorPolicy = on_reward_error
        self.on_invalid: InvalidPolicy = on_invalid
        self.max_concurrency = max_concurrency
        self._wrappers: dict[int, ChatAgentRM] = {}

    def wrap_model_call(
        self, request: Request, handler: Callable[[Request], Response]
    ) -> Response:
        """Choose one answer among n.

        Args:
            request: What the agent asks its model.
            handler: Asks once.

        Returns:
            The response of the chosen candidate.

        Raises:
            Exception: What the model raised, if no candidate came.
        """
        if self._n(request) == 1:
            return handler(request)
        if self._wraps(request):
            return handler(self._wrapped(request))
        draws = _Draws(self, request, handler)
        models = Models(draws, self.reward_model)
        return draws.respond(drive(self._plan(request), models))

    async def awrap_model_call(
        self, request: Request, handler: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        """Async twin of `wrap_model_call`.

        Args:
            request: What the agent asks its model.
            handler: Asks once.

        Returns:
            The response of the chosen candidate.

        Raises:
            Exception: What the model raised, if no candidate came.
        """
        if self._n(request) == 1:
            return await handler(request)
        if self._wraps(request):
            return await handler(self._wrapped(request))
        draws = _Draws(self, request, handler)
        models = Models(draws, self.reward_model)
        return draws.respond(await drive_async(self._plan(request), models))

    def _n(self, request: Request) -> int:
        return check_n(request.model_settings.get("n", self.n))

    def _wraps(self, request: Request) -> bool:
        """Whether the model can be wrapped, as it is to be."""
        model: object = request.model
        if isinstance(model, ChatAgentRM):
            msg = "The agent's model is a ChatAgentRM, which chooses by itself."
            raise ConfigurationError(
                msg, remedy="Give the agent the plain policy, or drop the middleware."
            )
        # A model that is configured when it runs is no chat model before.
        return self.strategy == "model" and isinstance(model, BaseChatModel)

    # One request for all candidates.

    def _wrapped(self, request: Request) -> Request:
        model = request.model
        wrapper = self._wrappers.get(id(model))
        if wrapper is None:
            wrapper = ChatAgentRM(
                policy=model,
                reward_model=self.reward_model,
                n=self.n,
                seed=self.seed,
                on_reward_error=self.on_reward_error,
                on_invalid=self.on_invalid,
                max_concurrency=self.max_concurrency,
            )
            while len(self._wrappers) >= _REMEMBERED:
                self._wrappers.pop(next(iter(self._wrappers)), None)
            # The wrapper holds its policy: the id is not given to another model.
            self._wrappers[id(model)] = wrapper
        return request.override(model=wrapper)

    # n calls of the handler.

    def _plan(self, request: Request) -> Any:
        head = [request.system_message] if request.system_message else []
        settings = ChoiceSettings(
            self._n(request),
            self.seed or 0,
            self.on_reward_error,
            self.on_invalid,
            tuple(
                t if isinstance(t, dict) else convert_to_openai_tool(t)
                for t in request.tools
            ),
        )
        return choose(
            [*head, *request.messages],
            AnswerGrammar(),
            settings,
            resolution=self.reward_model.resolution,
            comparable=self.reward_model.comparable,
        )


class _Draws:
    """A proposer that calls the handler once a candidate."""

    def __init__(
        self,
        owner: AgentRMMiddleware,
        request: Request,
        handler: Callable[[Request], Any],
    ) -> None:
        settings = {k: v for k, v in request.model_settings.items() if k != "n"}
        self._request = request.override(
            model=_fresh(request.model), model_settings=settings
        )
        self._handler = handler
        self._limit = owner.max_concurrency
        self._seeded = owner.seed is not None and _takes_seed(request.model, settings)
        self._responses: list[Response] = []

    def propose(self, requests: Sequence[ProposalRequest]) -> Batch[list[Candidate]]:
        """Call the handler n times, in threads."""
        (asked,) = requests

        def one(index: int) -> Response | Exception:
            _hush()
            try:
                response: Response = self._handler(self._draw(asked, index))
            except GraphBubbleUp:
                raise
            except Exception as error:  # noqa: BLE001 - the other candidates go on
                return error
            return response

        return self._batch(asked, in_threads(one, range(asked.n), self._limit))

    async def apropose(
        self, requests: Sequence[ProposalRequest]
    ) -> Batch[list[Candidate]]:
        """Call the handler n times, on the running loop."""
        (asked,) = requests
        slots = asyncio.Semaphore(self._limit)

        async def one(index: int) -> Response | Exception:
            _hush()
            try:
                async with slots:
                    response: Response = await self._handler(self._draw(asked, index))
            except GraphBubbleUp:
                raise
            except Exception as error:  # noqa: BLE001 - the other candidates go on
                return error
            return response

        outcomes = await asyncio.gather(*map(one, range(asked.n)))
        return self._batch(asked, outcomes)

    def _draw(self, asked: ProposalRequest, index: int) -> Request:
        if not self._seeded:
            return self._request
        settings = {
            **self._request.model_settings,
            "seed": derive(asked.seed, index),
        }
        return self._request.override(model_settings=settings)

    def _batch(
        self, asked: ProposalRequest, outcomes: Sequence[Response | Exception]
    ) -> Batch[list[Candidate]]:
        errors = [o for o in outcomes if isinstance(o, Exception)]
        self._responses = [o for o in outcomes if not isinstance(o, Exception)]
        if not self._responses:
            raise errors[0]
        drawn = []
        usage = Usage(len(errors))
        for response in self._responses:
            (candidate,) = candidates(asked, [_answer(response)])
            usage += usage_of(candidate.message, 1)
            if len(response.result) > 1 and response.structured_response is None:
                candidate = replace(candidate, error=_parse_error(response.result))
            drawn.append(candidate)
        return Batch([drawn], usage)

    def respond(self, choice: Choice) -> Response:
        """The winner's response, with the scores and the usage of all."""
        winner = choice.winner.message
        usage: UsageMetadata | None = None
        for response in self._responses:
            usage = add_usage(usage, _answer(response).usage_metadata)
        about = info(choice, n=len(self._responses))
        message = winner.model_copy(
            update={
                "usage_metadata": usage,
                "response_metadata": {**winner.response_metadata, "agentrm": about},
            }
        )
        chosen = next(r for r in self._responses if _answer(r) is winner)
        result: list[BaseMessage] = [
            message if m is winner else m for m in chosen.result
        ]
        return ModelResponse(
            result=result, structured_response=chosen.structured_response
        )


def _answer(response: Response) -> AIMessage:
    return next(m for m in response.result if isinstance(m, AIMessage))


def _parse_error(result: Sequence[BaseMessage]) -> str:
    return f"structured output was not accepted: {result[-1].text}"


def _fresh(model: Any) -> Any:
    """A copy that asks its server each time, and whole: nobody reads its tokens."""
    if not isinstance(model, BaseChatModel):
        return model
    return model.model_copy(update={"cache": False, "disable_streaming": True})


def _hush() -> None:
    """Keep the models of one candidate's thread or task out of the token stream."""
    config = ensure_config()
    tags = [*(config.get("tags") or []), TAG_NOSTREAM]
    var_child_runnable_config.set({**config, "tags": tags})


def _takes_seed(model: object, settings: dict[str, Any]) -> bool:
    return isinstance(model, BaseChatModel) and (
        abilities_of(model, settings, seeds=True).seeds
    )
