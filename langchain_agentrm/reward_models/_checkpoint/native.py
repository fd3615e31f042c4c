"""What transformers itself knows of a checkpoint's config; no model code is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from langchain_agentrm.errors import CheckpointError

__all__ = [
    "Attention",
    "attention_of",
    "classifier_of",
    "context_of",
    "native_config",
    "width_of",
]

Attention = Literal["full", "sliding", "recurrent", "bidirectional"]
"""What a position sees: all before it, a window, a state, or the whole text."""

_WINDOWS = {"sliding_attention", "chunked_attention"}
_RECURRENT = ("state_size", "ssm_cfg", "layers_block_type", "attn_layer_period")
# Their positions are counted from the padding token's id on.
_SHIFTED = {
    "camembert",
    "data2vec-text",
    "ibert",
    "longformer",
    "luke",
    "mpnet",
    "roberta",
    "roberta-prelayernorm",
    "xlm-roberta",
    "xlm-roberta-xl",
    "xmod",
}


def native_config(config: Mapping[str, Any], file: Path) -> Any:
    """Make transformers' own config object, never a class from the checkpoint.

    Args:
        config: The content of config.json.
        file: That file, for messages.

    Returns:
        The config, with the defaults of its model type.

    Raises:
        CheckpointError: If transformers does not know the model type, or refuses.
    """
    from transformers import CONFIG_MAPPING, __version__

    kind = str(config.get("model_type"))
    if kind not in CONFIG_MAPPING:
        msg = f"{file} says model_type {kind!r}, which transformers {__version__} does "
        msg += "not know."
        code = config.get("auto_map")
        if code:
            msg += (
                " The checkpoint brings code of its own (auto_map), which is not run."
            )
        raise CheckpointError(
            msg,
            remedy="Use a newer transformers that knows it, or score through a server "
            "that runs the model.",
        )
    kept = {k: v for k, v in config.items() if k != "auto_map"}
    try:
        return CONFIG_MAPPING[kind].from_dict(kept)
    # The checks of config classes raise errors of many types.
    except Exception as error:
        msg = f"transformers refuses {file}: {error}"
        raise CheckpointError(msg, remedy="Copy or download it again.") from error


def attention_of(config: Any) -> Attention:
    """Tell what a position of a model sees.

    Args:
        config: The native config.

    Returns:
        The narrowest kind among its layers.
    """
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_MASKED_LM_MAPPING_NAMES as MASKED,
    )

    inner = config.get_text_config(decoder=True)
    if (
        config.model_type in MASKED
        or getattr(config, "is_encoder_decoder", False)
        or getattr(inner, "use_bidirectional_attention", None) in {True, "all"}
        or getattr(inner, "is_causal", True) is False
    ):
        return "bidirectional"
    layers = set(getattr(inner, "layer_types", None) or ())
    if layers - _WINDOWS - {"full_attention"}:
        return "recurrent"
    if not layers and any(hasattr(inner, name) for name in _RECURRENT):
        return "recurrent"
    if layers & _WINDOWS:
        return "sliding"
    window = getattr(inner, "sliding_window", None)
    if not layers and window and getattr(inner, "use_sliding_window", True):
        return "sliding"
    return "full"


def context_of(config: Any) -> int | None:
    """Longest text in tokens, where the config bounds it."""
    inner = config.get_text_config(decoder=True)
    limit = getattr(inner, "max_position_embeddings", None)
    if not isinstance(limit, int) or limit < 1:
        return None
    if config.model_type in _SHIFTED:
        return limit - int(getattr(inner, "pad_token_id", 0) or 0) - 1
    return limit


def width_of(config: Any, file: Path) -> int:
    """Width of a body's hidden states.

    Args:
        config: The native config.
        file: config.json, for messages.

    Returns:
        The number of features.

    Raises:
        CheckpointError: If the config is of no text model.
    """
    width = getattr(config.get_text_config(decoder=True), "hidden_size", None)
    if not isinstance(width, int):
        msg = f"{file} describes a {config.model_type}, which has no hidden_size."
        raise CheckpointError(msg, remedy="Use a text model.")
    return width


def classifier_of(model_type: str) -> str | None:
    """Name transformers' sequence-classification class of a model type."""
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES as NAMES,
    )

    name = NAMES.get(model_type)
    return name if isinstance(name, str) else None
