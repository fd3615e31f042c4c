from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoConfig

from langchain_agentrm._prefix import can_keep_prefix
from langchain_agentrm.errors import CheckpointError
from langchain_agentrm.reward_models._checkpoint.native import (
    attention_of,
    context_of,
    native_config,
)
from langchain_agentrm.reward_models.layout import Kind, read_layout
from langchain_agentrm.testing.mini_checkpoint import write_mini_checkpoint
from tests.reward_models import layouts

EXPECTED = {
    "sequence": (Kind.SEQUENCE, 1, 1, "last", True),
    "two_classes": (Kind.TWO_CLASSES, 2, 1, "last", True),
    "trl": (Kind.TRL, 1, 1, "last", False),
    "llama_factory": (Kind.LLAMA_FACTORY, 1, 1, "last", False),
    "openrlhf": (Kind.OPENRLHF, 1, 1, "last", False),
    "regression": (Kind.REGRESSION, 1, 1, "last", False),
    "v_head": (Kind.V_HEAD, 1, 1, "last", False),
    "qwen_rm": (Kind.QWEN_RM, 1, 2, "last", True),
    "qwen_prm": (Kind.QWEN_PRM, 2, 2, "steps", True),
    "token_prm": (Kind.TOKEN_PRM, 2, 1, "steps", True),
    "encoder": (Kind.ENCODER, 1, 1, "last", True),
}


@pytest.mark.parametrize("name", layouts.WRITERS)
def test_every_layout_is_told_apart(tmp_path: Path, name: str) -> None:
    folder = layouts.WRITERS[name](tmp_path)
    found = read_layout(folder)
    assert (
        found.kind,
        found.outputs,
        found.head_layers,
        found.read,
        found.native,
    ) == EXPECTED[name]
    assert found.attention == ("bidirectional" if name == "encoder" else "full")
    assert found.dtype == "float32"
    assert found.parameters == sum(
        t.numel() for t in layouts.weights_of(folder).values()
    )
    assert found.context == 512
    assert found.serializer == "agentrm-v1"
    assert found.tokenizer == found.body == folder
    assert found.base is None
    lines = dict(found.lines())
    assert lines["kind"] == found.kind.value
    for key, file in found.head_keys.items():
        assert str(file) in lines[f"head {key}"]


def test_normalisation_is_found(tmp_path: Path) -> None:
    found = read_layout(layouts.openrlhf(tmp_path))
    assert (found.mean, found.std) == (0.5, 2.0)
    assert found.pooling["logit_mean"] == 0.5
    assert dict(found.lines())["normalised"] == "(x - 0.5) / 2"


def test_normalisation_that_is_switched_off_is_left_alone(tmp_path: Path) -> None:
    layouts.openrlhf(tmp_path)
    layouts.edit_config(tmp_path, normalize_reward=False)
    found = read_layout(tmp_path)
    assert (found.mean, found.std) == (0.0, 1.0)
    assert found.kind is Kind.OPENRLHF


@pytest.mark.parametrize("std", [0.0, -1.0, "wide"])
def test_a_deviation_that_cannot_be_is_refused(tmp_path: Path, std: object) -> None:
    layouts.openrlhf(tmp_path)
    layouts.edit_config(tmp_path, std=std)
    with pytest.raises(CheckpointError, match="deviation") as caught:
        read_layout(tmp_path)
    assert "config.json" in str(caught.value)


def test_step_tokens(tmp_path: Path) -> None:
    found = read_layout(layouts.qwen_prm(tmp_path / "a"))
    assert (found.step_token, found.step_ids) == ("<extra_0>", (260,))
    assert found.pooling == {
        "use_activation": False,
        "pooling_type": "STEP",
        "step_tag_id": 260,
    }
    layouts.token_prm(tmp_path / "b")
    assert read_layout(tmp_path / "b").step_token == "\n"
    given = read_layout(tmp_path / "b", step_token="<|end|>")
    assert given.step_ids == (3,)
    manifest = {"serializer": "agentrm-v1", "step_token": "<pad>"}
    (tmp_path / "b" / "agentrm.json").write_text(json.dumps(manifest))
    assert read_layout(tmp_path / "b").step_ids == (0,)


def test_a_step_token_that_the_tokenizer_lacks_is_refused(tmp_path: Path) -> None:
    folder = layouts.qwen_prm(tmp_path)
    with pytest.raises(CheckpointError, match="step_token=TEXT"):
        read_layout(folder, step_token="<extra_9>")


def test_the_released_agentrm_layout_is_refused_by_name(tmp_path: Path) -> None:
    folder = layouts.backbone(tmp_path)
    with pytest.raises(CheckpointError) as caught:
        read_layout(folder)
    for word in ("score.weight", "tokenizer.json", "head=FILE", "tokenizer=", "Llama"):
        assert word in str(caught.value)


