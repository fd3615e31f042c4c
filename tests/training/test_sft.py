# ruff: noqa: E402 - what is tested imports the extra that may be absent
from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.testing.mini_checkpoint import (
    CHAT_TEMPLATE,
    write_mini_checkpoint,
)

for _name in ("trl", "peft", "datasets"):
    pytest.importorskip(_name, reason="the train extra is absent")

from langchain_agentrm.training._finetune import Base
from langchain_agentrm.training._sft_rows import IGNORED, encode_rows
from langchain_agentrm.training._templates import (
    choose_template,
    pinned,
    plain,
    shipped,
)
from langchain_agentrm.training.dialogues import DialoguesConfig, convert_dialogues
from langchain_agentrm.training.sft import FineTuneConfig, fine_tune, prepare

MARKED = CHAT_TEMPLATE.replace(
    "<|assistant|>{{ m['content'] }}<|end|>",
    "<|assistant|>{% generation %}{{ m['content'] }}<|end|>{% endgeneration %}",
)
HEADER = "<|start_header_id|>{}<|end_header_id|>\n\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A tiny Llama, its training template, and forty episodes."""
    root = tmp_path_factory.mktemp("sft")
    write_mini_checkpoint(root / "base", context=256, initializer_range=0.1)
    (root / "mini.jinja").write_text(MARKED)
    rows = [
        {
            "id": i,
            "messages": [
                {"role": "user", "content": "rules"},
                {"role": "assistant", "content": "OK"},
                {"role": "user", "content": f"go to {i % 7}"},
                {"role": "assistant", "content": f"walk {i % 7}"},
                {"role": "user", "content": "there"},
                {"role": "assistant", "content": "stop"},
            ],
        }
        for i in range(40)
    ]
    (root / "walk.json").write_text(json.dumps(rows))
    convert_dialogues(
        DialoguesConfig(val_share=0.2), [root / "walk.json"], root / "data"
    )
    return root


def _config(made, **settings):
    options = {
        "base": str(made / "base"),
        "template": str(made / "mini.jinja"),
        "batch": 8,
        "per_device": 4,
        "epochs": 3,
        "lr": 5e-3,
        "max_tokens": 128,
        "save_every": 2,
        "precision": "float32",
    }
    return FineTuneConfig(**{**options, **settings})


def _weights(folder):
    return AutoModelForCausalLM.from_pretrained(folder).state_dict()


def _counts(folder):
    return json.loads((folder / "manifest.json").read_text())["counts"]


def test_the_batch_has_labels_on_flagged_messages_and_nowhere_else(made, tmp_path):
    config = _config(made)
    source = made / "data" / "trajectories.jsonl"
    run = prepare(config, Base(config.base), source, tmp_path, lambda *_, **__: None)
    seen = 0
    for batch in run.trainer.get_train_dataloader():
        for ids, labels in zip(batch["input_ids"], batch["labels"], strict=True):
            text = run.tokenizer.decode(ids[ids != run.tokenizer.pad_token_id])
            place = text.split("go to ")[1][0]
            rest = f"<|user|>rules<|end|><|assistant|>OK<|end|><|user|>go to {place}"
            learned = f"walk {place}<|end|>", "stop<|end|>"
            assert text == (
                f"{rest}<|end|><|assistant|>{learned[0]}"
                f"<|user|>there<|end|><|assistant|>{learned[1]}"
            )
            spans, kept = [], [i for i, x in enumerate(labels) if x != IGNORED]
            for i in kept:
                if not spans or spans[-1][-1] != i - 1:
                    spans.append([])
                spans[-1].append(i)
            found = [run.tokenizer.decode([labels[i] for i in s]) for s in spans]
            assert tuple(found) == learned
            assert all(labels[i] == ids[i] for i in kept)
            seen += 1
    assert seen == len(run.train.input_ids) > 20
    assert run.train.trained == seen * sum(len(t) for t in ("walk 1", "stop", "EE"))


class _Killed(Exception):
    pass


def _kill_at(step):
    def progress(done, _total, **_figures):
        if done >= step:
            raise _Killed

    return progress


@pytest.fixture(scope="module")
def whole(made):
    fine_tune(_config(made), made / "data", made / "whole")
    return made / "whole"


