"""Loading a reward model that `read_layout` found: native classes, nothing invented."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModel, AutoModelForSequenceClassification
from transformers.utils import logging as library_log

from langchain_agentrm._checkpoint import load_tokenizer, placement, turn_ends
from langchain_agentrm.errors import CheckpointError
from langchain_agentrm.reward_models._checkpoint.detect import is_head_key
from langchain_agentrm.reward_models._checkpoint.heads import Head
from langchain_agentrm.reward_models._checkpoint.lora import merged
from langchain_agentrm.reward_models._checkpoint.native import native_config
from langchain_agentrm.reward_models._texts import refuse_other_serializer
from langchain_agentrm.reward_models.layout import Kind, Layout
from langchain_agentrm.trajectory import SERIALIZER

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = [
    "Loaded",
    "check_padding",
    "check_serializer",
    "load_reward_model",
]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A reward model in memory, ready to score.

    Attributes:
        body: The backbone, whose `last_hidden_state` the head reads; of an encoder the
            whole model.
        head: Makes values of hidden states; of an encoder, of its logits.
        tokenizer: The tokenizer, with a chat template.
        config: The native config.
        layout: What was found.
        device: Where the model lives.
        dtype: The body's dtype; the head is float32.
        attn: The attention implementation in use.
        whole: Of an encoder: token ids [B, L] and attention mask [B, L] to logits
            [B, n]. None for all others.
    """

    body: Any
    head: Head
    tokenizer: PreTrainedTokenizerBase
    config: Any
    layout: Layout
    device: torch.device
    dtype: torch.dtype
    attn: str
    whole: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None = None


def load_reward_model(
    layout: Layout,
    *,
    device: str | None = None,
    dtype: str | None = None,
    attn: str = "sdpa",
) -> Loaded:
    """Load a reward model from safetensors with transformers' own classes.

    Args:
        layout: What `read_layout` found.
        device: Torch device; the GPU where there is one.
        dtype: Torch dtype of the body; float32 on a CPU, bfloat16 else.
        attn: Attention implementation, by transformers' name. Models that have no
            `sdpa` get `eager` in its place; `Loaded.attn` says which it is.

    Returns:
        The model in evaluation mode.

    Raises:
        CheckpointError: If a weight is missing or the model does not load.
    """
    place, kind = placement(device, dtype)
    tokenizer = load_tokenizer(layout.tokenizer)
    config = native_config(layout.config, layout.body / "config.json")
    encoder = layout.kind is Kind.ENCODER
    if encoder:
        config.num_labels = layout.outputs
    auto = AutoModelForSequenceClassification if encoder else AutoModel
    model = _load(auto, layout, config, kind, attn)
    if layout.adapter:
        model = merged(model, layout)
    model.to(place).eval()
    return Loaded(
        body=model,
        head=Head.of(layout).to(place),
        tokenizer=tokenizer,
        config=config,
        layout=layout,
        device=place,
        dtype=kind,
        attn=str(model.config._attn_implementation),  # noqa: SLF001 - its only name
        whole=_whole(model) if encoder else None,
    )


def check_serializer(layout: Layout) -> None:
    """Check that a model was trained on trajectories as they are rendered here.

    Warns where nothing says so.

    Args:
        layout: What was found.

    Raises:
        CheckpointError: If it was trained on another rendering.
    """
    file = layout.folder / "agentrm.json"
    if layout.serializer is None:
        lack = "does not name a serializer" if layout.manifest else "is missing"
        warnings.warn(
            f"{file} {lack}: nothing says that this reward model was trained on "
            f"trajectories rendered as {SERIALIZER!r}.",
            stacklevel=3,
        )
    else:
        refuse_other_serializer(file, layout.serializer)


def check_padding(
    layout: Layout, tokenizer: PreTrainedTokenizerBase, config: Any
) -> None:
    """Check that the padding token cannot be taken for the end of a text.

    Args:
        layout: What was found.
        tokenizer: The loaded tokenizer.
        config: The native config.

    Raises:
        CheckpointError: If there is no padding token, or it can end a turn.
    """
    where = str(layout.folder)
    pad = tokenizer.pad_token_id
    remedy = "Give the tokenizer a padding token of its own and save it again."
    if pad is None:
        msg = f"The tokenizer of {where!r} has no padding token."
        raise CheckpointError(msg, remedy=remedy)
    rendered = tokenizer.apply_chat_template(
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
        tokenize=False,
    )
    closing = tokenizer.encode(str(rendered), add_special_tokens=False)[-2:]
    if pad in turn_ends(tokenizer, config) | set(closing):
        msg = (
            f"In {where!r} the padding token {tokenizer.pad_token!r} can also "
            "end a turn, so that a value would be read one token early."
        )
        raise CheckpointError(msg, remedy=remedy)


def _load(auto: Any, layout: Layout, config: Any, dtype: torch.dtype, attn: str) -> Any:
    where = str(layout.body)
    options = {
        "config": config,
        "use_safetensors": True,
        "trust_remote_code": False,
        "local_files_only": True,
        "output_loading_info": True,
        "dtype": dtype,
    }
    try:
        with _quiet():
            try:
                model, info = auto.from_pretrained(
                    layout.body, attn_implementation=attn, **options
                )
            except ValueError:
                # Gemma 2 and DeBERTa, for example, know eager attention only.
                if attn != "sdpa":
                    raise
                model, info = auto.from_pretrained(
                    layout.body, attn_implementation="eager", **options
                )
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        msg = f"The weights in {where!r} do not load as a {layout.model_type} model."
        raise CheckpointError(msg, remedy=f"The loader says: {error}") from error
    missing = sorted(info["missing_keys"])
    if missing:
        named = ", ".join(missing[:4]) + (", …" if missing[4:] else "")
        files = ", ".join(sorted(shard.name for shard in layout.shards)[:3])
        msg = f"{files} in {where!r} lacks {len(missing)} weights of the body: {named}."
        raise CheckpointError(msg, remedy="Copy or download the checkpoint again.")
    unused = sorted(
        key
        for key in info["unexpected_keys"]
        if not is_head_key(key, layout.config) and not _harmless(key)
    )
    if unused:
        named = ", ".join(unused[:4]) + (", …" if unused[4:] else "")
        msg = f"{len(unused)} weights in {where!r} fit nowhere in the model: {named}."
        raise CheckpointError(
            msg, remedy="config.json and the weights are not of one model."
        )
    return model


def _harmless(key: str) -> bool:
    # Old releases of transformers stored these tables, which follow from the config.
    return key.endswith(("rotary_emb.inv_freq", "position_ids", "attn.masked_bias"))


def _whole(model: Any) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    def logits(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = model(input_ids=ids, attention_mask=mask).logits
        return out.float()

    return logits


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers' report of heads it has no use for off the terminal."""
    level, bar = library_log.get_verbosity(), library_log.is_progress_bar_enabled()
    library_log.set_verbosity_error()
    library_log.disable_progress_bar()
    try:
        yield
    finally:
        library_log.set_verbosity(level)
        if bar:
            library_log.enable_progress_bar()
