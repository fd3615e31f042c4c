"""Padded attention heads give the scores of the heads they were made from."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    MistralConfig,
    MistralForSequenceClassification,
    Qwen2Config,
    Qwen2ForSequenceClassification,
)

from langchain_agentrm.errors import CheckpointError
from langchain_agentrm.reward_models._vllm.heads import CPU_WIDTHS, head_width, widen
from langchain_agentrm.testing.mini_checkpoint import write_mini_checkpoint

SHAPE = {
    "vocab_size": 64,
    "hidden_size": 48,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "num_labels": 1,
    "initializer_range": 0.3,
}


def qwen(folder):
    model = Qwen2ForSequenceClassification(Qwen2Config(**SHAPE))
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter)
    model.save_pretrained(folder)


def mistral(folder):
    config = MistralConfig(**SHAPE, head_dim=20, sliding_window=None)
    MistralForSequenceClassification(config).save_pretrained(folder)


def llama(folder):
    write_mini_checkpoint(folder, "reward")


@pytest.mark.parametrize("write", [llama, qwen, mistral])
def test_scores_stay_as_they_are(write, tmp_path):
    torch.manual_seed(0)
    write(tmp_path / "old")
    folder = widen(tmp_path / "old", tmp_path / "new")
    config = json.loads((folder / "config.json").read_text())
    assert head_width(config) == 32
    ids = torch.randint(4, 60, (3, 200))
    scores = []
    for path in (tmp_path / "old", folder):
        model = AutoModelForSequenceClassification.from_pretrained(
            path, dtype=torch.float32
        ).eval()
        with torch.inference_mode():
            scores.append(model(ids).logits)
    assert scores[0].std() > 0.01
    assert (scores[0] - scores[1]).abs().max() < 1e-4 * scores[0].std()


def test_the_tokenizer_goes_along(tmp_path):
    llama(tmp_path / "old")
    folder = widen(tmp_path / "old", tmp_path / "new")
    old = {f.name for f in (tmp_path / "old").iterdir()}
    assert {f.name for f in folder.iterdir()} == old


@pytest.mark.parametrize(
    "change",
    [
        {"model_type": "gemma2"},
        {"head_dim": 1024},
        {"rope_parameters": {"rope_type": "llama3", "rope_theta": 1e4}},
    ],
)
def test_what_cannot_be_padded_is_refused(change, tmp_path):
    llama(tmp_path / "old")
    file = tmp_path / "old" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(CheckpointError, match="AgentRM"):
        widen(tmp_path / "old", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_widths_are_read_where_a_config_has_them():
    assert head_width({"hidden_size": 96, "num_attention_heads": 4}) == 24
    assert head_width({"text_config": {"head_dim": 64}}) == 64
    assert head_width({}) is None
    assert all(width % 2 == 0 for width in CPU_WIDTHS)
