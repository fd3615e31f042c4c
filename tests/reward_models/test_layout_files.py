from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from langchain_agentrm.errors import CheckpointError
from langchain_agentrm.reward_models.layout import Kind, read_layout
from langchain_agentrm.testing.mini_checkpoint import write_mini_checkpoint
from tests.reward_models import layouts


def test_shards_are_all_read(tmp_path: Path) -> None:
    whole = read_layout(layouts.trl(tmp_path / "one"))
    parts = read_layout(layouts.shard(layouts.trl(tmp_path / "three")))
    assert [s.name[:11] for s in parts.shards] == [f"model-0000{i}" for i in (1, 2, 3)]
    assert parts.parameters == whole.parameters
    assert parts.kind is Kind.TRL


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt"])
def test_pickles_are_refused(tmp_path: Path, name: str) -> None:
    layouts.sequence(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / name)
    with pytest.raises(CheckpointError, match="safetensors") as caught:
        read_layout(tmp_path)
    assert name in str(caught.value)


def test_no_weights_at_all(tmp_path: Path) -> None:
    layouts.sequence(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"no model\.safetensors and no"):
        read_layout(tmp_path)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    layouts.shard(layouts.sequence(tmp_path))
    lost = "model-00002-of-00003.safetensors"
    (tmp_path / lost).unlink()
    with pytest.raises(CheckpointError, match=lost):
        read_layout(tmp_path)


def test_a_key_that_no_shard_has_is_named(tmp_path: Path) -> None:
    layouts.shard(layouts.sequence(tmp_path))
    file = tmp_path / "model.safetensors.index.json"
    index = json.loads(file.read_text())
    index["weight_map"]["model.more"] = "model-00002-of-00003.safetensors"
    file.write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=r"lacks 'model\.more'"):
        read_layout(tmp_path)


def test_an_index_cannot_point_elsewhere(tmp_path: Path) -> None:
    layouts.shard(layouts.sequence(tmp_path))
    file = tmp_path / "model.safetensors.index.json"
    index = json.loads(file.read_text())
    index["weight_map"]["score.weight"] = "../other.safetensors"
    file.write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match="not a plain file name"):
        read_layout(tmp_path)


@pytest.mark.parametrize("content", ["[]", "{}", '{"weight_map": {}}', "{oops"])
def test_a_broken_index_is_named(tmp_path: Path, content: str) -> None:
    layouts.shard(layouts.sequence(tmp_path))
    (tmp_path / "model.safetensors.index.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"index\.json"):
        read_layout(tmp_path)


def test_shards_without_index(tmp_path: Path) -> None:
    layouts.shard(layouts.sequence(tmp_path))
    (tmp_path / "model.safetensors.index.json").unlink()
    with pytest.raises(
        CheckpointError, match=r"but no model\.safetensors\.index\.json"
    ):
        read_layout(tmp_path)


@pytest.mark.parametrize("keep", [0, 5, 40, 3000, -1])
def test_a_file_that_was_cut_off_is_named(tmp_path: Path, keep: int) -> None:
    layouts.sequence(tmp_path)
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match="damaged") as caught:
        read_layout(tmp_path)
    assert str(file) in str(caught.value)


def test_an_adapter_names_its_parts(tmp_path: Path) -> None:
    base = layouts.sequence(tmp_path / "base")
    adapter = layouts.lora(tmp_path / "adapter", base)
    found = read_layout(adapter)
    assert (found.adapter, found.base) == (adapter, base)
    assert found.head_keys == {
        "base_model.model.score.weight": adapter / "adapter_model.safetensors"
    }
    assert found.tokenizer == base
    assert found.parameters > read_layout(base).parameters
    assert not found.native
    assert dict(found.lines())["base"] == str(base)


def test_an_adapter_without_head_uses_that_of_its_base(tmp_path: Path) -> None:
    base = layouts.sequence(tmp_path / "base")
    found = read_layout(layouts.lora(tmp_path / "adapter", base, head=False))
    assert found.head_keys == {"score.weight": base / "model.safetensors"}
    assert not found.native


def test_an_adapter_without_any_head_is_refused(tmp_path: Path) -> None:
    base = write_mini_checkpoint(tmp_path / "base")
    adapter = layouts.lora(tmp_path / "adapter", base, head=False)
    with pytest.raises(CheckpointError, match="Neither the adapter") as caught:
        read_layout(adapter)
    assert str(base) in str(caught.value)
    assert "head=FILE" in str(caught.value)