def test_it_learns_and_leaves_a_plain_model_folder(made, whole):
    counts = _counts(whole)
    losses = [e["loss"] for e in counts["history"] if "loss" in e]
    assert len(losses) == counts["steps"]
    assert losses[-1] < 0.7 * losses[0]
    assert [e["eval_loss"] for e in counts["history"] if "eval_loss" in e][-1] < 4
    assert counts["trained_parameters"] == counts["parameters"]
    names = {p.name for p in whole.iterdir()}
    assert {"model.safetensors", "config.json", "agentrm.json"} <= names
    assert not names & {"checkpoints", "training_args.bin"}
    card = json.loads((whole / "agentrm.json").read_text())
    assert card["kind"] == "policy"
    assert card["template"] == "mini.jinja"
    tokenizer = AutoTokenizer.from_pretrained(whole)
    assert tokenizer.chat_template == CHAT_TEMPLATE
    assert tokenizer.pad_token == "<pad>"
    stamp = (whole / "model.safetensors").stat().st_mtime_ns
    fine_tune(_config(made), made / "data", whole)
    assert (whole / "model.safetensors").stat().st_mtime_ns == stamp


@pytest.mark.parametrize("step", [3, 5, 8])
def test_a_stopped_run_goes_on_to_the_same_step_and_weights(
    made, whole, tmp_path, step
):
    with pytest.raises(_Killed):
        fine_tune(_config(made), made / "data", tmp_path, progress=_kill_at(step))
    assert not (tmp_path / "manifest.json").exists()
    with pytest.raises(ConfigurationError, match=r"lr=0\.005, now lr=0\.001"):
        fine_tune(_config(made, lr=1e-3), made / "data", tmp_path)
    fine_tune(_config(made), made / "data", tmp_path)
    assert _counts(tmp_path)["steps"] == _counts(whole)["steps"]
    ours, theirs = _counts(tmp_path)["history"], _counts(whole)["history"]
    for one, other in zip(ours, theirs, strict=True):
        assert one == pytest.approx(other, rel=1e-4)
    one, other = _weights(tmp_path), _weights(whole)
    for name in other:
        torch.testing.assert_close(one[name], other[name], rtol=1e-4, atol=1e-6)


def test_a_checkpoint_that_a_kill_left_half_written_is_passed_over(
    made, whole, tmp_path
):
    with pytest.raises(_Killed):
        fine_tune(_config(made), made / "data", tmp_path, progress=_kill_at(5))
    steps = {"checkpoint-2", "checkpoint-4"}
    saved = tmp_path / "checkpoints"
    assert {p.name for p in saved.glob("checkpoint-*")} == steps
    (saved / "checkpoint-4" / "optimizer.pt").unlink()
    state = saved / "checkpoint-4" / "trainer_state.json"
    state.write_text(state.read_text()[:40])
    fine_tune(_config(made), made / "data", tmp_path)
    one, other = _weights(tmp_path), _weights(whole)
    for name in other:
        torch.testing.assert_close(one[name], other[name], rtol=1e-4, atol=1e-6)


# PEFT asks for the old name of an attribute that transformers renamed.
@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated")
def test_lora_is_merged_into_the_folder(made, tmp_path):
    config = _config(made, mode="lora", rank=4, alpha=8, dropout=0.0, epochs=1)
    fine_tune(config, made / "data", tmp_path / "out")
    counts = _counts(tmp_path / "out")
    assert 0 < counts["trained_parameters"] < 0.5 * counts["parameters"]
    from peft import PeftModel

    base = AutoModelForCausalLM.from_pretrained(made / "base")
    ids = torch.tensor([[1, 70, 80, 90, 3]])
    with torch.inference_mode():
        plain_logits = base(ids).logits
        adapted = PeftModel.from_pretrained(base, tmp_path / "out" / "adapter")
        wanted = adapted(ids).logits
        merged = AutoModelForCausalLM.from_pretrained(tmp_path / "out")(ids).logits
    torch.testing.assert_close(merged, wanted, rtol=1e-4, atol=1e-5)
    assert (wanted - plain_logits).abs().max() > 1e-3


