"""Which head a reward model has, told by the names and shapes of its tensors."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from langchain_agentrm.errors import CheckpointError
from langchain_agentrm.reward_models._checkpoint.weights import Tensor, read_header

__all__ = [
    "HEAD_OPTION",
    "TOKENIZER_OPTION",
    "Found",
    "Kind",
    "Read",
    "check_width",
    "find_head",
    "head_from_file",
    "headless",
    "is_head_key",
]

HEAD_OPTION = "head=FILE (--head FILE)"
"""How a missing head is given, here and at the command line."""

TOKENIZER_OPTION = "tokenizer=FOLDER_OR_ID (--tokenizer FOLDER_OR_ID)"
"""How a missing tokenizer is given."""

Read = Literal["last", "steps"]
"""Where values are read: at the last token, or at the token that ends each step."""


class Kind(StrEnum):
    """The ways in which reward models are published."""

    SEQUENCE = "sequence classification"
    TWO_CLASSES = "two classes"
    OPENRLHF = "OpenRLHF"
    TRL = "TRL value head"
    LLAMA_FACTORY = "LLaMA-Factory value head"
    REGRESSION = "regression head (UltraRM, Eurus-RM)"
    V_HEAD = "v_head (InternLM2)"
    QWEN_RM = "Qwen2.5-Math-RM"
    QWEN_PRM = "Qwen2.5-Math-PRM"
    TOKEN_PRM = "token-classification PRM"  # noqa: S105 - no password
    DISTRIBUTION = "distribution over values"
    ENCODER = "encoder"
    GIVEN = "head file"


@dataclass(frozen=True, slots=True)
class Found:
    """A head: what it is, its tensors from the body to the score, its outputs."""

    kind: Kind
    tensors: tuple[Tensor, ...]
    outputs: int
    read: Read = "last"


_SIDE_FILE = "value_head.safetensors"
_PICKLED = "value_head.bin"
_MLP = ("score.0.weight", "score.0.bias", "score.2.weight", "score.2.bias")
_LINEAR = {
    "score": Kind.SEQUENCE,
    "v_head.summary": Kind.TRL,
    "value_head": Kind.OPENRLHF,
    "v_head": Kind.V_HEAD,
    "regression_head": Kind.REGRESSION,
}
# Encoders end in one of these; what stands before them differs by family.
_ENCODER = (
    "classifier",
    "classifier.out_proj",
    "classification_head.out_proj",
    "score",
)
_OTHER = ("regression_layer", "reward_transform_matrix", "gating", *_ENCODER)


def is_head_key(key: str, config: Mapping[str, Any]) -> bool:
    """Tell whether a key belongs to a head, be it a reward's or a language model's.

    Args:
        key: A key of the checkpoint, without an adapter's prefix.
        config: The content of config.json.

    Returns:
        True for heads, False for the body.
    """
    prefix = config.get("value_head_prefix")
    names = {*_LINEAR, *_OTHER, "lm_head", *([prefix] if prefix else [])}
    return any(key.startswith(f"{name}.") or key == name for name in names)


def find_head(
    tensors: Mapping[str, Tensor],
    config: Mapping[str, Any],
    *,
    folder: Path,
    encoder: bool = False,
    distribution: bool = False,
) -> Found | None:
    """Look for a reward head.

    Args:
        tensors: What each key names, without an adapter's prefix.
        config: The content of config.json.
        folder: The checkpoint folder, for messages.
        encoder: Whether the body reads in both directions.
        distribution: Whether the outputs are said to be a distribution over values.

    Returns:
        The head, or None where there is none.

    Raises:
        CheckpointError: If there is a head that cannot be read as a reward.
    """
    architecture = _architecture(config)
    if "regression_layer.weight" in tensors:
        msg = (
            f"{str(folder)!r} has a gated multi-objective head (ArmoRM: "
            "regression_layer.weight, gating.*), which is not supported."
        )
        raise CheckpointError(
            msg, remedy="Serve it where its own code runs and score through the server."
        )
    if "score.0.weight" in tensors:
        return _mlp(tensors, folder)
    if encoder:
        return _encoder(tensors, architecture, folder)
    if distribution and (spread := tensors.get("score.weight")) is not None:
        return Found(Kind.DISTRIBUTION, (spread,), _rows(spread))
    prefix = config.get("value_head_prefix")
    for name in ([str(prefix)] if prefix else []) + list(_LINEAR):
        if f"{name}.weight" in tensors:
            kind = _LINEAR.get(name, Kind.OPENRLHF)
            if prefix == name or "normalize_reward" in config:
                kind = Kind.OPENRLHF
            return _linear(name, kind, tensors, architecture, folder)
    return None


def head_from_file(file: str | Path, config: Mapping[str, Any]) -> Found:
    """Read a head that was given in a file of its own.

    Args:
        file: Safetensors with a known head, or one matrix [outputs, hidden] and at
            most one vector [outputs] as its bias.
        config: The content of config.json.

    Returns:
        The head.

    Raises:
        CheckpointError: If the file holds no such thing.
    """
    path = Path(file)
    if not path.is_file():
        msg = f"There is no head file {str(file)!r}."
        raise CheckpointError(
            msg, remedy="Give a safetensors file that holds the head's weight."
        )
    tensors = read_header(path)
    known = find_head(tensors, config, folder=path)
    if known:
        return known
    matrices = [t for t in tensors.values() if len(t.shape) == 2]  # noqa: PLR2004
    vectors = [t for t in tensors.values() if len(t.shape) == 1]
    rest = len(tensors) - len(matrices) - len(vectors)
    if len(matrices) != 1 or len(vectors) > 1 or rest:
        shapes = ", ".join(f"{k} {list(t.shape)}" for k, t in sorted(tensors.items()))
        msg = f"The head file {str(file)!r} holds {shapes or 'nothing'}."
        raise CheckpointError(
            msg, remedy="It must hold one weight [1, hidden] and at most one bias [1]."
        )
    names = dict(zip(("score.weight", "score.bias"), matrices + vectors, strict=False))
    return _linear("score", Kind.GIVEN, names, _architecture(config), path)


def check_width(found: Found, hidden: int) -> None:
    """Check that a head fits the body.

    Args:
        found: The head.
        hidden: Width of the body.

    Raises:
        CheckpointError: If it was made for another width.
    """
    if found.kind is Kind.ENCODER:
        return
    width = hidden
    for tensor in found.tensors:
        # A weight is [out, in]; its bias, which comes next, is [out].
        if tensor.shape[-1:] != (width,):
            msg = (
                f"The head {tensor.key!r} in {tensor.file} has the shape "
                f"{list(tensor.shape)}; what it is applied to is {width} wide."
            )
            raise CheckpointError(msg, remedy="Give the head of this model.")
        width = tensor.shape[0]


def headless(
    folder: Path,
    body: Path,
    keys: Collection[str],
    config: Mapping[str, Any],
    *,
    has_tokenizer: bool,
) -> CheckpointError:
    """Say what a checkpoint without a reward head is, and how to give what it lacks.

    Args:
        folder: The checkpoint, or the adapter.
        body: The folder of the body, another one for an adapter.
        keys: The keys of its weights.
        config: The content of its config.json.
        has_tokenizer: Whether there is a tokenizer.

    Returns:
        The error to raise.
    """
    architecture = _architecture(config)
    pickled = next(
        (f for f in (folder / _PICKLED, body / _PICKLED) if f.is_file()), None
    )
    if pickled:
        msg = f"The head of {str(folder)!r} is a pickle, {pickled}, which can run code."
        return CheckpointError(
            msg, remedy=f"Save its tensors as {_SIDE_FILE} beside it, with safetensors."
        )
    if folder != body:
        msg = (
            f"Neither the adapter {str(folder)!r} nor its base {str(body)!r} has a "
            "reward head (score.weight)."
        )
        remedy = (
            f"Give the trained head with {HEAD_OPTION}, or the base that has it: base=."
        )
        return CheckpointError(msg, remedy=remedy)
    if "lm_head.weight" in keys or architecture.endswith(
        ("ForCausalLM", "ForConditionalGeneration")
    ):
        msg = (
            f"{str(folder)!r} is a plain language model ({architecture or 'lm_head'}): "
            f"no reward head among its {len(keys)} tensors."
        )
        return CheckpointError(
            msg,
            remedy="Use ImplicitRewardModel for a trained policy or JudgeRewardModel "
            f"for a chat model; a head that lies elsewhere goes with {HEAD_OPTION}.",
        )
    lost = "score.weight" if has_tokenizer else "score.weight and no tokenizer.json"
    options = HEAD_OPTION if has_tokenizer else f"{HEAD_OPTION} and {TOKENIZER_OPTION}"
    files = ", ".join(sorted(f.name for f in body.glob("*.safetensors"))[:3])
    msg = (
        f"{str(folder)!r} ({architecture or config.get('model_type')}) holds the body "
        f"of a model only: no {lost} beside the {len(keys)} tensors of {files}."
    )
    return CheckpointError(
        msg,
        remedy="Without the trained head there is no score. Ask its publisher for the "
        f"missing files and give them with {options}; or train a head.",
    )


def _architecture(config: Mapping[str, Any]) -> str:
    return str((config.get("architectures") or [""])[0])


def _mlp(tensors: Mapping[str, Tensor], folder: Path) -> Found:
    names = [key for key in tensors if key.startswith("score.")]
    if sorted(names) != sorted(_MLP):
        msg = f"The head in {str(folder)!r} has the tensors {', '.join(sorted(names))}."
        raise CheckpointError(
            msg, remedy=f"A head of two layers needs exactly {', '.join(_MLP)}."
        )
    rows = _rows(tensors["score.2.weight"])
    parts = tuple(tensors[key] for key in _MLP)
    if rows == 1:
        return Found(Kind.QWEN_RM, parts, 1)
    if rows == 2:  # noqa: PLR2004 - right or wrong
        return Found(Kind.QWEN_PRM, parts, 2, "steps")
    raise _many(rows, folder)


def _linear(
    name: str,
    kind: Kind,
    tensors: Mapping[str, Tensor],
    architecture: str,
    folder: Path,
) -> Found:
    weight, bias = tensors[f"{name}.weight"], tensors.get(f"{name}.bias")
    parts = (weight,) if bias is None else (weight, bias)
    rows = _rows(weight)
    if kind is Kind.TRL and weight.file.name == _SIDE_FILE:
        kind = Kind.LLAMA_FACTORY
    by_token = "ForTokenClassification" in architecture or (
        # Heads of whole texts have no bias in any library that writes them.
        bias is not None and not architecture.endswith("ForSequenceClassification")
    )
    if rows == 1 and "ForTokenClassification" not in architecture:
        return Found(kind, parts, 1)
    if rows == 2 and kind in {Kind.SEQUENCE, Kind.GIVEN}:  # noqa: PLR2004
        if by_token:
            return Found(Kind.TOKEN_PRM, parts, 2, "steps")
        return Found(Kind.TWO_CLASSES, parts, 2)
    raise _many(rows, folder, architecture)


def _encoder(
    tensors: Mapping[str, Tensor], architecture: str, folder: Path
) -> Found | None:
    if "ForTokenClassification" in architecture:
        msg = f"{architecture} in {str(folder)!r} gives a value at every token of a "
        msg += "model that reads in both directions."
        raise CheckpointError(
            msg, remedy="Use a decoder for values of steps, or a head of whole texts."
        )
    for name in _ENCODER:
        weight, bias = tensors.get(f"{name}.weight"), tensors.get(f"{name}.bias")
        if weight is not None:
            rows = _rows(weight)
            if rows not in {1, 2}:
                raise _many(rows, folder, architecture)
            parts = (weight,) if bias is None else (weight, bias)
            return Found(Kind.ENCODER, parts, rows)
    return None


def _rows(weight: Tensor) -> int:
    if len(weight.shape) != 2:  # noqa: PLR2004 - a matrix
        msg = f"{weight.key!r} in {weight.file} has the shape {list(weight.shape)}."
        raise CheckpointError(msg, remedy="A head's weight is [outputs, hidden].")
    return weight.shape[0]


def _many(rows: int, folder: Path, architecture: str = "") -> CheckpointError:
    of = f" of {architecture}" if architecture else ""
    msg = f"The head{of} in {str(folder)!r} has {rows} outputs."
    return CheckpointError(
        msg,
        remedy="A reward model has 1 output, 2 classes of whole texts, or the 2 "
        "classes of a step (Qwen2.5-Math-PRM, token classification); which of these "
        "numbers is the reward is not written in the checkpoint.",
    )
