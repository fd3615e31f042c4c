"""Rewriting a reward model as the plain classifier that vLLM and others know.

Bodies are copied shard by shard. A head's bias and normalisation, for which such a
classifier has no place, go into agentrm.json as pooler settings.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import safe_open
from safetensors.torch import save_file

from langchain_agentrm._files import write_json
from langchain_agentrm.errors import CheckpointError, ConfigurationError
from langchain_agentrm.reward_models._checkpoint.detect import is_head_key
from langchain_agentrm.reward_models._checkpoint.heads import read_tensors
from langchain_agentrm.reward_models._checkpoint.loading import load_reward_model
from langchain_agentrm.reward_models._checkpoint.native import classifier_of
from langchain_agentrm.reward_models._checkpoint.sources import TOKENIZER_FILES
from langchain_agentrm.reward_models.layout import Kind, Layout

__all__ = ["convert"]

_DROPPED = ("auto_map", "value_head_prefix", "normalize_reward", "mean", "std")
_Tensors = dict[str, torch.Tensor]


def convert(layout: Layout, out: str | Path) -> Path:
    """Write a reward model with one linear head as `*ForSequenceClassification`.

    What vLLM must be told besides is under `pooling` in the new agentrm.json, with
    `read_layout(out).pooling` as its reading: vLLM gives (logit - logit_mean) /
    logit_sigma. `read_layout` itself heeds it too, so that scores stay the same here.
    An adapter is merged on the way.

    Args:
        layout: What `read_layout` found.
        out: A folder that does not exist yet. It is there whole or not at all.

    Returns:
        The new folder.

    Raises:
        CheckpointError: If the head is not a single linear output, or transformers has
            no classifier of this model type.
        ConfigurationError: If `out` exists.
    """
    target = Path(out)
    if target.exists():
        msg = f"{str(target)!r} exists already."
        raise ConfigurationError(msg, remedy="Give a folder that is not there yet.")
    name = _checked(layout)
    prefix = f"{getattr(transformers, name).base_model_prefix}."
    target.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        _write_weights(layout, part, prefix)
        _write_config(layout, part, name)
        _copy_tokenizer(layout.tokenizer, part)
        write_json(part / "agentrm.json", _manifest(layout))
        part.chmod(0o755)
        part.rename(target)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return target


def _checked(layout: Layout) -> str:
    where = str(layout.folder)
    if layout.head_layers != 1 or layout.outputs != 1 or layout.kind is Kind.ENCODER:
        msg = (
            f"The head in {where!r} ({layout.kind.value}: {layout.head_layers} layers, "
            f"{layout.outputs} outputs) is no single linear output."
        )
        raise CheckpointError(
            msg,
            remedy="vLLM reads it as it is."
            if layout.native
            else "Score it in process: such a head has no form that vLLM knows.",
        )
    name = classifier_of(layout.model_type)
    if name is None or not hasattr(transformers, name):
        msg = f"transformers has no sequence classifier for {layout.model_type!r}."
        raise CheckpointError(msg, remedy=f"Score {where!r} in process.")
    return name


def _write_weights(layout: Layout, out: Path, prefix: str) -> None:
    head = read_tensors(layout.head)[0]
    shards = _merged(layout) if layout.adapter else _stored(layout)
    count = 1 if layout.adapter else len(layout.shards)
    places: dict[str, str] = {}
    total = 0
    for number, read in enumerate(shards, 1):
        tensors = {
            key if key.startswith(prefix) else prefix + key: tensor
            for key, tensor in read().items()
            if not is_head_key(key, layout.config)
        }
        if number == 1:
            tensors["score.weight"] = head.contiguous()
        file = f"model-{number:05d}-of-{count:05d}.safetensors"
        file = "model.safetensors" if count == 1 else file
        save_file(tensors, out / file, metadata={"format": "pt"})
        # safetensors makes files that only their owner reads.
        (out / file).chmod(0o644)
        places |= dict.fromkeys(tensors, file)
        total += sum(t.numel() * t.element_size() for t in tensors.values())
    if count > 1:
        index = {"metadata": {"total_size": total}, "weight_map": places}
        write_json(out / "model.safetensors.index.json", index)


def _stored(layout: Layout) -> Iterator[Callable[[], _Tensors]]:
    for shard in layout.shards:

        def read(file: Path = shard) -> _Tensors:
            with safe_open(file, framework="pt") as opened:
                return {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118 - no mapping

        yield read


def _merged(layout: Layout) -> Iterator[Callable[[], _Tensors]]:
    def read() -> _Tensors:
        body = load_reward_model(layout, device="cpu", dtype=layout.dtype).body
        return {
            key: tensor.detach().clone().contiguous()
            for key, tensor in body.state_dict().items()
        }

    yield read


def _write_config(layout: Layout, out: Path, name: str) -> None:
    kept = {k: v for k, v in layout.config.items() if k not in _DROPPED}
    kept |= {
        "architectures": [name],
        "id2label": {"0": "LABEL_0"},
        "label2id": {"LABEL_0": 0},
        "problem_type": "regression",
    }
    kept.pop("num_labels", None)
    write_json(out / "config.json", kept)


def _copy_tokenizer(source: Path, out: Path) -> None:
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, out / name)
    if (source / "chat_template.json").is_file():
        shutil.copyfile(source / "chat_template.json", out / "chat_template.json")


def _manifest(layout: Layout) -> dict[str, Any]:
    mean, sigma = layout.mean, layout.std
    if layout.bias:
        mean -= float(read_tensors(layout.head)[1].float()[0])
    pooling: dict[str, float] = {}
    if (mean, sigma) != (0.0, 1.0):
        pooling = {"logit_mean": mean, "logit_sigma": sigma}
    origin = {"kind": layout.kind.value, "head": list(layout.head_keys)}
    return {**layout.manifest, "pooling": pooling, "converted_from": origin}
