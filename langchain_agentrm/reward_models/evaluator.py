"""A reward model as an evaluator, in the keyword form of LangSmith and openevals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    convert_to_messages,
)
from typing_extensions import TypedDict

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.reward_models.base import RewardModel, checked
from langchain_agentrm.trajectory import Trajectory
from langchain_agentrm.types import Batch, Score

__all__ = [
    "AsyncEvaluator",
    "EvaluatorResult",
    "SyncEvaluator",
    "as_async_evaluator",
    "as_evaluator",
]


class EvaluatorResult(TypedDict):
    """What an evaluator says of one answer.

    Attributes:
        key: Name of the feedback.
        score: The reward; None where the reward model has none.
        comment: Why there is no score.
        metadata: Signals, scope of the score, and tokens spent.
    """

    key: str
    score: float | None
    comment: str | None
    metadata: dict[str, Any]


class SyncEvaluator(Protocol):
    """The keyword form of an evaluator."""

    def __call__(
        self,
        *,
        outputs: Any,
        inputs: Any = None,
        reference_outputs: Any = None,
        **kwargs: Any,
    ) -> EvaluatorResult:
        """Score one answer."""
        ...


class AsyncEvaluator(Protocol):
    """The same form, to be awaited."""

    async def __call__(
        self,
        *,
        outputs: Any,
        inputs: Any = None,
        reference_outputs: Any = None,
        **kwargs: Any,
    ) -> EvaluatorResult:
        """Score one answer."""
        ...


def as_evaluator(
    reward_model: RewardModel,
    *,
    feedback_key: str = "agentrm",
    instruction: str = "",
    input_key: str | None = None,
    output_key: str | None = None,
) -> SyncEvaluator:
    """Make an evaluator that scores an agent's run up to its last AI message.

    `outputs` and `inputs` may be a text, a message, a list of messages (LangChain's or
    dicts), or a mapping with `messages`. `outputs` may repeat `inputs`, as an agent's
    state does, or go on from them. Reference answers are not read.

    Args:
        reward_model: What scores.
        feedback_key: Name of the feedback.
        instruction: Role and rules that the reward model was trained with; the
            conversation's system message where empty.
        input_key: Key of `inputs` that holds the conversation, if it is not `messages`.
        output_key: The same for `outputs`.

    Returns:
        `evaluator(*, inputs, outputs, reference_outputs=None, **kwargs)`; it raises
        `RewardModelError` where the reward model does, and `ConfigurationError` where
        it cannot tell what was asked or answered.

    Raises:
        ConfigurationError: If the scores mean nothing outside a group of candidates.

    Example:
        ```python no-run: reward_model and client are yours
        evaluator = as_evaluator(reward_model)
        client.evaluate(agent, data="my-dataset", evaluators=[evaluator])
        ```
    """
    _check(reward_model)

    def evaluator(
        *,
        outputs: Any,
        inputs: Any = None,
        reference_outputs: Any = None,
        **kwargs: Any,
    ) -> EvaluatorResult:
        del reference_outputs, kwargs
        path = _trajectory(inputs, outputs, instruction, input_key, output_key)
        batch = checked([path], reward_model.score([path]))
        return _told(reward_model, feedback_key, batch)

    return evaluator


def as_async_evaluator(
    reward_model: RewardModel,
    *,
    feedback_key: str = "agentrm",
    instruction: str = "",
    input_key: str | None = None,
    output_key: str | None = None,
) -> AsyncEvaluator:
    """Async twin of `as_evaluator`.

    Args:
        reward_model: What scores.
        feedback_key: Name of the feedback.
        instruction: Role and rules that the reward model was trained with.
        input_key: Key of `inputs` that holds the conversation.
        output_key: The same for `outputs`.

    Returns:
        The evaluator, to be awaited.

    Raises:
        ConfigurationError: If the scores mean nothing outside a group of candidates.
    """
    _check(reward_model)

    async def evaluator(
        *,
        outputs: Any,
        inputs: Any = None,
        reference_outputs: Any = None,
        **kwargs: Any,
    ) -> EvaluatorResult:
        del reference_outputs, kwargs
        path = _trajectory(inputs, outputs, instruction, input_key, output_key)
        batch = checked([path], await reward_model.ascore([path]))
        return _told(reward_model, feedback_key, batch)

    return evaluator


def _check(reward_model: RewardModel) -> None:
    if reward_model.comparable == "group":
        msg = (
            f"The scores of {type(reward_model).__name__} compare the candidates of "
            "one group; an evaluator sees one answer alone."
        )
        raise ConfigurationError(
            msg,
            remedy="Use a reward model with values of its own, such as AgentRM or a "
            "judge with form='pointwise'.",
        )


def _trajectory(
    inputs: Any,
    outputs: Any,
    instruction: str,
    input_key: str | None,
    output_key: str | None,
) -> Trajectory:
    asked = _messages("inputs", inputs, input_key, answer=False)
    made = _messages("outputs", outputs, output_key, answer=True)
    last = max((i for i, m in enumerate(made) if isinstance(m, AIMessage)), default=-1)
    if last < 0:
        msg = f"There is no AI message among the {len(made)} messages of outputs."
        raise ConfigurationError(
            msg, remedy="Give the agent's messages, or its answer as a text."
        )
    repeated = len(asked) <= last and all(
        a.type == b.type and a.content == b.content
        for a, b in zip(asked, made, strict=False)
    )
    before = made[:last] if repeated else [*asked, *made[:last]]
    if not any(isinstance(m, HumanMessage) for m in before):
        msg = "Neither inputs nor outputs hold the user's request."
        raise ConfigurationError(
            msg, remedy="Give it as inputs: a text, or messages with a human one."
        )
    candidate = made[last]
    if not isinstance(candidate, AIMessage):
        raise TypeError(type(candidate).__name__)
    fields = {"instruction": instruction} if instruction else {}
    return Trajectory.from_messages(before, candidate, **fields)


def _messages(
    name: str, given: Any, key: str | None, *, answer: bool
) -> list[BaseMessage]:
    """Read one side of an example in any form that its maker may have used."""
    if given is None or given == {}:
        return []
    if isinstance(given, Mapping) and "role" not in given:
        given = _inside(name, given, key)
    if isinstance(given, str):
        return [AIMessage(given)] if answer else [HumanMessage(given)]
    if isinstance(given, BaseMessage | Mapping):
        given = [given]
    if isinstance(given, Sequence):
        try:
            return convert_to_messages(list(given))
        except (ValueError, NotImplementedError, KeyError) as error:
            msg = f"The {name} are no messages: {error}."
            raise ConfigurationError(msg, remedy=_REMEDY) from error
    msg = f"The {name} are a {type(given).__name__}."
    raise ConfigurationError(msg, remedy=_REMEDY)


_REMEDY = "Use a text, a list of messages, or a mapping with `messages`."


def _inside(name: str, given: Mapping[str, Any], key: str | None) -> Any:
    wanted = key or "messages"
    if wanted in given:
        return given[wanted]
    if key is None and len(given) == 1:
        return next(iter(given.values()))
    msg = f"The {name} have the keys {sorted(map(str, given))}, not {wanted!r}."
    raise ConfigurationError(
        msg, remedy=f"Name the one to read with {name.removesuffix('s')}_key=."
    )


def _told(
    reward_model: RewardModel, feedback_key: str, batch: Batch[Score]
) -> EvaluatorResult:
    score = batch.items[0]
    return EvaluatorResult(
        key=feedback_key,
        score=score.value,
        comment=score.error,
        metadata={
            "signals": dict(score.signals),
            "comparable": reward_model.comparable,
            "input_tokens": batch.usage.input_tokens,
            "output_tokens": batch.usage.output_tokens,
        },
    )
