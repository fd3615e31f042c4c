"""The model of a value regression: a decoder's body, and a head read anywhere."""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from langchain_agentrm._checkpoint import turn_ends
from langchain_agentrm._tokens import ChatTokens
from langchain_agentrm.errors import CheckpointError, ConfigurationError
from langchain_agentrm.reward_models._implicit.probe import probe
from langchain_agentrm.training._finetune import four_bits
from langchain_agentrm.training._trainer import stack
from langchain_agentrm.trajectory import render

__all__ = [
    "Positions",
    "adapt",
    "check_reading",
    "choose_padding",
    "new_value_model",
    "quantized",
]

_PADS = ("<|finetune_right_pad_id|>", "<|reserved_special_token_0|>", "<pad>", "[PAD]")


def choose_padding(tokenizer: PreTrainedTokenizerBase, config: Any, where: str) -> None:
    """Give the tokenizer a padding token that cannot end a turn.

    Args:
        tokenizer: The tokenizer, changed in place.
        config: The model's config, changed in place.
        where: The checkpoint, for messages.

    Raises:
        CheckpointError: If its vocabulary has no such token.
    """
    known = tokenizer.get_vocab()
    ends = turn_ends(tokenizer, config)
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    ends |= set(ChatTokens(tokenizer).chat(messages, generation_prompt=False)[-2:])
    wanted = [tokenizer.pad_token, *_PADS]
    name = next((t for t in wanted if t in known and known[t] not in ends), None)
    if name is None:
        msg = (
            f"{where!r} has no padding token of its own: its {tokenizer.pad_token!r} "
            "can end a turn, and a value would be read one token early."
        )
        raise CheckpointError(
            msg,
            remedy="Set tokenizer.pad_token to an unused token of the vocabulary and "
            "save the tokenizer into the folder.",
        )
    tokenizer.pad_token = name
    tokenizer.padding_side = "right"
    config.pad_token_id = tokenizer.pad_token_id


def new_value_model(
    folder: Path, *, dtype: torch.dtype, outputs: int = 1, quantization: Any = None
) -> Any:
    """Load a checkpoint's body with a new head: no bias, all zeros.

    Args:
        folder: A causal or sequence-classification checkpoint.
        outputs: Outputs of the head; several are a distribution over values.
        dtype: Floating-point type of the weights.
        quantization: How to quantise the body; None not to.

    Returns:
        The model.

    Raises:
        CheckpointError: If the body lacks weights, or the head cannot be read at every
            position.
    """
    level = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    extra = {} if quantization is None else {"quantization_config": quantization}
    try:
        # The head is meant to be new; transformers would print a report about it.
        model, report = AutoModelForSequenceClassification.from_pretrained(
            folder,
            num_labels=outputs,
            problem_type="regression",
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
            # A head of another width is as new as a head where there was none.
            ignore_mismatched_sizes=True,
            **extra,
        )
    except (OSError, ValueError, RuntimeError) as error:
        msg = f"{str(folder)!r} does not load as the body of a value model."
        raise CheckpointError(msg, remedy=f"The loader says: {error}") from error
    finally:
        transformers_logging.set_verbosity(level)
    lacking = sorted(set(report["missing_keys"]) - {"score.weight"})
    head = getattr(model, "score", None)
    bias = getattr(head, "bias", None)
    if lacking or not isinstance(head, torch.nn.Linear) or bias is not None:
        what = f"it lacks {lacking[:4]}" if lacking else "its head is not one matrix"
        msg = f"The body in {str(folder)!r} does not fit a value head: {what}."
        raise CheckpointError(msg, remedy="Start from a decoder's whole checkpoint.")
    # From zero, so that the first steps fit the values and not a random scale.
    torch.nn.init.zeros_(head.weight)
    return model


def quantized() -> Any:
    """Tell the loader to keep the body in 4 bits.

    Returns:
        The quantisation: nf4, with bfloat16 arithmetic; the head stays as it is.

    Raises:
        ConfigurationError: If there is no GPU or no bitsandbytes.
    """
    gpu = torch.cuda.is_available()
    if not gpu or importlib.util.find_spec("bitsandbytes") is None:
        lack = "bitsandbytes is not installed" if gpu else "there is no CUDA GPU"
        msg = f"mode='qlora' keeps the base in 4 bits, and {lack}."
        remedy = "Run pip install bitsandbytes." if gpu else "Use mode='lora'."
        raise ConfigurationError(msg, remedy=remedy)
    return four_bits(torch.bfloat16, skip=["score", "lm_head"])


