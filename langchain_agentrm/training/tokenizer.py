"""A small tokenizer trained on an environment's texts, and the chat format."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from langchain_agentrm.errors import CheckpointError
from langchain_agentrm.trajectory import Trajectory, Turn, render

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CHAT_TEMPLATE", "SPECIAL", "EncodedPath", "PathEncoder", "train_tokenizer"]

SPECIAL = ("<pad>", "<|user|>", "<|assistant|>", "<|end|>")
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] in ['user', 'tool'] %}"
    "{{ '<|user|>' + message['content'] + '<|end|>' }}"
    "{% elif message['role'] == 'assistant' %}"
    "{{ '<|assistant|>' + message['content'] + '<|end|>' }}"
    "{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
# A position phrase is one piece and a digit keeps its space: a trajectory is a third
# shorter so, and a small model learns twice as fast.
_PIECES = (
    r"\n| ahead [0-9]+(?: (?:left|right) [0-9]+)?| ?[0-9]+| ?[A-Za-z']+"
    r"| ?[^\sA-Za-z0-9']+|\s+"
)


def train_tokenizer(
    texts: Iterable[str], vocab_size: int, *, max_length: int = 1024
) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer.

    Args:
        texts: What to learn from.
        vocab_size: Most tokens it may have, bytes and special tokens among them.
        max_length: The model's context.

    Returns:
        A tokenizer with our special tokens and chat template.
    """
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token=SPECIAL[0],
        eos_token=SPECIAL[3],
        additional_special_tokens=list(SPECIAL[1:3]),
        model_max_length=max_length,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


@dataclass(frozen=True, slots=True)
class EncodedPath:
    """A path in tokens.

    Attributes:
        ids: The tokens.
        spans: For each action, its first token and its end token; a value is read at
            the end token.
    """

    ids: list[int]
    spans: list[tuple[int, int]]


class PathEncoder:
    """Turns paths into tokens, piece by piece, so that repeated texts cost nothing.

    What it makes equals the chat template over `trajectory.render`; this is checked
    when it is made.
    """

    def __init__(self, tokenizer: Any) -> None:
        """Take a tokenizer with our special tokens.

        Args:
            tokenizer: A `transformers` tokenizer.

        Raises:
            CheckpointError: If it lacks a special token, or its template differs.
        """
        known = tokenizer.get_vocab()
        missing = [token for token in SPECIAL if token not in known]
        if missing:
            msg = f"The tokenizer lacks the special tokens {missing}."
            raise CheckpointError(msg, remedy="Train the policy with stage `bc`.")
        _, self._user, self._assistant, self._end = (known[t] for t in SPECIAL)
        self._encode: Callable[[str], list[int]] = lambda text: list(
            tokenizer.encode(text, add_special_tokens=False)
        )
        self._pieces: dict[str, list[int]] = {}
        sample = [("go to red ball 1", "see: red ball 1 ahead 1"), ("done", "the end")]
        turns = (
            Turn("see: red ball 1 ahead 2 left 1", "go to red ball 1"),
            Turn("see: red ball 1 ahead 1", "done"),
        )
        messages = render(Trajectory(turns, goal="goal: go to the red ball."))
        text = tokenizer.apply_chat_template(messages, tokenize=False)
        ours = self.path("goal: go to the red ball.", turns[0].observation, sample)
        if self._encode(text) != ours.ids:
            msg = "The tokenizer's chat template differs from the one we train with."
            raise CheckpointError(msg, remedy="Train the policy with stage `bc`.")

    def path(
        self, goal: str, observation: str, steps: Sequence[tuple[str, str]]
    ) -> EncodedPath:
        """Encode a path up to its last action.

        Args:
            goal: The task's goal.
            observation: What the task showed first.
            steps: Each action, and the observation after it; the last one is not read.

        Returns:
            Its tokens and where its actions are.
        """
        ids: list[int] = []
        spans: list[tuple[int, int]] = []
        seen = "\n".join(part for part in (goal, observation) if part)
        for action, after in steps:
            ids += (self._user, *self._piece(seen), self._end, self._assistant)
            first = len(ids)
            ids += (*self._piece(action), self._end)
            spans.append((first, len(ids) - 1))
            seen = after
        return EncodedPath(ids, spans)

    def _piece(self, text: str) -> list[int]:
        found = self._pieces.get(text)
        if found is None:
            found = self._pieces[text] = self._encode(text)
        return found
