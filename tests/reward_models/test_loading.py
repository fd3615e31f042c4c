from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from langchain_agentrm.errors import CheckpointError
from langchain_agentrm.reward_models._checkpoint.loading import (
    Loaded,
    check_padding,
    check_serializer,
    load_reward_model,
)
from langchain_agentrm.reward_models.layout import Layout, read_layout
from langchain_agentrm.testing.mini_checkpoint import write_mini_checkpoint
from tests.reward_models import layouts

IDS = torch.tensor([[1, 10, 20, 30, 3, 2, 40, 202, 3, 1, 70, 80, 3, 2, 90, 202]])
LAST = ["sequence", "two_classes", "trl", "llama_factory", "openrlhf", "regression"]
LAST += ["v_head", "qwen_rm"]


def load(folder: Path, **options: Any) -> Loaded:
    return load_reward_model(read_layout(folder, **options), device="cpu")


@torch.inference_mode()
def score(model: Loaded) -> float:
    if model.whole:
        return model.head.read_value(model.whole(IDS, torch.ones_like(IDS)))
    hidden = model.body(input_ids=IDS).last_hidden_state[0]
    return model.head.read_value(model.head.outputs(hidden[-1:]))


@torch.inference_mode()
def hidden_states(folder: Path) -> torch.Tensor:
    """The last layer's states, by another class of transformers."""
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    return model(IDS, output_hidden_states=True).hidden_states[-1][0]


def by_hand(name: str, folder: Path) -> float:
    t = layouts.weights_of(folder)
    if name == "llama_factory":
        from safetensors.torch import load_file

        t |= load_file(folder / "value_head.safetensors")
    if name == "qwen_rm":
        x = hidden_states(folder)[-1]
        x = (t["score.0.weight"] @ x + t["score.0.bias"]).relu()
        return float(t["score.2.weight"] @ x + t["score.2.bias"])
    key = {
        "trl": "v_head.summary",
        "llama_factory": "v_head.summary",
        "openrlhf": "value_head",
        "regression": "regression_head",
        "v_head": "v_head",
    }.get(name, "score")
    out = t[f"{key}.weight"] @ hidden_states(folder)[-1] + t.get(f"{key}.bias", 0.0)
    if name == "two_classes":
        return float(out[1] - out[0])
    return float((out - 0.5) / 2.0) if name == "openrlhf" else float(out)


@pytest.mark.parametrize("name", LAST)
def test_scores_equal_the_formula(tmp_path: Path, name: str) -> None:
    folder = layouts.WRITERS[name](tmp_path)
    assert score(load(folder)) == pytest.approx(by_hand(name, folder), abs=1e-5)


