"""What tokenizers and templates must do for an implicit reward, tried at load."""

from __future__ import annotations

from dataclasses import replace

from langchain_agentrm._tokens import ChatTokens
from langchain_agentrm.errors import CheckpointError, ConfigurationError
from langchain_agentrm.trajectory import Trajectory, Turn, render

__all__ = ["check_same_tokens", "check_template", "probe"]

_PROBE = Trajectory(
    turns=(
        Turn("You see a wall.", "go forward"),
        Turn("A red ball, 2 ahead.\nAlso: façade 東京", 'pick_up({"what": "ball"})'),
        Turn("You hold it.", "stop"),
    ),
    goal="fetch the ball",
    instruction="You are in a grid.",
)


def probe(tokens: ChatTokens) -> Trajectory:
    """Give a conversation that shows what a template does with earlier turns.

    Args:
        tokens: A tokenizer and its template.

    Returns:
        The conversation; without a system message where the template refuses it.
    """
    try:
        tokens.chat(render(_PROBE), generation_prompt=False)
    except ConfigurationError:
        return replace(_PROBE, instruction="")
    return _PROBE


def check_template(name: str, tokens: ChatTokens) -> None:
    """Refuse a template that writes earlier turns anew in a longer chat.

    Args:
        name: The model, for messages.
        tokens: Its tokenizer and template.

    Raises:
        CheckpointError: If a step's tokens could not be told from a longer text.
    """
    messages = render(probe(tokens))
    whole = tokens.chat(messages, generation_prompt=False)
    for i, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        opener = tokens.chat(messages[:i], generation_prompt=True)
        turn = tokens.chat(messages[: i + 1], generation_prompt=False)
        if whole[: len(opener)] == opener and whole[: len(turn)] == turn:
            continue
        msg = (
            f"The chat template of {name!r} writes message {i + 1} of "
            f"{len(messages)} anew in a longer chat, so that the tokens of a step "
            "change with what comes after it."
        )
        raise CheckpointError(
            msg, remedy="Save a template that writes earlier turns as they were."
        )


def check_same_tokens(
    names: tuple[str, str], tokens: tuple[ChatTokens, ChatTokens]
) -> None:
    """Check that both models read the same ids.

    Args:
        names: Policy and reference, for messages.
        tokens: Theirs.

    Raises:
        CheckpointError: If a probe conversation gives different ids, naming the first
            difference.
    """
    messages = render(probe(tokens[0]))
    one, other = (each.chat(messages, generation_prompt=False) for each in tokens)
    if one == other:
        return
    at = next(
        (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
        min(len(one), len(other)),
    )
    msg = (
        f"{names[0]!r} and {names[1]!r} read a conversation differently: "
        f"token {at + 1} is {_named(tokens[0], one, at)} for the policy and "
        f"{_named(tokens[1], other, at)} for the reference."
    )
    raise CheckpointError(
        msg, remedy="Both need one tokenizer and one chat template: copy them over."
    )


def _named(tokens: ChatTokens, ids: tuple[int, ...], at: int) -> str:
    if at >= len(ids):
        return "nothing"
    return f"{ids[at]} {tokens.tokenizer.convert_ids_to_tokens(ids[at])!r}"
