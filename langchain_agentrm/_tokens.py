"""From chat messages to token ids, fast: what was rendered or encoded once is kept."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.trajectory import describe

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["ChatTokens", "Lru", "as_chat"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_SAMPLE = "Go to the  red ball.\nYou see: a wall, 3 ahead; façade 東京"


class Lru(Generic[K, V]):
    """A function's answers, the least recently used forgotten beyond `size`."""

    def __init__(self, function: Callable[[K], V], size: int) -> None:
        """Remember the answers of `function`."""
        self._function = function
        self._size = size
        self._kept: OrderedDict[K, V] = OrderedDict()

    def __call__(self, key: K) -> V:
        """Answer from memory, else ask the function."""
        kept = self._kept
        if key in kept:
            kept.move_to_end(key)
            return kept[key]
        value = kept[key] = self._function(key)
        if len(kept) > self._size:
            kept.popitem(last=False)
        return value


def as_chat(messages: Sequence[BaseMessage]) -> list[dict[str, str]]:
    """Turn LangChain messages into role/content messages for a chat template.

    Tool calls are written as text, the same way a reward model reads them.

    Args:
        messages: The conversation.

    Returns:
        One mapping a message.

    Raises:
        ConfigurationError: If a message has a type that no chat template knows.
    """
    out: list[dict[str, str]] = []
    for message in messages:
        if isinstance(message, AIMessage):
            out.append({"role": "assistant", "content": describe(message)})
        elif isinstance(message, HumanMessage):
            out.append({"role": "user", "content": str(message.text)})
        elif isinstance(message, SystemMessage):
            out.append({"role": "system", "content": str(message.text)})
        elif isinstance(message, ToolMessage):
            out.append({"role": "tool", "content": str(message.text)})
        else:
            msg = f"A {type(message).__name__} cannot be put into a chat template."
            raise ConfigurationError(
                msg, remedy="Send system, human, AI and tool messages only."
            )
    return out


class ChatTokens:
    """Renders chats with a checkpoint's template and encodes them piece by piece.

    A text is split at the tokenizer's special tokens and each piece is encoded once;
    agents repeat most of their text at every step. If pieces and the whole text encode
    differently on a sample, the whole text is encoded instead (`piecewise` is False).
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, *, pieces: int = 65536
    ) -> None:
        """Check the tokenizer and set up the memories.

        Args:
            tokenizer: The checkpoint's tokenizer, with a chat template.
            pieces: How many distinct pieces to remember.
        """
        self.tokenizer = tokenizer
        self._special: dict[str, int] = {
            token.content: index
            for index, token in tokenizer.added_tokens_decoder.items()
            if token.special
        }
        longest_first = sorted(self._special, key=len, reverse=True)
        self._split = re.compile("(" + "|".join(map(re.escape, longest_first)) + ")")
        self._piece: Lru[str, tuple[int, ...]] = Lru(self._plain, pieces)
        self._chat: Lru[tuple[tuple[tuple[str, str], ...], bool], tuple[int, ...]] = (
            Lru(self._render, 8192)
        )
        self._text: Lru[tuple[int, ...], str] = Lru(self._decode, pieces)
        self.piecewise = bool(self._special) and self._verified()

    def chat(
        self, messages: Sequence[Mapping[str, str]], *, generation_prompt: bool
    ) -> tuple[int, ...]:
        """Token ids of a chat.

        Args:
            messages: Role/content messages.
            generation_prompt: Whether the policy is to go on from here.

        Returns:
            The ids; nothing beside what the template writes.

        Raises:
            ConfigurationError: If the checkpoint's template refuses the messages.
        """
        key = tuple((m["role"], m["content"]) for m in messages)
        return self._chat((key, generation_prompt))

    def encode(self, text: str) -> tuple[int, ...]:
        """Token ids of a rendered text."""
        if not self.piecewise:
            return self._plain(text)
        ids: list[int] = []
        for piece in self._split.split(text):
            if piece in self._special:
                ids.append(self._special[piece])
            elif piece:
                ids.extend(self._piece(piece))
        return tuple(ids)

    def text(self, ids: Sequence[int]) -> str:
        """Decode ids, special tokens left out."""
        return self._text(tuple(ids))

    def _plain(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer.encode(text, add_special_tokens=False))

    def _decode(self, ids: tuple[int, ...]) -> str:
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))

    def _render(self, key: tuple[tuple[tuple[str, str], ...], bool]) -> tuple[int, ...]:
        from jinja2 import TemplateError

        messages, generation_prompt = key
        try:
            text = self.tokenizer.apply_chat_template(
                [{"role": role, "content": content} for role, content in messages],
                tokenize=False,
                add_generation_prompt=generation_prompt,
            )
        except TemplateError as error:
            roles = ", ".join(role for role, _ in messages)
            msg = f"The chat template refuses the roles [{roles}]: {error}."
            raise ConfigurationError(
                msg, remedy="Change the messages or the checkpoint's chat template."
            ) from error
        return self.encode(str(text))

    def _verified(self) -> bool:
        # Pieces with and without spaces before and after each special token: prefix
        # spaces and stripping show there.
        texts = [
            edge + "".join(f"{piece}{token}" for token in self._special) + piece
            for edge in ("", " ")
            for piece in (_SAMPLE, f"  {_SAMPLE}  ")
        ]
        self.piecewise = True
        return all(self.encode(t) == self._plain(t) for t in texts)
