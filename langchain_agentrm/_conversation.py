"""How a task opens a policy's conversation: search, evaluation and training alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

__all__ = ["opening_messages"]


def opening_messages(
    instruction: str,
    goal: str,
    observation: str,
    examples: Sequence[Mapping[str, str]] = (),
    *,
    root: str | None = None,
) -> list[BaseMessage]:
    """Write what a policy reads before its first action.

    Args:
        instruction: Role and rules; none where empty.
        goal: The task's goal.
        observation: The first observation.
        examples: Turns of a worked example, `{role, content}`; they go to the policy
            alone.
        root: Makes the messages' ids; without one they have none.

    Returns:
        System message, examples, and the task as the user's message.
    """

    def ident(name: str) -> str | None:
        return None if root is None else f"{root}-{name}"

    head: list[BaseMessage] = []
    if instruction:
        head.append(SystemMessage(instruction, id=ident("system")))
    for i, turn in enumerate(examples):
        said = AIMessage if turn["role"] == "assistant" else HumanMessage
        head.append(said(turn["content"], id=ident(f"example-{i}")))
    text = "\n".join(part for part in (goal, observation) if part)
    return [*head, HumanMessage(text, id=ident("task"))]
