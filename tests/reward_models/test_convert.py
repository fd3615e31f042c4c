from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModelForSequenceClassification

from langchain_agentrm.errors import CheckpointError, ConfigurationError
from langchain_agentrm.reward_models import convert as module
from langchain_agentrm.reward_models._checkpoint.loading import load_reward_model
from langchain_agentrm.reward_models.convert import convert
from langchain_agentrm.reward_models.layout import Kind, Layout, read_layout
from langchain_agentrm.testing.mini_checkpoint import write_mini_checkpoint
from tests.reward_models import layouts

IDS = torch.tensor([[1, 10, 20, 30, 3, 2, 40, 50, 3]])
SINGLE = ["sequence", "trl", "llama_factory", "openrlhf", "regression", "v_head"]


@torch.inference_mode()
def score(layout: Layout) -> float:
    model = load_reward_model(layout, device="cpu")
    hidden = model.body(input_ids=IDS).last_hidden_state[0, -1:]
    return model.head.read_value(model.head.outputs(hidden))


@torch.inference_mode()
def as_vllm_reads(folder: Path, pooling: dict[str, float]) -> float:
    """Plain logits by transformers' class, then vLLM's formula."""
    model, info = AutoModelForSequenceClassification.from_pretrained(
        folder, output_loading_info=True, local_files_only=True
    )
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    logit = float(model.eval()(IDS).logits[0, 0])
    return (logit - pooling.get("logit_mean", 0.0)) / pooling.get("logit_sigma", 1.0)


@pytest.mark.parametrize("name", SINGLE)
@pytest.mark.parametrize("sharded", [False, True])
def test_scores_stay_the_same(tmp_path: Path, name: str, sharded: bool) -> None:
    source = layouts.WRITERS[name](tmp_path / "source")
    if sharded:
        layouts.shard(source)
    before = read_layout(source)
    folder = convert(before, tmp_path / "out")
    after = read_layout(folder)
    assert after.kind is Kind.SEQUENCE
    assert after.native
    assert not after.bias
    assert len(after.shards) == len(before.shards)
    expected = score(before)
    assert score(after) == pytest.approx(expected, abs=1e-5)
    assert as_vllm_reads(folder, after.pooling) == pytest.approx(expected, abs=1e-5)
    assert after.serializer == "agentrm-v1"


@pytest.mark.parametrize("model_type", ["gpt2", "qwen3", "gemma2"])
@pytest.mark.parametrize("bare", [False, True])
def test_other_families(tmp_path: Path, model_type: str, bare: bool) -> None:
    source = layouts.family(tmp_path / "source", model_type)
    prefix = "transformer." if model_type == "gpt2" else "model."
    weights = layouts.weights_of(source)
    head = {
        "v_head.summary.weight": weights.pop("score.weight"),
        "v_head.summary.bias": torch.tensor([0.5]),
    }
    if bare:
        weights = {key.removeprefix(prefix): t for key, t in weights.items()}
    layouts.save_weights(source, {**weights, **head})
    layouts.edit_config(source, architectures=["SomethingWithValueHead"])
    layout = read_layout(source)
    after = read_layout(convert(layout, tmp_path / "out"))
    assert all(k.startswith((prefix, "score.")) for k in layouts.weights_of(after.body))
    expected = score(layout)
    assert score(after) == pytest.approx(expected, abs=1e-5)
    assert as_vllm_reads(after.folder, after.pooling) == pytest.approx(
        expected, abs=1e-5
    )


def test_a_bias_becomes_a_mean(tmp_path: Path) -> None:
    folder = convert(read_layout(layouts.trl(tmp_path / "a")), tmp_path / "b")
    manifest = json.loads((folder / "agentrm.json").read_text())
    assert manifest["pooling"] == pytest.approx(
        {"logit_mean": -0.7, "logit_sigma": 1.0}
    )
    assert manifest["converted_from"]["kind"] == Kind.TRL.value


def test_bias_and_normalisation_together(tmp_path: Path) -> None:
    source = layouts.openrlhf(tmp_path / "a")
    weights = layouts.weights_of(source)
    layouts.save_weights(source, {**weights, "value_head.bias": torch.tensor([3.0])})
    layout = read_layout(source)
    folder = convert(layout, tmp_path / "b")
    after = read_layout(folder)
    assert after.pooling["logit_mean"] == -2.5
    assert after.pooling["logit_sigma"] == 2.0
    assert score(after) == pytest.approx(score(layout), abs=1e-5)


def test_config_of_a_plain_classifier(tmp_path: Path) -> None:
    source = layouts.v_head(tmp_path / "a")
    layouts.edit_config(source, id2label={"0": "x", "1": "y"}, value_head_prefix="v")
    folder = convert(read_layout(source), tmp_path / "b")
    config = json.loads((folder / "config.json").read_text())
    assert config["architectures"] == ["LlamaForSequenceClassification"]
    assert config["id2label"] == {"0": "LABEL_0"}
    assert config["problem_type"] == "regression"
    assert not {"auto_map", "value_head_prefix"} & set(config)
    assert not any("lm_head" in key for key in layouts.weights_of(folder))


def test_the_released_agentrm_with_its_parts_given(tmp_path: Path) -> None:
    source = layouts.backbone(tmp_path / "8b")
    tokens = write_mini_checkpoint(tmp_path / "tokens")
    head = tmp_path / "head.safetensors"
    save_file({"w": layouts.numbers(1, 32)}, head)
    layout = read_layout(source, head=head, tokenizer=tokens)
    after = read_layout(convert(layout, tmp_path / "out"))
    assert after.tokenizer == after.folder
    assert score(after) == pytest.approx(score(layout), abs=1e-5)


def test_an_adapter_is_merged(tmp_path: Path) -> None:
    pytest.importorskip("peft")
    base = layouts.sequence(tmp_path / "base")
    layout = read_layout(layouts.lora(tmp_path / "adapter", base))
    after = read_layout(convert(layout, tmp_path / "out"))
    assert after.adapter is None
    assert score(after) == pytest.approx(score(layout), abs=1e-5)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("qwen_rm", "2 layers, 1 outputs"),
        ("qwen_prm", "2 layers, 2 outputs"),
        ("token_prm", "1 layers, 2 outputs"),
        ("two_classes", "1 layers, 2 outputs"),
        ("encoder", "encoder"),
    ],
)
def test_other_heads_are_refused(tmp_path: Path, name: str, words: str) -> None:
    layout = read_layout(layouts.WRITERS[name](tmp_path / "a"))
    with pytest.raises(CheckpointError, match=words) as caught:
        convert(layout, tmp_path / "out")
    assert "reads it as it is" in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_model_type_without_classifier_is_refused(tmp_path: Path) -> None:
    layouts.trl(tmp_path / "a")
    layouts.edit_config(tmp_path / "a", model_type="mamba")
    layout = read_layout(tmp_path / "a")
    with pytest.raises(CheckpointError, match="no sequence classifier for 'mamba'"):
        convert(layout, tmp_path / "out")


def test_an_existing_folder_is_left_alone(tmp_path: Path) -> None:
    layout = read_layout(layouts.trl(tmp_path / "a"))
    (tmp_path / "b").mkdir()
    with pytest.raises(ConfigurationError, match="exists already"):
        convert(layout, tmp_path / "b")


def test_a_failure_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = read_layout(layouts.trl(tmp_path / "a"))

    def fail(*args: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(module, "_copy_tokenizer", fail)
    with pytest.raises(OSError, match="full"):
        convert(layout, tmp_path / "b")
    assert [f.name for f in tmp_path.iterdir()] == ["a"]