def test_accumulating_gradients_changes_nothing(made, tmp_path):
    for per_device in (1, 8):
        config = _config(made, per_device=per_device, epochs=1)
        fine_tune(config, made / "data", tmp_path / str(per_device))
    histories = [_counts(tmp_path / name)["history"] for name in ("1", "8")]
    for one, other in zip(*histories, strict=True):
        for name in {"grad_norm", "loss"} & one.keys():
            assert one[name] == pytest.approx(other[name], rel=1e-3)


_TWO = """
import json, sys
from pathlib import Path
from langchain_agentrm.training.sft import FineTuneConfig, fine_tune
config, data, out = sys.argv[1:]
done = fine_tune(FineTuneConfig(**json.loads(config)), Path(data), Path(out))
assert done["counts"]["processes"] == 2
"""


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one(made, whole, tmp_path):
    script = tmp_path / "two.py"
    script.write_text(_TWO)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command = [
        *launcher,
        "--nproc_per_node=2",
        str(script),
        _config(made).model_dump_json(),
        str(made / "data"),
        str(tmp_path / "out"),
    ]
    path = os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")])  # noqa: PTH109
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    ours, theirs = _counts(tmp_path / "out"), _counts(whole)
    assert ours["steps"] == theirs["steps"]
    # Only the steps that are full: two processes even out an epoch's last one by
    # taking rows twice.
    full = ours["rows"] // 8
    for one, other in zip(ours["history"][:full], theirs["history"], strict=False):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-3)
        assert one["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-3)


def test_options_that_cannot_work_are_refused(made, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="batch=6 is no multiple"):
        _config(made, batch=6)
    with pytest.raises(ConfigurationError, match="None of 40 rows"):
        fine_tune(_config(made, max_tokens=20), made / "data", tmp_path)
    with pytest.raises(ConfigurationError, match="No training template is known"):
        fine_tune(_config(made, template=None), made / "data", tmp_path)
    with pytest.raises(ConfigurationError, match="is no file, and none of llama3"):
        fine_tune(_config(made, template="llama9"), made / "data", tmp_path)
    unmarked = tmp_path / "a.jinja"
    unmarked.write_text(CHAT_TEMPLATE)
    with pytest.raises(ConfigurationError, match="no generation markers"):
        fine_tune(_config(made, template=str(unmarked)), made / "data", tmp_path)
    with pytest.raises(ConfigurationError, match="can pad: absent"):
        fine_tune(_config(made, pad_token="<|end|>"), made / "data", tmp_path)
    if not torch.cuda.is_available():
        with pytest.raises(ConfigurationError, match="no GPU"):
            fine_tune(_config(made, precision="bf16"), made / "data", tmp_path)
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(ConfigurationError, match="among 3 processes"):
        fine_tune(_config(made), made / "data", tmp_path)
    assert not (tmp_path / "manifest.json").exists()


def test_a_long_row_ends_with_its_last_whole_action(made):
    tokenizer = AutoTokenizer.from_pretrained(made / "base")
    row = {
        "id": "a",
        "messages": [
            {"role": "user", "content": "go", "train": False},
            {"role": "assistant", "content": "one", "train": True},
            {"role": "user", "content": "seen", "train": False},
            {"role": "assistant", "content": "two", "train": True},
        ],
    }
    whole_row = encode_rows(tokenizer, MARKED, [row], 100)
    length = len(whole_row.input_ids[0])
    assert whole_row.shortened == 0
    cut = encode_rows(tokenizer, MARKED, [row], length - 1)
    assert tokenizer.decode(cut.input_ids[0]) == (
        "<|user|>go<|end|><|assistant|>one<|end|>"
    )
    assert (cut.shortened, cut.trained) == (1, 4)
    none = encode_rows(tokenizer, MARKED, [row], 8)
    assert (none.input_ids, none.dropped) == ([], ["a"])
    once = "{% generation %}" + CHAT_TEMPLATE + "{% endgeneration %}"
    with pytest.raises(ConfigurationError, match="marks 1 spans in row 'a'"):
        encode_rows(tokenizer, once, [row], 100)


@pytest.fixture(scope="module")
def llama(made):
    """A byte-level tokenizer with Llama 3's special tokens."""
    tokenizer = AutoTokenizer.from_pretrained(made / "base")
    names = ["begin_of_text", "start_header_id", "end_header_id", "eot_id"]
    tokenizer.add_special_tokens(
        {
            "bos_token": "<|begin_of_text|>",
            "additional_special_tokens": [f"<|{n}|>" for n in names],
        }
    )
    return tokenizer


CHATS = {
    "plain": [
        {"role": "user", "content": " rules \n"},
        {"role": "assistant", "content": "OK", "train": False},
        {"role": "user", "content": "task"},
        {"role": "assistant", "content": " Action: look", "train": True},
    ],
    "system": [
        {"role": "system", "content": "You play. "},
        {"role": "user", "content": "task"},
        {"role": "assistant", "content": "look", "train": None},
        {"role": "user", "content": "seen"},
    ],
}
WRITTEN = {
    ("llama3", "plain"): [
        *("user", "rules", "assistant", "OK", "user", "task"),
        *("assistant", "Action: look"),
    ],
    ("llama3", "system"): [
        *("system", "You play.", "user", "task", "assistant", "look", "user", "seen")
    ],
}
DATES = "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"


def _written(name, chat):
    flat = WRITTEN["llama3", chat]
    if name == "llama3_1":
        flat = (
            ["system", DATES + flat[1], *flat[2:]]
            if chat == "system"
            else ["system", DATES, *flat]
        )
    return "<|begin_of_text|>" + "".join(
        HEADER.format(role) + text + "<|eot_id|>"
        for role, text in zip(flat[::2], flat[1::2], strict=True)
    )


@pytest.mark.parametrize("chat", CHATS)
@pytest.mark.parametrize("name", ["llama3", "llama3_1"])
def test_templates_write_llamas_text_and_mark_what_is_flagged(llama, name, chat):
    template = shipped(name).text
    text = llama.apply_chat_template(
        CHATS[chat], chat_template=template, tokenize=False
    )
    assert text == _written(name, chat)
    bare = llama.apply_chat_template(
        CHATS[chat], chat_template=plain(template), tokenize=False
    )
    assert bare == text
    opened = llama.apply_chat_template(
        CHATS[chat], chat_template=template, tokenize=False, add_generation_prompt=True
    )
    assert opened == text + HEADER.format("assistant")
    made = llama.apply_chat_template(
        CHATS[chat],
        chat_template=template,
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    marked = [
        i for i, m in zip(made["input_ids"], made["assistant_masks"], strict=True) if m
    ]
    wanted = {"plain": "Action: look<|eot_id|>", "system": "look<|eot_id|>"}
    assert llama.decode(marked) == wanted[chat]


@pytest.mark.parametrize(
    ("official", "ours"),
    [("llama3", "llama3"), ("llama3_1", "llama3_1"), ("llama3_2", "llama3_1")],
)
def test_templates_equal_the_models_own(llama, official, ours):
    """TRL carries the models' own templates, to know them by."""
    import trl

    path = Path(trl.__file__).parent / "chat_templates" / f"{official}.jinja"
    own = path.read_text(encoding="utf-8")
    llama.chat_template = own
    assert choose_template(llama, None).name == ours
    fixed = pinned(own)
    assert (fixed == own) is (official != "llama3_2")
    for chat, flagged in CHATS.items():
        messages = [{k: m[k] for k in ("role", "content")} for m in flagged]
        text = llama.apply_chat_template(messages, chat_template=fixed, tokenize=False)
        assert text == _written(ours, chat)
    if official != "llama3":
        dated = llama.apply_chat_template(
            messages, chat_template=fixed, tokenize=False, date_string="01 Jan 2030"
        )
        assert "Today Date: 01 Jan 2030" in dated


def test_other_models_use_what_trl_knows(llama):
    import trl

    path = Path(trl.__file__).parent / "chat_templates" / "qwen3.jinja"
    llama.chat_template = path.read_text(encoding="utf-8")
    assert choose_template(llama, None).name == "trl"
    llama.chat_template = MARKED
    assert choose_template(llama, None).name == "own"
    llama.chat_template = None
    with pytest.raises(ConfigurationError, match="no chat template"):
        choose_template(llama, None)


def test_an_unused_token_pads_where_the_end_of_turn_would(made, tmp_path):
    from langchain_agentrm.training._finetune import load_tokenizer

    shutil.copytree(made / "base", tmp_path / "base")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "base")
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.save_pretrained(tmp_path / "base")
    assert load_tokenizer(Base(str(tmp_path / "base")), None).pad_token == "<pad>"
