"""What a reward model reads, rendered one way for training and for scoring."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.runnables import RunnableBinding, RunnableSequence

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.types import TaskRef

__all__ = [
    "SERIALIZER",
    "Trajectory",
    "Turn",
    "calls_of",
    "conversation_prefix",
    "describe",
    "drop_oldest",
    "offered_tools",
    "render",
]

SERIALIZER = "agentrm-v1"
"""Version of the rendering; stored with a reward model and checked at load."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What the agent saw, and what it then did."""

    observation: str
    action: str


@dataclass(frozen=True, slots=True)
class Trajectory:
    """A path that ends with a candidate's action, never with its observation.

    Attributes:
        turns: Observation and action by turn; the last action is the candidate.
        goal: The task's goal, without the policy's prompt and examples.
        instruction: Role and rules, the reward model's own.
        task: The task, where there is one.
        search_id: The search that asks.
        group: Candidates with one group compete with each other.
        tools: Tools offered, as JSON schemas.
        admissible: Admissible actions in the last state. A search fills it where its
            environment lists them and the reward model asks for it
            (`reward_models.reads_admissible`); else it is empty.
        calls: Tool calls of the candidate, `{name, args}`; empty where it is text. One
            whose arguments could not be read has them as text, and an `error`.
    """

    turns: tuple[Turn, ...]
    goal: str = ""
    instruction: str = ""
    task: TaskRef | None = None
    search_id: str = ""
    group: str = ""
    tools: tuple[Mapping[str, Any], ...] = ()
    admissible: tuple[str, ...] = ()
    calls: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def from_messages(
        cls, messages: Sequence[BaseMessage], candidate: AIMessage, **fields: Any
    ) -> Self:
        """Make a trajectory from a plain message list and a candidate answer.

        The goal is the last human message before the search, that is before the run of
        AI and tool messages at the end.

        Args:
            messages: The conversation that the policy answered.
            candidate: The answer to be scored.
            **fields: Further fields of the trajectory.

        Returns:
            The trajectory, ending with the candidate's action.

        Raises:
            ConfigurationError: If there is no human message.
        """
        prefix, seen = conversation_prefix(messages)
        turns = (*prefix.turns, Turn(seen, describe(candidate)))
        fields = {
            "instruction": prefix.instruction,
            "goal": prefix.goal,
            "calls": calls_of(candidate),
            **fields,
        }
        return cls(turns=turns, **fields)


def conversation_prefix(messages: Sequence[BaseMessage]) -> tuple[Trajectory, str]:
    """Read a conversation as a trajectory whose next action is still open.

    Args:
        messages: The conversation so far, with at least one human message.

    Returns:
        The trajectory without that action, and what the action answers.

    Raises:
        ConfigurationError: If there is no human message.
    """
    last = max(
        (i for i, m in enumerate(messages) if isinstance(m, HumanMessage)), default=-1
    )
    if last < 0:
        msg = f"No human message among the {len(messages)} messages of the state."
        raise ConfigurationError(
            msg, remedy="A search needs the user's request in `messages`."
        )
    turns: list[Turn] = []
    seen: list[str] = []
    for message in messages[last + 1 :]:
        if isinstance(message, AIMessage):
            turns.append(Turn("\n".join(seen), describe(message)))
            seen = []
        else:
            seen.append(str(message.text))
    prefix = Trajectory(
        turns=tuple(turns),
        goal=str(messages[last].text),
        instruction="\n".join(
            str(m.text) for m in messages if isinstance(m, SystemMessage)
        ),
    )
    return prefix, "\n".join(seen)


def describe(message: AIMessage) -> str:
    """Write an AI message as text, tool calls included."""
    calls = [
        f"{c['name']}({json.dumps(c['args'], sort_keys=True, ensure_ascii=False)})"
        for c in message.tool_calls
    ]
    return "\n".join([t for t in [str(message.text).strip()] if t] + calls)


def calls_of(message: AIMessage) -> tuple[dict[str, Any], ...]:
    """Read an AI message's tool calls, those that the policy wrote wrongly included.

    Args:
        message: The policy's answer.

    Returns:
        `{name, args}` each; what could not be read holds its arguments as text, and an
        `error`.
    """
    calls: list[dict[str, Any]] = [
        {"name": c["name"], "args": c["args"]} for c in message.tool_calls
    ]
    calls += [
        {
            "name": c.get("name") or "",
            "args": c.get("args") or "",
            "error": c.get("error") or "the arguments could not be read",
        }
        for c in message.invalid_tool_calls
    ]
    return tuple(calls)


def offered_tools(policy: object) -> tuple[Mapping[str, Any], ...]:
    """Read the tools bound to a policy, in its provider's form.

    Args:
        policy: A chat model with tools bound, alone or at the end of a sequence.

    Returns:
        The tools; empty where none are found.
    """
    while isinstance(policy, RunnableSequence | RunnableBinding):
        if isinstance(policy, RunnableSequence):
            policy = policy.last
            continue
        tools = policy.kwargs.get("tools")
        if tools:
            return tuple(t for t in tools if isinstance(t, Mapping))
        policy = policy.bound
    return ()


def drop_oldest(lengths: Sequence[int], limit: int) -> int:
    """Tell how many turns after the first to drop so that the rest fits.

    A pure function of the turns before the candidate, so that siblings share their
    prefix. Turns go in blocks, down to half the limit, so that the prefix stays the
    same for many steps.

    Args:
        lengths: Tokens of every turn before the candidate; the first (instruction,
            goal, first observation) is never dropped.
        limit: Tokens allowed for them all.

    Returns:
        Number of turns to drop, counted from the second one.
    """
    dropped = 0
    total = 0
    window: list[int] = []
    for i, n in enumerate(lengths):
        total += n
        if i:
            window.append(n)
        if total > limit:
            while window and total > limit // 2:
                total -= window.pop(0)
                dropped += 1
    return dropped


def render(trajectory: Trajectory, *, keep_from: int = 0) -> list[dict[str, str]]:
    """Render a trajectory as role/content messages, `agentrm-v1`.

    System: the instruction. First user turn: goal, then first observation. Then actions
    and observations in turn, ending with the candidate's action.

    Args:
        trajectory: What to render.
        keep_from: How many turns after the first one to leave out.

    Returns:
        Chat messages for a tokenizer's chat template.
    """
    out: list[dict[str, str]] = []
    if trajectory.instruction:
        out.append({"role": "system", "content": trajectory.instruction})
    for i, turn in enumerate(trajectory.turns):
        last = i == len(trajectory.turns) - 1
        if 0 < i <= keep_from and not last:
            continue
        parts = [trajectory.goal, turn.observation] if i == 0 else [turn.observation]
        out.append({"role": "user", "content": "\n".join(p for p in parts if p)})
        out.append({"role": "assistant", "content": turn.action})
    return out
