"""Loading the policy and the reference of an implicit reward."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from langchain_agentrm._checkpoint import checked_folder, load_tokenizer
from langchain_agentrm._tokens import ChatTokens
from langchain_agentrm.errors import CheckpointError, ConfigurationError
from langchain_agentrm.reward_models._checkpoint.adapter import (
    ADAPTER_WEIGHTS,
    base_folder,
    is_adapter,
)
from langchain_agentrm.reward_models._checkpoint.sources import (
    find_folder,
    has_tokenizer,
    read_object,
)
from langchain_agentrm.reward_models._implicit.probe import (
    check_same_tokens,
    check_template,
)
from langchain_agentrm.reward_models._texts import refuse_other_serializer

__all__ = ["Causal", "load_pair"]

Scope = Callable[[], AbstractContextManager[Any]]


@dataclass(frozen=True, slots=True)
class Causal:
    """A causal language model, ready to run.

    Attributes:
        name: Folder or id, for messages.
        model: The model with its language-model head.
        tokens: Its tokenizer and template.
        scope: What to run it in; the adapter is off inside where that is the reference.
    """

    name: str
    model: Any
    tokens: ChatTokens
    scope: Scope

    @property
    def context(self) -> int:
        """Longest text in tokens."""
        config = self.model.config.get_text_config(decoder=True)
        return int(getattr(config, "max_position_embeddings", 0) or 1 << 30)


def load_pair(
    policy: str | Path,
    reference: str | Path | None,
    device: torch.device,
    dtype: torch.dtype,
) -> tuple[Causal, Causal]:
    """Load policy and reference.

    Args:
        policy: Folder or hub id of a causal model or of a LoRA adapter.
        reference: The same of the reference; None for the policy's adapter off.
        device: Where to put them.
        dtype: Their floating-point type.

    Returns:
        Both; they share their weights where there is no reference.

    Raises:
        CheckpointError: If a part is missing, they read different tokens, the
            template writes earlier turns anew, or the policy was trained on another
            rendering.
        ConfigurationError: If policy and reference are the same.
    """
    folder = find_folder(policy, what="policy")
    _check_serializer(folder)
    if reference is None:
        if not is_adapter(folder):
            msg = f"The policy {str(policy)!r} is a whole model, without a reference."
            raise ConfigurationError(
                msg, remedy="Give reference=, the model that its training began with."
            )
        adapted, model = _adapted(folder, device, dtype)
        tokens = ChatTokens(load_tokenizer(_tokenizer_folder(folder)))
        check_template(str(policy), tokens)
        on = Causal(str(policy), model, tokens, nullcontext)
        return on, Causal(str(policy), model, tokens, adapted.disable_adapter)
    other = find_folder(reference, what="reference")
    if other.resolve() == folder.resolve():
        msg = f"Policy and reference are the same folder {str(policy)!r}."
        raise ConfigurationError(
            msg, remedy="Every reward would be 0: give two models."
        )
    names = (str(policy), str(reference))
    tokens, others = (
        ChatTokens(load_tokenizer(_tokenizer_folder(f))) for f in (folder, other)
    )
    check_same_tokens(names, (tokens, others))
    check_template(names[0], tokens)
    return (
        Causal(names[0], _model(folder, device, dtype), tokens, nullcontext),
        Causal(names[1], _model(other, device, dtype), others, nullcontext),
    )


def _check_serializer(folder: Path) -> None:
    file = folder / "agentrm.json"
    version = read_object(file).get("serializer") if file.is_file() else None
    if version is not None:
        refuse_other_serializer(file, version)


def _tokenizer_folder(folder: Path) -> Path:
    if is_adapter(folder) and not has_tokenizer(folder):
        return base_folder(folder, None)
    return folder


def _model(folder: Path, device: torch.device, dtype: torch.dtype) -> Any:
    if is_adapter(folder):
        return _adapted(folder, device, dtype)[1]
    return _whole(folder, device, dtype)


def _whole(folder: Path, device: torch.device, dtype: torch.dtype) -> Any:
    checked_folder(folder)
    # Typed as the model alone, whatever is asked for beside it.
    loaded: Any
    try:
        loaded = AutoModelForCausalLM.from_pretrained(
            folder,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
            dtype=dtype,
        )
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        msg = f"The checkpoint {str(folder)!r} does not load as a language model."
        raise CheckpointError(msg, remedy=f"The loader says: {error}") from error
    model, info = loaded
    missing = sorted(info["missing_keys"])
    if missing:
        msg = f"{str(folder)!r} lacks the weights {', '.join(missing[:4])}."
        raise CheckpointError(
            msg,
            remedy="An implicit reward needs whole causal language models; a reward "
            "model with a head is read by AgentRM.",
        )
    return model.to(device).eval()


def _adapted(folder: Path, device: torch.device, dtype: torch.dtype) -> tuple[Any, Any]:
    """Load an adapter on its base: peft's model, and the causal model inside it."""
    if not (folder / ADAPTER_WEIGHTS).is_file():
        msg = f"The adapter {str(folder)!r} has no {ADAPTER_WEIGHTS}."
        raise CheckpointError(
            msg, remedy="Pickles are not read: save the adapter as safetensors."
        )
    try:
        peft = importlib.import_module("peft")
    except ImportError as error:
        msg = f"{str(folder)!r} is a LoRA adapter, and peft is not installed."
        raise CheckpointError(
            msg, remedy="Install langchain-agentrm[train]."
        ) from error
    base = base_folder(folder, None)
    model = _whole(base, device, dtype)
    try:
        with warnings.catch_warnings():
            # What peft calls and transformers will rename is no news to a user.
            warnings.simplefilter("ignore", FutureWarning)
            adapted = peft.PeftModel.from_pretrained(
                model, str(folder), is_trainable=False
            )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        msg = f"The adapter {str(folder)!r} does not fit its base {str(base)!r}."
        raise CheckpointError(msg, remedy=f"peft says: {error}") from error
    adapted.to(device).eval()
    return adapted, adapted.get_base_model()
