"""What is checked when a server is first asked: model, length, template, raw scores.

Each of these faults gives scores that look right: another chat template, a sigmoid that
makes every good candidate 1.0, a second BOS. So they are looked for before the first
score is believed.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from langchain_agentrm._tokens import ChatTokens
from langchain_agentrm.errors import CheckpointError, ConfigurationError
from langchain_agentrm.reward_models._remote.http import (
    Call,
    Conversation,
    Reply,
    ServerFailureError,
)
from langchain_agentrm.reward_models._remote.pooling import (
    Answer,
    Ids,
    answer_of,
    pooling_body,
)
from langchain_agentrm.reward_models._remote.replicas import Replica
from langchain_agentrm.trajectory import Trajectory, Turn, render

__all__ = [
    "Probes",
    "Served",
    "find_model",
    "probes_of",
    "raw_switch",
    "same_template",
]

_NOT_FOUND = 404
_UNAUTHORIZED = (401, 403)
# Answers this close are one answer, bfloat16 and a warm cache considered.
_CLOSE = 0.1

_CONVERSATION = Trajectory(
    turns=(
        Turn("You see a wall.", "go forward"),
        Turn("A red ball, 2 ahead.\nAlso: façade 東京", 'pick_up({"what": "ball"})'),
    ),
    goal="fetch the ball",
    instruction="You are in a grid.",
)
_PROBES = (
    "go",
    "open the blue door",
    'search({"query": "red ball"})',
    "I cannot do that. I give up. stop stop stop",
)


@dataclass(frozen=True, slots=True)
class Served:
    """What a server says of the model it serves."""

    model: str
    max_length: int | None


@dataclass(frozen=True, slots=True)
class Probes:
    """What a server is checked with, as the tokenizer on this side renders it.

    Attributes:
        messages: A conversation.
        ids: Its token ids.
        texts: Short texts to score.
        regression: Whether the checkpoint's config says `problem_type: regression`,
            which means that the model has no activation; None where unknown.
        name_of: Names a token.
    """

    messages: list[dict[str, str]]
    ids: Ids
    texts: tuple[Ids, ...]
    regression: bool | None
    name_of: Callable[[int], str]


def probes_of(tokens: ChatTokens, regression: bool | None) -> Probes:
    """Render what servers are checked with.

    Args:
        tokens: The rendering on this side.
        regression: What the checkpoint's config says, None where there is none.

    Returns:
        The probes.
    """
    messages, ids = _conversation(tokens)
    texts = tuple(
        tokens.chat(
            render(Trajectory(turns=(Turn("a red ball", action),))),
            generation_prompt=False,
        )
        for action in _PROBES
    )

    def name_of(token: int) -> str:
        return repr(tokens.tokenizer.convert_ids_to_tokens(token))

    return Probes(messages, ids, texts, regression, name_of)


def find_model(replica: Replica, wanted: str | None) -> Conversation[Served]:
    """Ask which model a server has, and how long its texts may be.

    Args:
        replica: The server.
        wanted: The model's name; the only one served where None.

    Returns:
        Its name and its limit in tokens, None where the server does not say.

    Raises:
        ConfigurationError: If the model is not served, or none is named and there are
            several.
        ServerFailureError: If the server gives no usable answer.
    """
    reply: Reply = yield Call(f"{replica.url}/v1/models", replica.shown)
    if reply.status == _NOT_FOUND and wanted:
        return Served(wanted, None)
    body = reply.json()
    rows = body.get("data") if isinstance(body, dict) else None
    cards = {
        str(row["id"]): row
        for row in rows or ()
        if isinstance(row, dict) and row.get("id")
    }
    names = ", ".join(map(repr, sorted(cards))) or "nothing"
    # An adapter is a model of its own in the list; it names the base it belongs to.
    bases = [name for name, card in cards.items() if not card.get("parent")]
    name = wanted or (bases[0] if len(bases) == 1 else None)
    if name is None or name not in cards:
        what = f"no model {wanted!r}" if wanted else "no single model"
        msg = f"{replica.shown} serves {what}, but {names}."
        raise ConfigurationError(msg, remedy="Name one of them as model=.")
    parent = cards.get(str(cards[name].get("parent")), {})
    limit = cards[name].get("max_model_len") or parent.get("max_model_len")
    return Served(name, limit if isinstance(limit, int) else None)


def same_template(replica: Replica, model: str, probes: Probes) -> Conversation[None]:
    """Compare a conversation's ids, rendered here and by the server.

    Args:
        replica: The server.
        model: The served model's name.
        probes: What is rendered on this side.

    Raises:
        CheckpointError: If they differ, naming the first difference.
    """
    ours = probes.ids
    reply: Reply = yield Call(
        f"{replica.url}/tokenize",
        replica.shown,
        {"model": model, "messages": probes.messages, "add_generation_prompt": False},
    )
    # Not a failed server, but one that cannot say: another make, or one without a
    # template of its own, which scores ids all the same.
    if 400 <= reply.status < 500 or reply.status == 501:  # noqa: PLR2004
        warnings.warn(
            f"{replica.shown} does not tokenize conversations ({reply.status}: "
            f"{reply.reason()}): nothing says that its model was served with the chat "
            "template that tokenizer= has.",
            stacklevel=2,
        )
        return
    body = reply.json()
    theirs = body.get("tokens") if isinstance(body, dict) else None
    if not isinstance(theirs, list):
        msg = f"{replica.shown} gave no `tokens` at /tokenize."
        raise ServerFailureError(
            msg, remedy="Check that vLLM serves there.", retryable=False
        )
    if tuple(theirs) != ours:
        raise CheckpointError(
            _first_difference(replica, probes, theirs),
            remedy="Give tokenizer= the folder that the server's model came from, or "
            "start the server with that chat template.",
        )


def raw_switch(
    replica: Replica, model: str, probes: Probes, limit: int
) -> Conversation[str]:
    """Find the option that gives raw scores, and see that it does.

    A few texts are scored with the activation off and on. Scores in [0, 1] alone prove
    nothing: a model trained on returns gives such values. Only where the option changes
    nothing, neither by its present nor by its older name, could a sigmoid be hidden.

    Args:
        replica: The server.
        model: The served model's name.
        probes: What to score.
        limit: Longest text; longer probes are left out.

    Returns:
        The option's name: `use_activation`, or `activation` before vLLM 0.11.2.

    Raises:
        CheckpointError: If the scores are not finite, or surely squashed.
        ServerFailureError: If the server gives no usable answer.
    """
    texts = [ids for ids in probes.texts if len(ids) <= limit]
    if not texts:
        return "use_activation"
    raw = yield from _ask(replica, model, texts, "use_activation", on=False)
    if not all(map(math.isfinite, raw.values)):
        msg = f"{replica.shown} answers plain probe texts with {list(raw.values)}."
        raise CheckpointError(
            msg, remedy="Check that the served model has a trained head."
        )
    _check_count(replica, texts, raw)
    if not all(0 <= v <= 1 for v in raw.values):
        return "use_activation"
    squashed = yield from _ask(replica, model, texts, "use_activation", on=True)
    if not _ignored(raw.values, squashed.values):
        return "use_activation"
    older = yield from _ask(replica, model, texts, "activation", on=False)
    if _apart(older.values, raw.values) > _CLOSE:
        return "activation"
    if probes.regression:
        return "use_activation"
    what = (
        f"{replica.shown} scores its probe texts {[round(v, 4) for v in raw.values]} "
        "with the activation off and on alike; they may be squashed by a sigmoid, "
        "which hides the order of good candidates."
    )
    remedy = (
        "Serve the model with raw scores, or write `problem_type: regression` into its "
        "config if it has no activation, or pass verify=False."
    )
    if probes.regression is None:
        warnings.warn(f"{what} {remedy}", stacklevel=2)
        return "use_activation"
    raise CheckpointError(what, remedy=remedy)


def _ask(
    replica: Replica, model: str, texts: Sequence[Ids], switch: str, *, on: bool
) -> Conversation[Answer]:
    body = pooling_body(model, texts, switch, activation=on)
    reply: Reply = yield Call(f"{replica.url}/pooling", replica.shown, body)
    return answer_of(reply, len(texts))


def _check_count(replica: Replica, texts: Sequence[Ids], answer: Answer) -> None:
    sent = sum(map(len, texts))
    if answer.input_tokens is None or answer.input_tokens == sent:
        return
    msg = f"{replica.shown} read {answer.input_tokens} tokens where {sent} were sent."
    raise CheckpointError(
        msg, remedy="It must take token ids as they are, adding and cutting nothing."
    )


def _ignored(raw: Sequence[float], squashed: Sequence[float]) -> bool:
    if _apart(raw, squashed) > _CLOSE:
        return False
    same = sum((a - b) ** 2 for a, b in zip(raw, squashed, strict=True))
    sigmoid = sum(
        (1 / (1 + math.exp(-a)) - b) ** 2 for a, b in zip(raw, squashed, strict=True)
    )
    return same <= sigmoid


def _apart(one: Sequence[float], other: Sequence[float]) -> float:
    gaps = [abs(a - b) for a, b in zip(one, other, strict=True)]
    return math.inf if any(map(math.isnan, gaps)) else max(gaps)


def _conversation(tokens: ChatTokens) -> tuple[list[dict[str, str]], Ids]:
    messages = render(_CONVERSATION)
    try:
        return messages, tokens.chat(messages, generation_prompt=False)
    except ConfigurationError:
        # Some templates know no system role; such a model is never sent one.
        messages = [m for m in messages if m["role"] != "system"]
        return messages, tokens.chat(messages, generation_prompt=False)


def _first_difference(replica: Replica, probes: Probes, theirs: Sequence[int]) -> str:
    ours = probes.ids
    place = next(
        (i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b),
        min(len(ours), len(theirs)),
    )

    def at(ids: Sequence[int]) -> str:
        if place >= len(ids):
            return "the end"
        return f"{ids[place]} ({probes.name_of(ids[place])})"

    return (
        f"{replica.shown} renders a conversation to {len(theirs)} tokens, tokenizer= "
        f"to {len(ours)}; token {place} is {at(theirs)} there and {at(ours)} here."
    )