def adapt(model: Any, task: str, *, rank: int, alpha: int, quantised: bool) -> Any:
    """Put a LoRA adapter on all linear layers of a body; a head is trained whole.

    Args:
        model: The model.
        task: peft's task type: `"SEQ_CLS"` or `"CAUSAL_LM"`.
        rank: Rank of the adapter.
        alpha: Its alpha.
        quantised: Whether the body is in 4 bits.

    Returns:
        peft's model.

    Raises:
        ConfigurationError: If peft is not installed.
    """
    try:
        peft: Any = importlib.import_module("peft")
    except ImportError as error:
        msg = "Training an adapter needs peft, which is not installed."
        raise ConfigurationError(
            msg, remedy="Run pip install 'langchain-agentrm[train]'."
        ) from error
    config = peft.LoraConfig(
        task_type=task,
        r=rank,
        lora_alpha=alpha,
        lora_dropout=0.0,
        target_modules="all-linear",
    )
    with warnings.catch_warnings():
        # What peft calls and transformers will rename is no news to a user.
        warnings.simplefilter("ignore", FutureWarning)
        if quantised:
            model = peft.prepare_model_for_kbit_training(
                model, gradient_checkpointing_kwargs={"use_reentrant": False}
            )
        return peft.get_peft_model(model, config)


class Positions:
    """Outputs of the head at any positions, read within the model's own forward.

    So the wrappers of distributed training see a plain forward pass, and one pass
    serves all states of a path. The head is applied in float32, as it is for scoring:
    siblings often lie closer than bfloat16 can tell apart.
    """

    def __init__(self, model: Any) -> None:
        inner = model.get_base_model() if hasattr(model, "peft_config") else model
        self._at: tuple[Tensor, Tensor] | None = None
        self._seen: list[Tensor] | None = None
        self.handle = inner.score.register_forward_hook(self._keep)

    def _keep(self, head: Any, given: tuple[Tensor, ...], _out: Any) -> None:
        if self._seen is None:
            return
        hidden = given[0] if self._at is None else given[0][self._at]
        with torch.autocast(hidden.device.type, enabled=False):
            self._seen.append(functional.linear(hidden.float(), head.weight.float()))

    def read(
        self,
        model: Any,
        inputs: Mapping[str, Any],
        at: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Run the model.

        Args:
            model: The model, wrapped or not.
            inputs: Its ids and mask.
            at: Rows and columns to read [R]; None for all.

        Returns:
            The outputs there [R, K], or everywhere [B, T, K], and what the model's own
            class reads [B, K].
        """
        self._seen, self._at = [], at
        try:
            out = model(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                use_cache=False,
            )
            return self._seen[-1], out.logits.float()
        finally:
            self._seen = None


def check_reading(model: Any, tokenizer: PreTrainedTokenizerBase, where: str) -> None:
    """Check that a value read inside a longer text is the one that servers read.

    Args:
        model: The model.
        tokenizer: Its tokenizer, with the padding chosen.
        where: The checkpoint, for messages.

    Raises:
        CheckpointError: If it is not: the model looks ahead, or reads elsewhere.
    """
    tokens = ChatTokens(tokenizer)
    messages = render(probe(tokens))
    long = tokens.chat(messages, generation_prompt=False)
    short = tokens.chat(messages[:-2], generation_prompt=False)
    batch = stack([long, short], tokenizer)
    inner = model.get_base_model() if hasattr(model, "peft_config") else model
    device = inner.score.weight.device
    kept = inner.score.weight.detach().clone()
    positions, training = Positions(model), model.training
    generator = torch.Generator().manual_seed(0)
    try:
        model.eval()
        with torch.inference_mode():
            noise = torch.randn(kept.shape, generator=generator)
            inner.score.weight.copy_(noise / kept.shape[1] ** 0.5)
            found, pooled = positions.read(
                model, {name: tensor.to(device) for name, tensor in batch.items()}
            )
    finally:
        positions.handle.remove()
        with torch.no_grad():
            inner.score.weight.copy_(kept)
        model.train(training)
    at = [len(long) - 1, len(short) - 1]
    pairs = [(found[0, at[0]], pooled[0]), (found[1, at[1]], pooled[1])]
    if long[: len(short)] == short:
        pairs.append((found[0, at[1]], pooled[1]))
    bound = 1e-3 if kept.dtype == torch.float32 else 0.1
    off = max(float((a - b).abs().max()) for a, b in pairs)
    if not off <= bound:
        msg = f"{where!r} reads a value elsewhere than at the last token: off by {off}."
        raise CheckpointError(
            msg, remedy="Start from a decoder that attends to the left only."
        )
