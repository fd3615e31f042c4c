from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.nn import functional
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    Trainer,
    TrainingArguments,
)
from typer.testing import CliRunner

from langchain_agentrm._tokens import ChatTokens
from langchain_agentrm.cli._stages import read_recipe
from langchain_agentrm.cli.train import app
from langchain_agentrm.errors import CheckpointError, ConfigurationError
from langchain_agentrm.reward_models import AgentRM
from langchain_agentrm.testing.mini_checkpoint import write_mini_checkpoint
from langchain_agentrm.training._checkpoints import last_checkpoint
from langchain_agentrm.training._examples import (
    Example,
    encode,
    examples_of,
    family_units,
    path_units,
)
from langchain_agentrm.training._regression import UnitCollator, ValueTrainer
from langchain_agentrm.training._trainer import Listed
from langchain_agentrm.training._value_model import (
    check_reading,
    choose_padding,
    new_value_model,
    quantized,
)
from langchain_agentrm.training.explicit import ExplicitConfig, train_explicit
from langchain_agentrm.training.implicit import ImplicitConfig
from langchain_agentrm.training.samples import LabelledPath, TaskSamples
from langchain_agentrm.trajectory import Trajectory, Turn

pytest.importorskip("accelerate", reason="the trainer needs accelerate: [train]")

QUICK = ExplicitConfig(
    epochs=2, batch_size=4, accumulate=1, lr=3e-3, evaluations=2, max_length=512
)
VALUES = {"add 1": 0.2, "add 2": 0.9, "done": 0.0}


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def task(number, *, ends=1.0):
    """Three first actions that differ in value, and a last one after each."""
    paths = [
        LabelledPath(
            [(action, f"see: {i}"), ("done", "end")],
            [(value, 4), (round(value) * ends, 2)],
            float(round(value)),
            2,
        )
        for i, (action, value) in enumerate(VALUES.items())
    ]
    where = {"env": "count", "type": "plain", "id": f"plain:{number}", "seed": number}
    return TaskSamples(where, f"goal: {number}.", "see: 0", paths)


def write(folder, **tasks):
    folder.mkdir(parents=True, exist_ok=True)
    for name, numbers in tasks.items():
        rows = [json.dumps(task(number).plain()) for number in numbers]
        (folder / f"{name}.jsonl").write_text("".join(row + "\n" for row in rows))
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return write_mini_checkpoint(tmp_path_factory.mktemp("base"), seed=3)


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    root = tmp_path_factory.mktemp("samples")
    return write(root, train=range(24), val=range(100, 112))


@pytest.fixture(scope="module")
def made(base, samples, tmp_path_factory):
    out = tmp_path_factory.mktemp("explicit") / "rm"
    manifest = train_explicit(QUICK, samples, base, out)
    return out, manifest


def paths_of(numbers):
    return [e.trajectory for n in numbers for e in examples_of(task(n))]


# --- examples and units -------------------------------------------------------------


def test_examples_end_with_the_action_and_name_their_parent():
    examples = examples_of(task(0))
    assert [e.value for e in examples] == [0.2, 0.0, 0.9, 1.0, 0.0, 0.0]
    assert [e.depth for e in examples] == [1, 2] * 3
    assert examples[3].messages == [
        {"role": "user", "content": "goal: 0.\nsee: 0"},
        {"role": "assistant", "content": "add 2"},
        {"role": "user", "content": "see: 1"},
        {"role": "assistant", "content": "done"},
    ]
    assert len({e.parent for e in examples[::2]}) == 1
    assert len({e.parent for e in examples[1::2]}) == 3
    assert examples_of(task(1))[0].parent != examples[0].parent


def test_path_units_read_a_prefix_in_the_longer_text(base):
    tokens = ChatTokens(AutoTokenizer.from_pretrained(base))
    examples = examples_of(task(0))
    ids = encode(tokens, examples, 512)
    units = path_units(dict(enumerate(ids)))
    assert len(units) == 3
    reads = {n: (unit.texts[row], at) for unit in units for row, at, n in unit.reads}
    assert sorted(reads) == list(range(6))
    for number, (text, at) in reads.items():
        assert text[: at + 1] == ids[number]