def test_an_adapter_whose_base_is_elsewhere(tmp_path: Path) -> None:
    base = layouts.sequence(tmp_path / "base")
    adapter = layouts.lora(tmp_path / "adapter", base)
    moved = base.rename(tmp_path / "moved")
    with pytest.raises(CheckpointError, match=r"base=FOLDER_OR_ID") as caught:
        read_layout(adapter)
    assert str(base) in str(caught.value)
    assert read_layout(adapter, base=moved).base == moved


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"peft_type": "IA3"}, "'IA3'.*Only LORA"),
        ({"base_model_name_or_path": None}, "no base_model_name_or_path"),
    ],
)
def test_adapter_configs_that_do_not_work(
    tmp_path: Path, change: dict[str, object], words: str
) -> None:
    base = layouts.sequence(tmp_path / "base")
    adapter = layouts.lora(tmp_path / "adapter", base)
    file = adapter / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(CheckpointError, match=words):
        read_layout(adapter)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("base_model.model.model.embed_tokens.weight", "neither LoRA nor head"),
        ("base_model.model.score.lora_A.weight", "a LoRA of the head"),
    ],
)
def test_adapters_with_other_parts_are_refused(
    tmp_path: Path, key: str, words: str
) -> None:
    base = layouts.sequence(tmp_path / "base")
    adapter = layouts.lora(tmp_path / "adapter", base)
    save_file({key: torch.ones(1, 32)}, adapter / "adapter_model.safetensors")
    with pytest.raises(CheckpointError, match=words):
        read_layout(adapter)


def test_an_adapter_with_pickled_weights_is_refused(tmp_path: Path) -> None:
    base = layouts.sequence(tmp_path / "base")
    adapter = layouts.lora(tmp_path / "adapter", base)
    weights = adapter / "adapter_model.safetensors"
    weights.rename(adapter / "adapter_model.bin")
    with pytest.raises(CheckpointError, match=r"no adapter_model\.safetensors"):
        read_layout(adapter)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nowhere"):
        read_layout(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="nowhere"):
        read_layout("nowhere")


def test_the_hub_is_asked_for_plain_files_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    layouts.sequence(tmp_path)
    asked = {}

    def download(name: str, **options: object) -> str:
        asked.update(options, name=name)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    found = read_layout("some/model", revision="v2")
    assert found.folder == tmp_path
    assert (asked["name"], asked["revision"]) == ("some/model", "v2")
    patterns = asked["allow_patterns"]
    assert "*.safetensors" in patterns
    assert not any(p.endswith((".py", ".bin", ".pt", "*")) for p in patterns)


def test_of_a_tokenizer_from_the_hub_no_weights_are_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    folder = layouts.backbone(tmp_path / "8b")
    tokens = write_mini_checkpoint(tmp_path / "tokens")
    head = tmp_path / "head.safetensors"
    save_file({"w": layouts.numbers(1, 32)}, head)
    asked: list[str] = []

    def download(name: str, **options: list[str]) -> str:
        asked.extend(options["allow_patterns"])
        return str(tokens)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    found = read_layout(folder, head=head, tokenizer="some/tokens")
    assert found.tokenizer == tokens
    assert "tokenizer.json" in asked
    assert not any("safetensors" in pattern for pattern in asked)


def test_an_adapter_of_an_encoder_is_refused(tmp_path: Path) -> None:
    base = layouts.encoder(tmp_path / "base")
    adapter = layouts.lora(tmp_path / "adapter", base, head=False)
    key = "base_model.model.bert.encoder.layer.0.lora_A.weight"
    save_file({key: torch.ones(1, 32)}, adapter / "adapter_model.safetensors")
    with pytest.raises(CheckpointError, match="adapter of bert, an encoder"):
        read_layout(adapter)


def test_a_hub_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match="'some/model'") as caught:
        read_layout("some/model")
    assert "download it elsewhere" in str(caught.value)


def test_a_pickled_value_head_is_refused(tmp_path: Path) -> None:
    layouts.llama_factory(tmp_path)
    (tmp_path / "value_head.safetensors").rename(tmp_path / "value_head.bin")
    with pytest.raises(CheckpointError, match=r"pickle.*value_head\.bin") as caught:
        read_layout(tmp_path)
    assert "value_head.safetensors" in str(caught.value)
