"""What a reward model's folder holds: found and checked before any weight is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from langchain_agentrm.errors import CheckpointError
from langchain_agentrm.reward_models._checkpoint.adapter import (
    adapter_tensors,
    base_folder,
    is_adapter,
)
from langchain_agentrm.reward_models._checkpoint.detect import (
    TOKENIZER_OPTION,
    Found,
    Kind,
    Read,
    check_width,
    find_head,
    head_from_file,
    headless,
)
from langchain_agentrm.reward_models._checkpoint.native import (
    Attention,
    attention_of,
    context_of,
    native_config,
    width_of,
)
from langchain_agentrm.reward_models._checkpoint.sources import (
    find_folder,
    has_tokenizer,
    read_object,
)
from langchain_agentrm.reward_models._checkpoint.weights import (
    Tensor,
    dtype_of,
    parameters,
    read_header,
    read_weights,
)

__all__ = ["Attention", "Kind", "Layout", "Read", "read_layout"]

_MANIFEST = "agentrm.json"
_SIDE_FILE = "value_head.safetensors"
_STEP_TOKENS = {Kind.QWEN_PRM: "<extra_0>", Kind.TOKEN_PRM: "\n"}
_QWEN = {
    Kind.QWEN_RM: "Qwen2ForRewardModel",
    Kind.QWEN_PRM: "Qwen2ForProcessRewardModel",
}


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything of a reward model was found, and what it is.

    Attributes:
        folder: The folder that was asked for.
        body: Folder of config and body; the base model's for an adapter.
        kind: How the model is published.
        architecture: First of the config's architectures; may be empty.
        model_type: The config's model type, one that transformers knows.
        config: The content of config.json.
        head: The head's tensors from the body to the score, bias after weight.
        outputs: Numbers that the head gives at one position.
        hidden: Width of the body.
        mean: Taken off the head's output.
        std: What the output is divided by after that.
        read: Where values are read.
        step_token: Text that ends a step, where values are read at steps.
        step_ids: Its token ids; the value is read at the last of them. Empty where
            only the loaded tokenizer can tell.
        attention: What a position of the body sees.
        dtype: The dtype of most weights, as torch names it.
        parameters: How many numbers the weights hold, the adapter's included.
        context: Longest text in tokens, where the config bounds it.
        adapter: Folder of a LoRA adapter.
        shards: The files of the body's weights.
        tokenizer: Folder of the tokenizer.
        manifest: The content of agentrm.json; empty where absent.
        value_range: Lowest and highest value of a distribution over values.
    """

    folder: Path
    body: Path
    kind: Kind
    architecture: str
    model_type: str
    config: Mapping[str, Any] = field(repr=False)
    head: tuple[Tensor, ...]
    outputs: int
    hidden: int
    mean: float
    std: float
    read: Read
    step_token: str | None
    step_ids: tuple[int, ...]
    attention: Attention
    dtype: str
    parameters: int
    context: int | None
    adapter: Path | None
    shards: tuple[Path, ...]
    tokenizer: Path
    manifest: Mapping[str, Any] = field(repr=False)
    value_range: tuple[float, float] | None = None

    @property
    def head_keys(self) -> dict[str, Path]:
        """The head's keys and the files that hold them."""
        return {tensor.key: tensor.file for tensor in self.head}

    @property
    def head_layers(self) -> int:
        """Number of linear layers in the head."""
        return sum(len(tensor.shape) > 1 for tensor in self.head)

    @property
    def bias(self) -> bool:
        """Whether the head's last layer has a bias."""
        return len(self.head[-1].shape) == 1

    @property
    def base(self) -> Path | None:
        """Folder of the model that the adapter is for; None without an adapter."""
        return self.body if self.adapter else None

    @property
    def serializer(self) -> str | None:
        """Rendering that the model was trained on, where agentrm.json says it."""
        return self.manifest.get("serializer")

    @property
    def native(self) -> bool:
        """Whether vLLM and transformers read this head as it is stored."""
        elsewhere = any(tensor.file.parent != self.body for tensor in self.head)
        if self.adapter or elsewhere or self.kind is Kind.DISTRIBUTION:
            return False
        if self.kind in _QWEN:
            return self.architecture == _QWEN[self.kind]
        plain = {"score.weight"} | ({"score.bias"} if self.read == "steps" else set())
        return self.kind is Kind.ENCODER or (
            self.architecture.endswith("Classification")
            and set(self.head_keys) <= plain
        )

    @property
    def pooling(self) -> dict[str, Any]:
        """What vLLM's `--pooler-config` must say so that it gives the same values.

        A head's bias and normalisation are `logit_mean` and `logit_sigma`; the bias
        itself is known to `convert` only, which adds it.
        """
        out: dict[str, Any] = {"use_activation": False}
        if self.read == "steps":
            out["pooling_type"] = "STEP"
            if len(self.step_ids) == 1:
                out["step_tag_id"] = self.step_ids[0]
        if (self.mean, self.std) != (0.0, 1.0):
            out |= {"logit_mean": self.mean, "logit_sigma": self.std}
        return out

    def lines(self) -> list[tuple[str, str]]:
        """What `agentrm rm inspect` prints: name and value, in order."""
        head = [
            (f"head {t.key}", f"{list(t.shape)} {dtype_of({t.key: t})} in {t.file}")
            for t in self.head
        ]
        step = [("step token", f"{self.step_token!r} {list(self.step_ids)}")]
        mean = [("normalised", f"(x - {self.mean:g}) / {self.std:g}")]
        adapter = [("adapter", str(self.adapter)), ("base", str(self.body))]
        served = "as it is" if self.native else "after convert"
        return [
            ("folder", str(self.folder)),
            ("kind", self.kind.value),
            ("architecture", f"{self.architecture or '-'} ({self.model_type})"),
            *(adapter if self.adapter else []),
            *head,
            ("outputs", str(self.outputs)),
            ("read", self._reading()),
            *(step if self.read == "steps" else []),
            *(mean if (self.mean, self.std) != (0.0, 1.0) else []),
            ("attention", self.attention),
            ("dtype", self.dtype),
            ("parameters", f"{self.parameters:,}"),
            ("context", f"{self.context:,} tokens" if self.context else "not bounded"),
            ("weights", ", ".join(shard.name for shard in self.shards)),
            ("tokenizer", str(self.tokenizer)),
            ("serializer", self.serializer or f"unknown ({_MANIFEST} does not say)"),
            ("vLLM", f"{served}, pooler {self.pooling}"),
        ]

    def _reading(self) -> str:
        if self.read == "steps":
            return "softmax of output 1 at the end of every step"
        where = (
            "of the whole text" if self.kind is Kind.ENCODER else "at the last token"
        )
        what = "the output" if self.outputs == 1 else "output 1 minus output 0"
        if self.value_range is not None:
            low, high = self.value_range
            what = f"mean over {self.outputs} values from {low:g} to {high:g}"
        return f"{what} {where}"