def test_family_units_pair_the_better_with_the_worse(base):
    tokens = ChatTokens(AutoTokenizer.from_pretrained(base))
    examples = examples_of(task(0))
    texts = dict(enumerate(encode(tokens, examples, 512)))
    units = family_units(texts, examples, gap=0.1, most=8)
    first = units[0]
    assert [n for _, _, n in first.reads] == [0, 2, 4]
    pairs = [(a, b, round(gap, 6)) for a, b, gap in first.pairs]
    assert pairs == [(0, 2, 0.2), (1, 0, 0.7), (1, 2, 0.9)]
    assert all(not unit.pairs for unit in units[1:])
    parts = family_units(texts, examples, gap=0.1, most=2)
    assert max(len(unit.texts) for unit in parts) == 2
    assert sum(len(unit.reads) for unit in parts) == 6


def test_only_whole_oldest_turns_are_dropped(base):
    tokens = ChatTokens(AutoTokenizer.from_pretrained(base))
    turns = tuple(Turn(f"see: a long text number {i}", f"add {i}") for i in range(12))
    example = Example(Trajectory(turns, goal="goal: 4."), 0.5, "p")
    (ids,) = encode(tokens, [example], 160)
    text = tokens.tokenizer.decode(ids)
    assert len(ids) <= 160
    assert text.startswith("<|user|>goal: 4.")
    assert text.endswith("<|assistant|>add 11<|end|>")
    assert "number 1<" not in text
    assert encode(tokens, [example], 20) == [None]


