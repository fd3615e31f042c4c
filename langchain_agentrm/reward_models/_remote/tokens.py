"""The tokenizer of a model that runs elsewhere; no torch, no weights."""

from __future__ import annotations

import json
from pathlib import Path

from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerBase

from langchain_agentrm._tokens import ChatTokens
from langchain_agentrm.errors import CheckpointError
from langchain_agentrm.reward_models._texts import refuse_other_serializer

__all__ = ["is_regression", "load_tokens"]

_MANIFEST = "agentrm.json"


def load_tokens(source: str | Path) -> ChatTokens:
    """Load a reward model's tokenizer.

    Args:
        source: The model's folder, or its name on the hub.

    Returns:
        The rendering of conversations to ids.

    Raises:
        CheckpointError: If there is no tokenizer or chat template, or the folder's
            `agentrm.json` says that the model reads another rendering.
    """
    folder = Path(source)
    if (file := folder / _MANIFEST).is_file():
        manifest = json.loads(file.read_text(encoding="utf-8"))
        refuse_other_serializer(file, manifest.get("serializer"))
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            str(source), trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        msg = f"tokenizer={str(source)!r} does not load: {error}"
        raise CheckpointError(
            msg, remedy="Give the folder or hub name of the served model."
        ) from error
    if not tokenizer.chat_template:
        msg = f"The tokenizer {str(source)!r} has no chat template."
        raise CheckpointError(
            msg, remedy="Give the tokenizer that the model was trained with."
        )
    return ChatTokens(tokenizer)


def is_regression(source: str | Path) -> bool | None:
    """Tell whether a model's config says that its scores have no activation.

    Args:
        source: The model's folder, or its name on the hub.

    Returns:
        Whether `problem_type` is `regression`; None where there is no config.
    """
    try:
        config = AutoConfig.from_pretrained(str(source), trust_remote_code=False)
    except (OSError, ValueError, KeyError):
        return None
    return bool(getattr(config, "problem_type", None) == "regression")