def read_layout(
    source: str | Path,
    *,
    head: str | Path | None = None,
    tokenizer: str | Path | None = None,
    base: str | Path | None = None,
    step_token: str | None = None,
    revision: str | None = None,
) -> Layout:
    """Find all parts of a reward model and say what it is; nothing is loaded.

    Only JSON files and the headers of safetensors are read, and none of the
    checkpoint's code is run.

    Args:
        source: A folder, or a hub id such as `"org/name"`.
        head: Safetensors file with the head, where the checkpoint has none.
        tokenizer: Folder or hub id of the tokenizer, where the checkpoint has none.
        base: Folder or hub id of an adapter's base, where its config is not right.
        step_token: Text that ends a step, for a model of steps; else as it is known
            for the kind of model, or as agentrm.json says.
        revision: Branch, tag or commit of `source` on the hub.

    Returns:
        The layout.

    Raises:
        CheckpointError: If a file or key is missing or wrong, or the model gives no
            reward; the message names it and how to give it.
    """
    folder = find_folder(source, what="checkpoint", revision=revision)
    adapter = folder if is_adapter(folder) else None
    body = base_folder(folder, base) if adapter else folder
    config = read_object(body / "config.json")
    native = native_config(config, body / "config.json")
    attention = attention_of(native)
    stored = read_weights(body)
    added = adapter_tensors(adapter, config) if adapter else {}
    named = _tokenizer_folder(tokenizer, [folder, body])
    manifest = _manifest([folder, body])
    value_range = _value_range(manifest, folder)
    if head is not None:
        found: Found | None = head_from_file(head, config)
    else:
        both_ways = attention == "bidirectional"
        # An adapter's own head was trained with it and goes before the base's.
        places = ([{**added, **_side(folder)}] if adapter else []) + [
            {**stored, **_side(body)}
        ]
        heads = (
            find_head(
                t,
                config,
                folder=folder,
                encoder=both_ways,
                distribution=value_range is not None,
            )
            for t in places
        )
        found = next((h for h in heads if h), None)
    if found is None:
        raise headless(
            folder, body, set(stored), config, has_tokenizer=named is not None
        )
    hidden = width_of(native, body / "config.json")
    check_width(found, hidden)
    if attention == "bidirectional" and found.kind is not Kind.ENCODER:
        msg = f"{str(head)!r} cannot be the head of {config['model_type']}, an encoder."
        raise CheckpointError(msg, remedy="An encoder has its head in its own weights.")
    if adapter and attention == "bidirectional":
        msg = f"{str(folder)!r} is an adapter of {config['model_type']}, an encoder."
        raise CheckpointError(msg, remedy="Merge it with peft and save the whole.")
    if named is None:
        msg = f"{str(folder)!r} has no tokenizer.json nor any other tokenizer."
        raise CheckpointError(
            msg, remedy=f"Give the one that it was trained with: {TOKENIZER_OPTION}."
        )
    mean, std = _normalisation(config, manifest, body)
    text, ids = _step(found, step_token, manifest, named)
    return Layout(
        folder=folder,
        body=body,
        kind=found.kind,
        architecture=str((config.get("architectures") or [""])[0]),
        model_type=str(config["model_type"]),
        config=config,
        head=found.tensors,
        outputs=found.outputs,
        hidden=hidden,
        mean=mean,
        std=std,
        read=found.read,
        step_token=text,
        step_ids=ids,
        attention=attention,
        dtype=dtype_of(stored),
        parameters=parameters({**stored, **added}),
        context=context_of(native),
        adapter=adapter,
        shards=tuple(sorted({t.file for t in stored.values()})),
        tokenizer=named,
        manifest=manifest,
        value_range=value_range if found.kind is Kind.DISTRIBUTION else None,
    )


