"""Loading, adapting and saving of a pretrained causal language model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from langchain_agentrm._files import folder_digest
from langchain_agentrm.errors import CheckpointError, ConfigurationError

__all__ = [
    "Base",
    "Mode",
    "adapter",
    "four_bits",
    "load_tokenizer",
    "merged",
    "resolve_dtype",
]

Mode = Literal["full", "lora", "qlora"]

_UNUSED = ("<|finetune_right_pad_id|>", "<|reserved_special_token_0|>", "<pad>")


@dataclass(frozen=True, slots=True)
class Base:
    """The model that training starts from.

    Attributes:
        name: A folder, or a name on the Hugging Face hub.
        revision: Commit, tag or branch on the hub.
    """

    name: str
    revision: str | None = None

    @property
    def digest(self) -> str:
        """What tells this model: the folder's hash, or name and revision on the hub."""
        folder = Path(self.name)
        if folder.is_dir():
            return folder_digest(folder)
        return f"{self.name}@{self.revision or 'main'}"

    def load(self, dtype: torch.dtype, quantized: bool = False) -> Any:
        """Load the weights from safetensors; none of the model's own code runs.

        Args:
            dtype: What the weights are held in.
            quantized: Four bits a weight (nf4), computed with in `dtype`.

        Raises:
            ConfigurationError: If bitsandbytes is wanted and absent.
            CheckpointError: If weights are missing from the checkpoint.
        """
        options: dict[str, Any] = {}
        if quantized:
            if find_spec("bitsandbytes") is None:
                msg = "mode='qlora' needs bitsandbytes, which is not installed."
                raise ConfigurationError(msg, remedy="Run: pip install bitsandbytes")
            options["quantization_config"] = four_bits(dtype)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            self.name,
            revision=self.revision or "main",
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            **options,
        )
        model, report = loaded
        if report["missing_keys"]:
            lacking = sorted(report["missing_keys"])[:5]
            msg = f"The checkpoint {self.name} lacks {lacking}."
            raise CheckpointError(msg, remedy="Take a whole causal language model.")
        return model


def load_tokenizer(base: Base, pad_token: str | None) -> Any:
    """Load the tokenizer and see to a padding token of its own.

    A reward model reads its value at the last token that is no padding. If padding were
    the end-of-turn token, the policy's folder could never become a reward model.

    Args:
        base: The model.
        pad_token: The token to pad with; None: the tokenizer's, else an unused one.

    Raises:
        ConfigurationError: If no token can be used.
    """
    tokenizer = AutoTokenizer.from_pretrained(
        base.name, revision=base.revision or "main", trust_remote_code=False
    )
    vocab = tokenizer.get_vocab()
    if pad_token is None and tokenizer.pad_token not in (None, tokenizer.eos_token):
        return tokenizer
    tries = _UNUSED if pad_token is None else (pad_token,)
    fit = [t for t in tries if t in vocab and t != tokenizer.eos_token]
    if not fit:
        msg = f"None of {', '.join(tries)} can pad: absent, or the end of a turn."
        raise ConfigurationError(
            msg, remedy="Set pad_token to a token of the vocabulary that is not used."
        )
    tokenizer.pad_token = fit[0]
    return tokenizer


def adapter(rank: int, alpha: int, dropout: float) -> Any:
    """LoRA on all linear layers but the output head."""
    from peft import LoraConfig

    return LoraConfig(
        task_type="CAUSAL_LM",
        r=rank,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules="all-linear",
    )


def merged(base: Base, folder: Path, dtype: torch.dtype) -> Any:
    """The base model with an adapter added to its weights.

    The base is loaded anew in `dtype`: an adapter that was trained on four-bit weights
    is added to the weights that they were made of, which servers can load.
    """
    from peft import PeftModel

    return PeftModel.from_pretrained(base.load(dtype), folder).merge_and_unload()


def resolve_dtype(precision: Literal["auto", "bf16", "float32"]) -> torch.dtype:
    """What the machine computes in.

    Raises:
        ConfigurationError: If bf16 is asked for where there is no GPU that has it.
    """
    able = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    if precision == "bf16" and not able:
        msg = "precision='bf16', but there is no GPU that computes in bf16."
        raise ConfigurationError(msg, remedy="Set precision to auto or float32.")
    return torch.bfloat16 if able and precision != "float32" else torch.float32


def four_bits(dtype: torch.dtype, skip: Sequence[str] | None = None) -> Any:
    """Configure four bits a weight (nf4), computed with in `dtype`.

    Args:
        dtype: What is computed in.
        skip: Names of modules that stay as they are; None leaves it to the library.
    """
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=None if skip is None else list(skip),
    )