def test_what_is_missing_can_be_given(tmp_path: Path) -> None:
    folder = layouts.backbone(tmp_path / "8b")
    other = write_mini_checkpoint(tmp_path / "tokens")
    head = tmp_path / "head.safetensors"
    save_file({"anything": layouts.numbers(1, 32)}, head)
    with pytest.raises(CheckpointError, match=r"tokenizer\.json.*tokenizer="):
        read_layout(folder, head=head)
    with pytest.raises(CheckpointError, match=r"no score\.weight beside.*head=FILE"):
        read_layout(folder, tokenizer=other)
    found = read_layout(folder, head=head, tokenizer=other)
    assert found.kind is Kind.GIVEN
    assert found.head_keys == {"anything": head}
    assert found.tokenizer == other
    assert not found.bias


def test_a_head_in_another_file_is_not_what_servers_read(tmp_path: Path) -> None:
    folder = layouts.sequence(tmp_path / "rm")
    weights = layouts.weights_of(folder)
    head = tmp_path / "head.safetensors"
    save_file({"score.weight": weights.pop("score.weight")}, head)
    layouts.save_weights(folder, weights)
    found = read_layout(folder, head=head)
    assert found.kind is Kind.SEQUENCE
    assert not found.native


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"w": (1, 31)}, ["[1, 31]", "32 wide"]),
        ({"w": (5, 32)}, ["5 outputs"]),
        ({"v": (32,)}, ["v [32]", "[1, hidden]"]),
        ({"a": (1, 32), "b": (1, 32)}, ["a [1, 32], b [1, 32]"]),
    ],
)
def test_a_head_file_that_is_no_head(
    tmp_path: Path, tensors: dict[str, tuple[int, ...]], words: list[str]
) -> None:
    folder = write_mini_checkpoint(tmp_path / "rm")
    head = tmp_path / "head.safetensors"
    save_file({k: torch.ones(*shape) for k, shape in tensors.items()}, head)
    with pytest.raises(CheckpointError) as caught:
        read_layout(folder, head=head)
    assert all(word in str(caught.value) for word in [*words, str(head)])


def test_an_absent_head_file_is_named(tmp_path: Path) -> None:
    folder = write_mini_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match=r"nowhere\.safetensors"):
        read_layout(folder, head=tmp_path / "nowhere.safetensors")


def test_a_plain_language_model_is_refused(tmp_path: Path) -> None:
    folder = write_mini_checkpoint(tmp_path)
    with pytest.raises(CheckpointError) as caught:
        read_layout(folder)
    for word in ("ImplicitRewardModel", "JudgeRewardModel", "LlamaForCausalLM"):
        assert word in str(caught.value)


def test_too_many_outputs_are_counted(tmp_path: Path) -> None:
    head = {"score.weight": layouts.numbers(5, 32)}
    architectures = ["LlamaForSequenceClassification"]
    layouts.body(tmp_path, head, architectures=architectures)
    with pytest.raises(CheckpointError, match=r"SequenceClassification.*has 5 outputs"):
        read_layout(tmp_path)


@pytest.mark.parametrize("key", ["value_head", "v_head.summary", "regression_head"])
def test_two_outputs_of_a_value_head_are_refused(tmp_path: Path, key: str) -> None:
    layouts.body(tmp_path, {f"{key}.weight": layouts.numbers(2, 32)})
    with pytest.raises(CheckpointError, match="has 2 outputs"):
        read_layout(tmp_path)


def test_one_output_a_token_is_refused(tmp_path: Path) -> None:
    layouts.token_prm(tmp_path)
    weights = layouts.weights_of(tmp_path)
    weights["score.weight"] = weights["score.weight"][:1].clone()
    layouts.save_weights(tmp_path, weights)
    with pytest.raises(CheckpointError, match=r"ForTokenClassification.*has 1 outputs"):
        read_layout(tmp_path)


def test_armorm_is_refused_by_name(tmp_path: Path) -> None:
    head = {"regression_layer.weight": layouts.numbers(7, 32)}
    layouts.body(tmp_path, head, architectures=["LlamaForRewardModelWithGating"])
    with pytest.raises(CheckpointError, match=r"ArmoRM.*not supported"):
        read_layout(tmp_path)