def _side(folder: Path) -> dict[str, Tensor]:
    file = folder / _SIDE_FILE
    return read_header(file) if file.is_file() else {}


def _tokenizer_folder(given: str | Path | None, folders: list[Path]) -> Path | None:
    if given is not None:
        found = find_folder(given, what="tokenizer", weights=False)
        if not has_tokenizer(found):
            msg = f"There is no tokenizer in {str(found)!r}."
            raise CheckpointError(msg, remedy="Give a folder with a tokenizer.json.")
        return found
    return next((f for f in folders if has_tokenizer(f)), None)


def _manifest(folders: list[Path]) -> dict[str, Any]:
    for folder in folders:
        if (folder / _MANIFEST).is_file():
            return read_object(folder / _MANIFEST)
    return {}


def _value_range(
    manifest: Mapping[str, Any], folder: Path
) -> tuple[float, float] | None:
    said = manifest.get("distribution")
    if said is None:
        return None
    try:
        low, high = float(said["low"]), float(said["high"])
    except (TypeError, KeyError, ValueError) as error:
        msg = f"{_MANIFEST} in {str(folder)!r} gives a distribution {said!r}."
        raise CheckpointError(
            msg, remedy="Write its lowest and highest value as low and high."
        ) from error
    if not (isfinite(low) and isfinite(high) and low < high):
        msg = f"{_MANIFEST} in {str(folder)!r} gives values from {low} to {high}."
        raise CheckpointError(msg, remedy="Write low below high.")
    return low, high


def _normalisation(
    config: Mapping[str, Any], manifest: Mapping[str, Any], body: Path
) -> tuple[float, float]:
    # What `convert` took out of the head goes before the config's own figures.
    pooling = manifest.get("pooling") or {}
    mean, std, where = 0.0, 1.0, body / _MANIFEST
    try:
        if "logit_mean" in pooling or "logit_sigma" in pooling:
            mean = float(pooling.get("logit_mean", 0.0))
            std = float(pooling.get("logit_sigma", 1.0))
        elif config.get("normalize_reward"):
            where = body / "config.json"
            mean, std = float(config.get("mean", 0.0)), float(config.get("std", 1.0))
    except (TypeError, ValueError) as error:
        msg = f"{where} gives a mean or standard deviation that is no number: {error}."
        raise CheckpointError(msg, remedy="Write both as numbers.") from error
    if not (std > 0 and isfinite(std) and isfinite(mean)):
        msg = f"{where} normalises with mean {mean} and standard deviation {std}."
        raise CheckpointError(msg, remedy="The deviation must be above 0.")
    return mean, std


def _step(
    found: Found, given: str | None, manifest: Mapping[str, Any], folder: Path
) -> tuple[str | None, tuple[int, ...]]:
    if found.read != "steps":
        return None, ()
    token = given or manifest.get("step_token") or _STEP_TOKENS.get(found.kind, "\n")
    file = folder / "tokenizer.json"
    if not file.is_file():
        return str(token), ()
    from tokenizers import Tokenizer

    try:
        core = Tokenizer.from_file(str(file))
    # The Rust parser raises a bare Exception.
    except Exception as error:
        msg = f"{file} holds no tokenizer: {error}."
        raise CheckpointError(msg, remedy="Copy or download it again.") from error
    ids = tuple(core.encode(str(token), add_special_tokens=False).ids)
    if not ids or (found.kind is Kind.QWEN_PRM and len(ids) > 1):
        msg = f"{file} has no token {token!r}, which ends a step of {found.kind.value}."
        raise CheckpointError(
            msg, remedy="Give the token that it was trained with: step_token=TEXT."
        )
    return str(token), ids
