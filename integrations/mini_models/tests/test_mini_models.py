from __future__ import annotations

import json
from importlib.metadata import entry_points

import pytest

import langchain_agentrm_mini_models as package
from langchain_agentrm.errors import CheckpointError
from langchain_agentrm.trajectory import SERIALIZER


def test_entry_point_leads_to_the_function():
    (entry,) = entry_points(group="langchain_agentrm.models", name="babyai")
    assert entry.load() is package.babyai


def test_both_folders_are_safetensors_checkpoints_of_this_rendering():
    for folder in package.babyai():
        config = json.loads((folder / "config.json").read_text())
        assert config["model_type"]
        assert (folder / "tokenizer.json").is_file()
        assert not list(folder.glob("*.bin")), "a pickle may run code when loaded"
        about = json.loads((folder / "agentrm.json").read_text())
        assert about["serializer"] == SERIALIZER


def test_the_reward_model_has_one_output():
    folder = package.babyai().reward_model
    config = json.loads((folder / "config.json").read_text())
    (architecture,) = config["architectures"]
    assert architecture.endswith("ForSequenceClassification")


def test_missing_weights_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(package, "_HOME", tmp_path)
    with pytest.raises(CheckpointError, match=r"policy.model\.safetensors.*Reinstall"):
        package.babyai()