def test_a_deeper_head_is_refused(tmp_path: Path) -> None:
    layouts.qwen_rm(tmp_path)
    extra = {"score.4.weight": layouts.numbers(1, 1)}
    layouts.save_weights(tmp_path, {**layouts.weights_of(tmp_path), **extra})
    with pytest.raises(CheckpointError, match=r"score\.4\.weight"):
        read_layout(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[1]", "null", "\udcff"])
def test_a_broken_config_is_named(tmp_path: Path, content: str) -> None:
    layouts.sequence(tmp_path)
    data = content.encode(errors="surrogateescape")
    (tmp_path / "config.json").write_bytes(data)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        read_layout(tmp_path)


def test_a_config_that_transformers_refuses(tmp_path: Path) -> None:
    layouts.sequence(tmp_path)
    layouts.edit_config(tmp_path, hidden_size="wide")
    with pytest.raises(CheckpointError, match=r"refuses .*config\.json"):
        read_layout(tmp_path)


def test_no_config(tmp_path: Path) -> None:
    layouts.sequence(tmp_path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"There is no config\.json"):
        read_layout(tmp_path)


def test_a_model_that_needs_its_own_code_is_refused(tmp_path: Path) -> None:
    layouts.v_head(tmp_path)
    layouts.edit_config(tmp_path, model_type="internlm2")
    with pytest.raises(CheckpointError, match=r"'internlm2'.*auto_map.*not run"):
        read_layout(tmp_path)


def test_a_config_without_model_type_is_refused(tmp_path: Path) -> None:
    layouts.sequence(tmp_path)
    layouts.edit_config(tmp_path, model_type=None)
    with pytest.raises(CheckpointError, match="model_type 'None'"):
        read_layout(tmp_path)


def test_a_broken_tokenizer_is_named(tmp_path: Path) -> None:
    layouts.token_prm(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"tokenizer\.json holds no tokenizer"):
        read_layout(tmp_path)


def test_a_tokenizer_folder_without_tokenizer(tmp_path: Path) -> None:
    folder = layouts.sequence(tmp_path / "rm")
    with pytest.raises(CheckpointError, match="There is no tokenizer in"):
        read_layout(folder, tokenizer=tmp_path)


def test_an_encoder_that_reads_tokens_is_refused(tmp_path: Path) -> None:
    folder = layouts.encoder(tmp_path)
    layouts.edit_config(folder, architectures=["BertForTokenClassification"])
    with pytest.raises(CheckpointError, match="both directions"):
        read_layout(folder)


def test_a_head_for_an_encoder_is_refused(tmp_path: Path) -> None:
    folder = layouts.encoder(tmp_path / "bert")
    head = tmp_path / "head.safetensors"
    save_file({"w": layouts.numbers(1, 32)}, head)
    with pytest.raises(CheckpointError, match="cannot be the head of bert"):
        read_layout(folder, head=head)


def test_a_model_without_text_is_refused(tmp_path: Path) -> None:
    layouts.trl(tmp_path)
    layouts.edit_config(tmp_path, model_type="resnet", hidden_size=None)
    with pytest.raises(CheckpointError, match="no hidden_size"):
        read_layout(tmp_path)


@pytest.mark.parametrize(
    ("config", "attention"),
    [
        ({"model_type": "llama"}, "full"),
        ({"model_type": "mistral"}, "sliding"),
        ({"model_type": "mistral", "sliding_window": None}, "full"),
        ({"model_type": "qwen2"}, "full"),
        ({"model_type": "qwen2", "use_sliding_window": True}, "sliding"),
        ({"model_type": "gemma2"}, "sliding"),
        ({"model_type": "gemma3_text"}, "sliding"),
        ({"model_type": "mamba"}, "recurrent"),
        ({"model_type": "jamba"}, "recurrent"),
        ({"model_type": "qwen3_next"}, "recurrent"),
        ({"model_type": "bert"}, "bidirectional"),
        ({"model_type": "modernbert"}, "bidirectional"),
        ({"model_type": "bart"}, "bidirectional"),
    ],
)
def test_what_a_position_sees(config: dict[str, object], attention: str) -> None:
    native = native_config(config, Path("config.json"))
    assert attention_of(native) == attention
    if attention != "bidirectional":
        assert can_keep_prefix(native) == (attention == "full")


def test_context() -> None:
    roberta = AutoConfig.for_model("roberta", max_position_embeddings=514)
    assert context_of(roberta) == 512
    assert context_of(AutoConfig.for_model("mamba")) is None


def test_reading_a_layout_loads_no_torch(tmp_path: Path) -> None:
    layouts.sequence(tmp_path)
    code = (
        "import sys\n"
        "import langchain_agentrm.reward_models.layout\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("key", "shape"),
    [("score.2.weight", (1, 31)), ("score.0.bias", (31,)), ("score.0.weight", (32, 3))],
)
def test_layers_of_a_head_that_do_not_fit(
    tmp_path: Path, key: str, shape: tuple[int, ...]
) -> None:
    layouts.qwen_rm(tmp_path)
    changed = {**layouts.weights_of(tmp_path), key: torch.ones(*shape)}
    layouts.save_weights(tmp_path, changed)
    with pytest.raises(CheckpointError, match="32 wide") as caught:
        read_layout(tmp_path)
    assert key in str(caught.value)


@pytest.mark.parametrize("shape", [(), (32,), (1, 1, 32)])
def test_a_head_that_is_no_matrix(tmp_path: Path, shape: tuple[int, ...]) -> None:
    layouts.body(tmp_path, {"score.weight": torch.ones(shape)})
    with pytest.raises(CheckpointError, match=r"'score\.weight'.*has the shape"):
        read_layout(tmp_path)


def test_a_decoder_that_reads_both_ways_is_loaded_whole(tmp_path: Path) -> None:
    folder = layouts.family(tmp_path, "gemma3_text")
    layouts.edit_config(folder, use_bidirectional_attention=True)
    found = read_layout(folder)
    assert found.attention == "bidirectional"
    assert found.kind is Kind.ENCODER
