"""Merging a LoRA adapter into the body of its base."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from safetensors import safe_open
from torch import nn

from langchain_agentrm.errors import CheckpointError
from langchain_agentrm.reward_models._checkpoint.adapter import ADAPTER_WEIGHTS
from langchain_agentrm.reward_models.layout import Layout

__all__ = ["merged"]


def merged(body: Any, layout: Layout) -> Any:
    """Merge an adapter into a body; its head, if it has one, is read elsewhere.

    Args:
        body: The base's body, as AutoModel loads it.
        layout: What was found, an adapter among it.

    Returns:
        The body with the adapter's changes in its weights.

    Raises:
        CheckpointError: If peft is absent, or adapter and base do not fit.
    """
    try:
        peft: Any = import_module("peft")
    except ImportError as error:
        msg = f"{str(layout.adapter)!r} is a LoRA adapter, and peft is not installed."
        raise CheckpointError(
            msg, remedy="Install langchain-agentrm[train], or merge the adapter."
        ) from error
    config = peft.LoraConfig.from_pretrained(str(layout.adapter))
    # With its task peft wants a head of its own making in the adapter's file.
    config.task_type = None
    config.modules_to_save = None
    # peft warns where this is not the name of the module that it is given.
    config.base_model_name_or_path = None
    # The adapter's names begin with the body's place in the model it was trained in.
    holder = nn.Module()
    setattr(holder, body.base_model_prefix, body)
    weights = _low_rank(layout)
    try:
        adapted = peft.get_peft_model(holder, config)
        outcome = peft.set_peft_model_state_dict(adapted, weights)
    except (KeyError, RuntimeError, ValueError) as error:
        msg = f"The adapter {str(layout.adapter)!r} does not fit {str(layout.body)!r}."
        raise CheckpointError(
            msg, remedy=f"Give its own base with base=. peft says: {error}"
        ) from error
    lacking = [key for key in outcome.missing_keys if ".lora_" in key]
    if outcome.unexpected_keys or lacking:
        names = ", ".join([*outcome.unexpected_keys, *lacking][:4])
        msg = (
            f"The adapter {str(layout.adapter)!r} does not fit {str(layout.body)!r}: "
            f"{names}."
        )
        raise CheckpointError(msg, remedy="Give its own base with base=.")
    return getattr(adapted.merge_and_unload(), body.base_model_prefix)


def _low_rank(layout: Layout) -> dict[str, Any]:
    file = layout.folder / ADAPTER_WEIGHTS
    with safe_open(file, framework="pt") as opened:
        return {
            key: opened.get_tensor(key)
            for key in opened.keys()  # noqa: SIM118 - no mapping
            if ".lora_" in key
        }