def test_given_head_and_tokenizer(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    folder = layouts.backbone(tmp_path / "8b")
    tokens = write_mini_checkpoint(tmp_path / "tokens")
    file = tmp_path / "head.safetensors"
    head = {"w": layouts.numbers(1, 32), "b": torch.tensor([0.25])}
    save_file(head, file)
    model = load(folder, head=file, tokenizer=tokens)
    expected = head["w"] @ hidden_states(tokens)[-1] + head["b"]
    assert score(model) == pytest.approx(float(expected), abs=1e-5)


@pytest.mark.parametrize("name", ["sequence", "encoder", "two_classes"])
@torch.inference_mode()
def test_scores_equal_transformers(tmp_path: Path, name: str) -> None:
    folder = layouts.WRITERS[name](tmp_path)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    logits = model(IDS).logits[0]
    value = logits[1] - logits[0] if len(logits) == 2 else logits[0]
    assert score(load(folder)) == pytest.approx(float(value), abs=1e-5)


@pytest.mark.parametrize("model_type", layouts.FAMILIES)
@torch.inference_mode()
def test_other_families_equal_transformers(tmp_path: Path, model_type: str) -> None:
    folder = layouts.family(tmp_path, model_type)
    theirs = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    model = load(folder)
    expected = float(theirs(IDS).logits[0, 0])
    assert score(model) == pytest.approx(expected, abs=1e-5)
    sliding = {"mistral", "gemma2", "gemma3_text"}
    encoders = {"roberta", "deberta-v2", "modernbert"}
    kind = model.layout.attention
    assert (kind == "sliding") == (model_type in sliding)
    assert (kind == "bidirectional") == (model_type in encoders)
    eager = model_type in {"gemma2", "deberta-v2"}
    assert model.attn == ("eager" if eager else "sdpa")


def test_an_unknown_attention_is_refused(tmp_path: Path) -> None:
    layout = read_layout(layouts.trl(tmp_path))
    with pytest.raises(CheckpointError, match="squint"):
        load_reward_model(layout, device="cpu", attn="squint")


@torch.inference_mode()
def test_an_encoder_reads_padded_batches(tmp_path: Path) -> None:
    model = load(layouts.encoder(tmp_path))
    assert model.whole is not None
    long = torch.cat([IDS, torch.zeros(1, 4, dtype=torch.long)], dim=1)
    mask = (torch.arange(20) < 16).long()[None]
    batch = model.whole(torch.cat([long, long]), torch.cat([mask, mask]))
    assert batch.shape == (2, 1)
    assert model.head.values(batch).tolist() == pytest.approx([score(model)] * 2)


@torch.inference_mode()
def test_steps_equal_transformers(tmp_path: Path) -> None:
    folder = layouts.token_prm(tmp_path)
    model = load(folder)
    theirs = AutoModelForTokenClassification.from_pretrained(folder).eval()
    places = [7, 15]
    expected = theirs(IDS).logits[0, places].softmax(-1)[:, 1]
    outputs = model.head.outputs(model.body(input_ids=IDS).last_hidden_state[0, places])
    assert model.head.values(outputs).tolist() == pytest.approx(
        expected.tolist(), abs=1e-5
    )
    assert model.head.read_value(outputs, "product") == pytest.approx(
        float(expected.prod()), abs=1e-5
    )


@torch.inference_mode()
def test_steps_of_the_qwen_shape_equal_the_formula(tmp_path: Path) -> None:
    folder = layouts.qwen_prm(tmp_path)
    model = load(folder)
    t = layouts.weights_of(folder)
    x = hidden_states(folder)[[7, 15]]
    x = (x @ t["score.0.weight"].T + t["score.0.bias"]).relu()
    logits = x @ t["score.2.weight"].T + t["score.2.bias"]
    body = model.body(input_ids=IDS).last_hidden_state[0, [7, 15]]
    torch.testing.assert_close(model.head.outputs(body), logits, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["sequence", "trl", "qwen_rm"])
def test_shards_give_the_same_scores(tmp_path: Path, name: str) -> None:
    whole = layouts.WRITERS[name](tmp_path / "one")
    parts = layouts.shard(layouts.copy(whole, tmp_path / "parts"))
    assert score(load(parts)) == score(load(whole))


# peft asks transformers for a name that transformers gives up.
@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")
@pytest.mark.parametrize("head", [True, False])
def test_a_merged_adapter_equals_peft(tmp_path: Path, head: bool) -> None:
    peft = pytest.importorskip("peft")
    base = layouts.sequence(tmp_path / "base")
    adapter = layouts.lora(tmp_path / "adapter", base, head=head)
    ours = score(load(adapter))
    if not head:
        # peft itself asks for a head in the file unless it is told of no task.
        file = adapter / "adapter_config.json"
        changes = {"task_type": None, "modules_to_save": None}
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    model = AutoModelForSequenceClassification.from_pretrained(base)
    model = peft.PeftModel.from_pretrained(model, adapter).eval()
    with torch.inference_mode():
        theirs = float(model(IDS).logits[0, 0])
    assert ours == pytest.approx(theirs, abs=1e-5)
    assert abs(ours - score(load(base))) > 1e-2


def test_an_adapter_of_a_value_head_on_a_language_model(tmp_path: Path) -> None:
    pytest.importorskip("peft")
    base = write_mini_checkpoint(tmp_path / "base")
    adapter = layouts.lora(tmp_path / "adapter", base, head=False)
    trained = layouts.llama_factory(tmp_path / "trained")
    side = "value_head.safetensors"
    (trained / side).rename(adapter / side)
    with_head = score(load(adapter))
    (adapter / side).rename(base / side)
    assert score(load(adapter)) == with_head
    assert abs(with_head - score(load(base))) > 1e-2


def test_an_adapter_of_another_model_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("peft")
    base = layouts.sequence(tmp_path / "base")
    adapter = layouts.lora(tmp_path / "adapter", base)
    small = write_mini_checkpoint(tmp_path / "small", "reward", layers=1)
    with pytest.raises(CheckpointError, match="does not fit") as caught:
        load(adapter, base=small)
    assert "base=" in str(caught.value)


def test_without_peft_an_adapter_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = layouts.sequence(tmp_path / "base")
    layout = read_layout(layouts.lora(tmp_path / "adapter", base))
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(CheckpointError, match=r"langchain-agentrm\[train\]"):
        load_reward_model(layout, device="cpu")


def test_a_weight_of_the_body_that_is_missing(tmp_path: Path) -> None:
    folder = layouts.trl(tmp_path)
    weights = layouts.weights_of(folder)
    del weights["model.layers.1.mlp.up_proj.weight"]
    layouts.save_weights(folder, weights)
    with pytest.raises(CheckpointError, match=r"1 weights .*up_proj") as caught:
        load(folder)
    assert "model.safetensors" in str(caught.value)


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    folder = layouts.trl(tmp_path)
    bias = {"model.layers.0.self_attn.q_proj.bias": torch.ones(32)}
    layouts.save_weights(folder, {**layouts.weights_of(folder), **bias})
    with pytest.raises(CheckpointError, match=r"fit nowhere.*q_proj\.bias"):
        load(folder)


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    folder = layouts.trl(tmp_path)
    layouts.edit_config(folder, intermediate_size=48)
    with pytest.raises(CheckpointError, match="do not load as a llama model"):
        load(folder)


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    folder = layouts.qwen_rm(tmp_path)
    ran = tmp_path / "ran"
    (folder / "modeling_own.py").write_text(f"open({str(ran)!r}, 'w').close()")
    layouts.edit_config(
        folder,
        auto_map=dict.fromkeys(("AutoModel", "AutoConfig"), "modeling_own.Reward"),
    )
    load(folder)
    assert not ran.exists()


def test_nothing_is_printed_and_settings_are_put_back(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from transformers.utils import logging as library_log

    folder = layouts.trl(tmp_path)
    capfd.readouterr()
    before = library_log.get_verbosity(), library_log.is_progress_bar_enabled()
    library_log.set_verbosity(logging.INFO)
    try:
        load(folder)
        assert library_log.get_verbosity() == logging.INFO
        assert library_log.is_progress_bar_enabled() == before[1]
    finally:
        library_log.set_verbosity(before[0])
    printed = capfd.readouterr()
    assert "v_head" not in printed.out + printed.err


def test_bfloat16_body_float32_head(tmp_path: Path) -> None:
    folder = layouts.trl(tmp_path)
    layout = read_layout(folder)
    model = load_reward_model(layout, device="cpu", dtype="bfloat16")
    assert {p.dtype for p in model.body.parameters()} == {torch.bfloat16}
    assert {p.dtype for p in model.head.parameters()} == {torch.float32}
    assert model.dtype == torch.bfloat16
    assert score(model) == pytest.approx(score(load(folder)), abs=0.2)


def test_a_tokenizer_without_template_is_refused(tmp_path: Path) -> None:
    folder = layouts.sequence(tmp_path)
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(CheckpointError, match="no chat template"):
        load(folder)


class TestChecks:
    @pytest.fixture
    def layout(self, tmp_path: Path) -> Layout:
        return read_layout(layouts.sequence(tmp_path))

    def test_all_is_well(self, layout: Layout) -> None:
        model = load_reward_model(layout, device="cpu")
        check_serializer(layout)
        check_padding(layout, model.tokenizer, model.config)

    def test_no_padding_token(self, layout: Layout) -> None:
        model = load_reward_model(layout, device="cpu")
        model.tokenizer.pad_token = None
        with pytest.raises(CheckpointError, match="no padding token"):
            check_padding(layout, model.tokenizer, model.config)

    def test_padding_that_ends_a_turn(self, tmp_path: Path) -> None:
        write_mini_checkpoint(tmp_path, "reward", broken="pad_is_eos")
        model = load(tmp_path)
        with pytest.raises(CheckpointError, match="one token early"):
            check_padding(model.layout, model.tokenizer, model.config)

    def test_another_serializer(self, tmp_path: Path) -> None:
        write_mini_checkpoint(tmp_path, "reward", broken="other_serializer")
        with pytest.raises(CheckpointError, match="'agentrm-v0'"):
            check_serializer(read_layout(tmp_path))

    def test_no_manifest(self, layout: Layout) -> None:
        (layout.folder / "agentrm.json").unlink()
        with pytest.warns(UserWarning, match=r"agentrm\.json is missing"):
            check_serializer(read_layout(layout.folder))

    def test_a_manifest_without_serializer(self, layout: Layout) -> None:
        (layout.folder / "agentrm.json").write_text('{"kind": "reward"}')
        with pytest.warns(UserWarning, match="does not name a serializer"):
            check_serializer(read_layout(layout.folder))