def test_samples_of_another_serializer_are_refused(samples, base, tmp_path):
    other = tmp_path / "samples"
    shutil.copytree(samples, other)
    row = {**task(0).plain(), "serializer": "agentrm-v9"}
    (other / "train.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(CheckpointError, match=r"'agentrm-v9'.*'agentrm-v1'"):
        train_explicit(QUICK, other, base, tmp_path / "out")


# --- the loss -----------------------------------------------------------------------


def first_step(base, out, *, batch, accumulate, shares=(1.0, 0.0), stock=False):
    """Loss and gradient norm of the first step over 16 units, at a rate of 0."""
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = new_value_model(base, dtype=torch.float32)
    torch.manual_seed(0)
    torch.nn.init.normal_(model.score.weight, std=0.5)
    tokens = ChatTokens(tokenizer)
    examples, units = [], []
    for number in range(16):
        first = len(examples)
        examples += examples_of(task(number))
        ids = encode(tokens, examples[first:], 512)
        texts = {first + i: text for i, text in enumerate(ids)}
        # Units of unlike size, as whole families or single ends are.
        units.append(family_units(texts, examples, gap=0.1, most=8)[number % 2])
    arguments = TrainingArguments(
        output_dir=str(out),
        per_device_train_batch_size=batch,
        gradient_accumulation_steps=accumulate,
        max_steps=1,
        learning_rate=0.0,
        max_grad_norm=1e9,
        logging_steps=1,
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        save_strategy="no",
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        seed=0,
    )
    if stock:
        rows = [
            {
                "input_ids": list(u.texts[0])[:24],
                "attention_mask": [1] * 24,
                "labels": 0.5,
            }
            for u in units
        ]
        trainer = Trainer(model=model, args=arguments, train_dataset=rows)
    else:
        trainer = ValueTrainer(
            shares=shares,
            margin=1.0,
            sharpness=2.0,
            model=model,
            args=arguments,
            train_dataset=Listed(units, [u.tokens for u in units]),
            data_collator=UnitCollator(tokenizer, examples),
        )
    trainer.train()
    log = trainer.state.log_history[0]
    return float(log["grad_norm"]), float(log["loss"])


@pytest.mark.parametrize("shares", [(1.0, 0.0), (0.0, 1.0), (1.0, 0.5)])
def test_accumulation_does_not_change_the_gradient(base, tmp_path, shares):
    whole = first_step(base, tmp_path / "a", batch=16, accumulate=1, shares=shares)
    for batch, accumulate in ((2, 8), (4, 4)):
        cut = first_step(
            base, tmp_path / "b", batch=batch, accumulate=accumulate, shares=shares
        )
        assert cut == pytest.approx(whole, rel=1e-5)


def test_the_stock_trainer_has_the_trap(base, tmp_path):
    """If this fails the library was mended, and the reason for SumTrainer is gone."""
    whole = first_step(base, tmp_path / "a", batch=16, accumulate=1, stock=True)
    cut = first_step(base, tmp_path / "b", batch=2, accumulate=8, stock=True)
    assert cut[0] == pytest.approx(8 * whole[0], rel=1e-3)


def sums(base, numbers, shares=(1.0, 1.0)):
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = new_value_model(base, dtype=torch.float32).eval()
    torch.manual_seed(1)
    torch.nn.init.normal_(model.score.weight)
    examples = [e for n in numbers for e in examples_of(task(n))]
    texts = dict(enumerate(encode(ChatTokens(tokenizer), examples, 512)))
    units = family_units(texts, examples, gap=0.1, most=8)
    trainer = ValueTrainer(
        shares=shares,
        margin=0.5,
        sharpness=3.0,
        model=model,
        args=TrainingArguments("unused", use_cpu=True, report_to="none"),
    )
    batch = UnitCollator(tokenizer, examples)(units)
    with torch.inference_mode():
        found, _ = trainer.sums(model, batch)
        values = {
            n: model(torch.tensor([ids])).logits.item() for n, ids in texts.items()
        }
    return found.tolist(), batch, units, examples, values


def test_both_terms_equal_the_sums_by_hand(base):
    found, batch, units, examples, values = sums(base, [0, 1])
    squares = sum((values[n] - examples[n].value) ** 2 for n in values)
    pairs = [
        (unit.reads[a][2], unit.reads[b][2], gap)
        for unit in units
        for a, b, gap in unit.pairs
    ]
    margins = -sum(
        functional.logsigmoid(
            torch.tensor(3.0 * (values[a] - values[b] - 0.5 * gap))
        ).item()
        for a, b, gap in pairs
    )
    assert found == pytest.approx([squares, margins], rel=1e-4)
    assert batch["totals"].tolist() == [len(examples), len(pairs)]


# --- the model ----------------------------------------------------------------------


def test_the_head_is_new_zero_and_without_bias(base):
    model = new_value_model(base, dtype=torch.float32)
    assert model.score.bias is None
    assert model.score.weight.shape == (1, model.config.hidden_size)
    assert not model.score.weight.any()


def test_padding_is_its_own_token(base, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(base)
    config = new_value_model(base, dtype=torch.float32).config
    tokenizer.pad_token = tokenizer.eos_token
    choose_padding(tokenizer, config, "x")
    assert tokenizer.pad_token == "<pad>"
    assert config.pad_token_id == tokenizer.pad_token_id != tokenizer.eos_token_id
    vocabulary = tokenizer.get_vocab()
    vocabulary.pop("<pad>")
    tokenizer.get_vocab = lambda: vocabulary
    tokenizer.pad_token = tokenizer.eos_token
    with pytest.raises(CheckpointError, match="one token early"):
        choose_padding(tokenizer, config, "x")


def test_a_model_that_looks_ahead_is_refused(base):
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = new_value_model(base, dtype=torch.float32)
    choose_padding(tokenizer, model.config, "x")
    check_reading(model, tokenizer, "x")
    assert not model.score.weight.any()
    # One layer that sees the whole text is enough to spoil values inside it.
    inner = model.model.layers[0]
    forward = inner.forward
    inner.forward = lambda hidden, *a, **k: (
        forward(hidden, *a, **k) + hidden.mean(1, keepdim=True)
    )
    with pytest.raises(CheckpointError, match="elsewhere"):
        check_reading(model, tokenizer, "x")


def test_qlora_without_a_gpu_names_the_remedy(samples, base, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ConfigurationError, match=r"no CUDA GPU.*mode='lora'"):
        quantized()
    config = QUICK.model_copy(update={"mode": "qlora"})
    with pytest.raises(ConfigurationError, match="4 bits"):
        train_explicit(config, samples, base, tmp_path / "out")


# --- the stage ----------------------------------------------------------------------


def test_the_model_learns_and_is_chosen_by_siblings(made):
    out, manifest = made
    counts = manifest["counts"]
    assert counts["examples"] == 144
    assert counts["texts"] == 72
    assert counts["val_pairs"] == 36
    chosen = counts["chosen"]
    assert chosen["siblings"] == max(e["siblings"] for e in counts["evaluations"])
    assert chosen["siblings"] > 0.9
    assert chosen["mse"] < chosen["variance"]
    card = json.loads((out / "agentrm.json").read_text())
    assert card["serializer"] == "agentrm-v1"
    assert card["objective"] == "mse"
    assert {p.name for p in out.iterdir()} >= {"config.json", "model.safetensors"}
    assert not (out / "checkpoints").exists()


def test_agentrm_scores_as_the_trained_class_does(made):
    out, _ = made
    paths = paths_of([100, 7])
    tokenizer = AutoTokenizer.from_pretrained(out)
    model = AutoModelForSequenceClassification.from_pretrained(out).eval()
    tokens = ChatTokens(tokenizer)
    examples = [Example(path, 0.0, None) for path in paths]
    with torch.inference_mode():
        plain = [
            model(torch.tensor([ids])).logits.item()
            for ids in encode(tokens, examples, 512)
        ]
    scored = AgentRM(out).score(paths).items
    assert [s.value for s in scored] == pytest.approx(plain, abs=1e-5)
    by_action = dict(zip((p.turns[-1].action for p in paths), plain, strict=True))
    assert by_action["add 2"] == max(by_action.values())


def test_a_finished_stage_is_not_run_again_nor_with_other_settings(made, samples, base):
    out, manifest = made
    assert train_explicit(QUICK, samples, base, out) == manifest
    other = QUICK.model_copy(update={"lr": 1.0})
    with pytest.raises(ConfigurationError, match=r"lr=0\.003"):
        train_explicit(other, samples, base, out)


@pytest.mark.parametrize("objective", ["pairwise", "mixed"])
def test_a_lora_model_of_pairs_scores_as_in_training(
    samples, base, tmp_path, objective
):
    pytest.importorskip("peft", reason="LoRA needs peft: [train]")
    config = QUICK.model_copy(
        update={"mode": "lora", "objective": objective, "epochs": 3.0}
    )
    manifest = train_explicit(config, samples, base, tmp_path / "rm")
    chosen = manifest["counts"]["chosen"]
    assert manifest["counts"]["pairs"] == 72
    assert chosen["siblings"] > 0.9
    assert not (tmp_path / "rm" / "model.safetensors").exists()
    examples = [e for n in range(100, 112) for e in examples_of(task(n))]
    scores = [
        s.value
        for s in AgentRM(tmp_path / "rm").score([e.trajectory for e in examples]).items
    ]
    error = sum(
        (s - e.value) ** 2 for s, e in zip(scores, examples, strict=True)
    ) / len(examples)
    assert error == pytest.approx(chosen["mse"], abs=2e-4)


@pytest.mark.parametrize("mode", ["full", "lora"])
def test_a_distribution_scores_as_its_mean(samples, base, tmp_path, mode):
    if mode == "lora":
        pytest.importorskip("peft", reason="LoRA needs peft: [train]")
    config = QUICK.model_copy(update={"mode": mode, "bins": 11, "lr": 1e-2})
    manifest = train_explicit(config, samples, base, tmp_path / "rm")
    chosen = manifest["counts"]["chosen"]
    assert chosen["siblings"] > 0.9
    examples = [e for n in range(100, 112) for e in examples_of(task(n))]
    model = AgentRM(tmp_path / "rm")
    assert model.layout.outputs == 11
    assert not model.layout.native
    assert "mean over 11 values from 0 to 1" in dict(model.layout.lines())["read"]
    scores = [s.value for s in model.score([e.trajectory for e in examples]).items]
    assert all(0 < score < 1 for score in scores)
    error = sum(
        (s - e.value) ** 2 for s, e in zip(scores, examples, strict=True)
    ) / len(examples)
    assert error == pytest.approx(chosen["mse"], abs=2e-4)
    card = json.loads((tmp_path / "rm" / "agentrm.json").read_text())
    for wrong, named in (({"low": 1, "high": 0}, "from 1.0 to 0.0"), ([], "\\[\\]")):
        card["distribution"] = wrong
        (tmp_path / "rm" / "agentrm.json").write_text(json.dumps(card))
        with pytest.raises(CheckpointError, match=named):
            AgentRM(tmp_path / "rm")


class _Killed(Exception):
    pass


def _kill_at(step):
    def progress(done, total, **figures):
        if done >= step and "siblings" in figures:
            raise _Killed

    return progress


def test_a_killed_run_goes_on_to_the_same_model(samples, base, made, tmp_path):
    out, manifest = made
    steps = manifest["counts"]["steps"]
    for number, step in enumerate((1, steps // 2, steps - 1)):
        there = tmp_path / f"rm{number}"
        with pytest.raises(_Killed):
            train_explicit(QUICK, samples, base, there, progress=_kill_at(step))
        assert not (there / "manifest.json").exists()
        again = train_explicit(QUICK, samples, base, there)
        assert again["counts"]["steps"] == steps
        keys = ("step", "siblings", "mse")
        histories = [
            [[e[k] for k in keys] for e in m["counts"]["evaluations"]]
            for m in (again, manifest)
        ]
        assert histories[0] == histories[1]
        scores = [
            [s.value for s in AgentRM(folder).score(paths_of([100])).items]
            for folder in (there, out)
        ]
        assert scores[0] == pytest.approx(scores[1], abs=1e-5)


def test_a_run_begun_with_other_settings_is_refused(samples, base, tmp_path):
    with pytest.raises(_Killed):
        train_explicit(QUICK, samples, base, tmp_path, progress=_kill_at(1))
    other = QUICK.model_copy(update={"epochs": 9.0})
    with pytest.raises(ConfigurationError, match=r"epochs=2\.0"):
        train_explicit(other, samples, base, tmp_path)


def test_a_checkpoint_that_was_cut_off_is_not_used(tmp_path):
    assert last_checkpoint(tmp_path) is None
    for name in ("checkpoint-9", "checkpoint-10", "checkpoint-11"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
        if name != "checkpoint-11":
            (tmp_path / "checkpoints" / name / "trainer_state.json").write_text("{}")
    assert last_checkpoint(tmp_path) == str(tmp_path / "checkpoints" / "checkpoint-10")
    assert not (tmp_path / "checkpoints" / "checkpoint-11").exists()


def test_held_out_tasks_without_siblings_cannot_choose(samples, base, tmp_path):
    lonely = tmp_path / "samples"
    shutil.copytree(samples, lonely)
    row = task(200).plain()
    row["paths"] = row["paths"][:1]
    (lonely / "val.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(ConfigurationError, match="select='mse'"):
        train_explicit(QUICK, lonely, base, tmp_path / "out")
    config = QUICK.model_copy(update={"select": "mse", "epochs": 1.0})
    made = train_explicit(config, lonely, base, tmp_path / "by_error")
    errors = [e["mse"] for e in made["counts"]["evaluations"]]
    assert made["counts"]["chosen"]["mse"] == min(errors)


def test_texts_that_do_not_fit_are_counted_not_cut(samples, base, tmp_path):
    config = QUICK.model_copy(update={"max_length": 16})
    with pytest.raises(ConfigurationError, match="144 of them longer than 16"):
        train_explicit(config, samples, base, tmp_path / "out")


# --- the command, and several processes ---------------------------------------------


def test_the_command_takes_recipe_options_and_settings(samples, base, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("epochs: 1\nbatch_size: 4\naccumulate: 1\nlr: 0.5\nseed: 7\n")
    command = ["explicit", "--samples", samples, "--base", base]
    command += ["--out", tmp_path / "rm", "--config", recipe, "--objective", "mixed"]
    command += ["--set", "lr=0.003", "--set", "max_length=512"]
    done = CliRunner().invoke(app, list(map(str, command)))
    assert done.exit_code == 0, done.output
    config = json.loads((tmp_path / "rm" / "manifest.json").read_text())["config"]
    wanted = {"epochs": 1.0, "objective": "mixed", "lr": 0.003, "seed": 7}
    assert {name: config[name] for name in wanted} == wanted
    assert config["mode"] == "full"


@pytest.mark.parametrize("stage", ["explicit", "implicit"])
def test_the_recipes_that_ship_are_valid(stage):
    config = {"explicit": ExplicitConfig, "implicit": ImplicitConfig}[stage]
    given = read_recipe(f"llama3-8b-{stage}")
    assert given
    assert config(**given).max_length == 4096


_TWO = """
import json, os, sys
import torch
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.training.test_explicit import first_step
torch.set_num_threads(1)
found = first_step(
    Path({base!r}), Path({out!r}), batch=2, accumulate=4, shares=(1.0, 0.5)
)
if os.environ["RANK"] == "0":
    world = torch.distributed.get_world_size()
    Path({out!r}, "found.json").write_text(json.dumps([world, *found]))
torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_take_the_gradient_of_one(base, tmp_path):
    whole = first_step(base, tmp_path / "a", batch=16, accumulate=1, shares=(1.0, 0.5))
    script = tmp_path / "two.py"
    root = str(Path(__file__).parents[2])
    script.write_text(_TWO.format(root=root, base=str(base), out=str(tmp_path)))
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2"]
    command += ["--master_addr=127.0.0.1", "--master_port=0", "--standalone", script]
    done = subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    world, norm, loss = json.loads((tmp_path / "found.json").read_text())
    assert world == 2
    assert (norm, loss) == pytest.approx(whole, rel=1e-4)
