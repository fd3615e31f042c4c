"""Step tokens: where a process reward model is read.

The token is put after every action, and its places follow from the rendering: the same
text inside an observation is not taken for a step's end.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING

from langchain_agentrm._tokens import ChatTokens
from langchain_agentrm.errors import CheckpointError, ConfigurationError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from langchain_agentrm.reward_models.layout import Layout

__all__ = ["StepTokens", "mark_steps", "step_positions", "tokens_for"]

_KEPT = 16384


def mark_steps(
    messages: Sequence[Mapping[str, str]], step: str
) -> list[dict[str, str]]:
    """Put the step token after every assistant message.

    Args:
        messages: Role/content messages.
        step: The text that ends a step.

    Returns:
        New messages.
    """
    return [
        {"role": m["role"], "content": m["content"] + step}
        if m["role"] == "assistant"
        else {"role": m["role"], "content": m["content"]}
        for m in messages
    ]


def step_positions(ids: Sequence[int], step: Sequence[int]) -> list[int]:
    """Find the step tokens in a text, by their ids alone, as servers do.

    Args:
        ids: The text.
        step: The step token's ids.

    Returns:
        The place of the last id of every occurrence, in order.
    """
    wanted, width = list(step), len(step)
    if not width:
        return []
    return [
        end - 1
        for end in range(width, len(ids) + 1)
        if list(ids[end - width : end]) == wanted
    ]


class StepTokens(ChatTokens):
    """Renders and encodes chats with the step token after every action.

    The step token is encoded by itself, as in training, and never grows together with
    the text around it.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, step: str) -> None:
        """Check the step token.

        Args:
            tokenizer: The checkpoint's tokenizer, with a chat template.
            step: The text that ends a step.

        Raises:
            CheckpointError: If the tokenizer makes nothing of it.
        """
        self._places: OrderedDict[tuple[int, ...], tuple[int, ...]] = OrderedDict()
        self._mark = _mark_for("")
        self.step_ids = tuple(tokenizer.encode(step, add_special_tokens=False))
        if not self.step_ids:
            msg = f"The tokenizer makes no token of the step token {step!r}."
            raise CheckpointError(msg, remedy="Give another: step_token=TEXT.")
        super().__init__(tokenizer)

    def chat(
        self, messages: Sequence[Mapping[str, str]], *, generation_prompt: bool
    ) -> tuple[int, ...]:
        """Token ids of a chat, with a step token after every assistant message."""
        ids = super().chat(messages, generation_prompt=generation_prompt)
        if ids in self._places:
            self._places.move_to_end(ids)
            return ids
        # The rendering outlived its places; without them a step's text in an
        # observation would be taken for a step.
        key = tuple((m["role"], m["content"]) for m in messages)
        return self._render((key, generation_prompt))

    def positions(self, ids: Sequence[int]) -> tuple[int, ...]:
        """Where the values of a text that was encoded here are read.

        Args:
            ids: What `chat` returned.

        Returns:
            The places of the ends of its steps, in order.
        """
        known = self._places.get(tuple(ids))
        return tuple(step_positions(ids, self.step_ids)) if known is None else known

    def encode(self, text: str) -> tuple[int, ...]:
        """Token ids of a rendered text, its marks as step tokens."""
        first, *rest = text.split(self._mark)
        ids = list(super().encode(first))
        places = []
        for piece in rest:
            ids.extend(self.step_ids)
            places.append(len(ids) - 1)
            ids.extend(super().encode(piece))
        out = tuple(ids)
        if places:
            self._places[out] = tuple(places)
            self._places.move_to_end(out)
        if len(self._places) > _KEPT:
            self._places.popitem(last=False)
        return out

    def _render(self, key: tuple[tuple[tuple[str, str], ...], bool]) -> tuple[int, ...]:
        messages, generation_prompt = key
        self._mark = _mark_for("".join(content for _, content in messages))
        marked = mark_steps(
            [{"role": role, "content": content} for role, content in messages],
            self._mark,
        )
        ids = super()._render(
            (tuple((m["role"], m["content"]) for m in marked), generation_prompt)
        )
        steps = sum(role == "assistant" for role, _ in messages)
        shown = len(self._places.get(ids, ()))
        if shown != steps:
            msg = f"The chat template shows the ends of {shown} of {steps} actions."
            raise ConfigurationError(
                msg, remedy="Use a chat template that keeps every assistant message."
            )
        return ids


def tokens_for(tokenizer: PreTrainedTokenizerBase, layout: Layout) -> ChatTokens:
    """Make the tokens of a reward model, with step tokens where it reads steps.

    Args:
        tokenizer: The loaded tokenizer.
        layout: What was found.

    Returns:
        `StepTokens` for a model of steps, plain `ChatTokens` else.
    """
    if layout.step_token is None:
        return ChatTokens(tokenizer)
    return StepTokens(tokenizer, layout.step_token)


def _mark_for(text: str) -> str:
    # Characters for private use, which templates leave alone.
    numbers = (f"\ue000{n}\ue001" for n in count())
    return next(mark for mark in numbers if mark not in text)
