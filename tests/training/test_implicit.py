from __future__ import annotations

import json
import random

import pytest
import torch
from torch.nn import functional
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainingArguments

from langchain_agentrm._files import read_jsonl
from langchain_agentrm._tokens import ChatTokens
from langchain_agentrm.errors import CheckpointError, ConfigurationError
from langchain_agentrm.reward_models.implicit import ImplicitRewardModel
from langchain_agentrm.testing.mini_checkpoint import write_mini_checkpoint
from langchain_agentrm.training._config import unit
from langchain_agentrm.training._ratios import (
    RatioCollator,
    RatioTrainer,
    encode_rollout,
    judged_rollouts,
    pair_units,
    single_units,
)
from langchain_agentrm.training._trainer import Listed
from langchain_agentrm.training._value_model import adapt
from langchain_agentrm.training.implicit import (
    SCORES_FILE,
    ImplicitConfig,
    train_implicit,
)
from langchain_agentrm.training.rollouts import (
    ROLLOUTS_FILE,
    Rollout,
    RolloutsConfig,
    extract_rollouts,
    read_rollouts,
)
from langchain_agentrm.training.trees import TreesConfig, build_trees
from langchain_agentrm.types import TaskRef
from tests.training.game import CountFactory, RandomPolicy

pytest.importorskip("peft", reason="an adapter needs peft: [train]")
pytest.importorskip("accelerate", reason="the trainer needs accelerate: [train]")

BETA = 0.3
QUICK = ImplicitConfig(
    epochs=3.0,
    batch_size=4,
    accumulate=1,
    lr=1e-2,
    beta=BETA,
    evaluations=1,
    max_length=512,
    val_share=0.25,
)
OBJECTIVES = ["mse", "step", "centered", "ce", "dpo"]


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def rollout(number, actions, score, **fields):
    task = TaskRef(env="count", type="plain", id=f"plain:{number}", seed=number)
    steps = [(action, f"see: {i + 1}") for i, action in enumerate(actions)]
    return Rollout(task, f"goal: {number % 7}.", "see: 0", steps, score, **fields)


def four(number):
    """Episodes of a task: good and bad ones, short and long alike."""
    return [
        rollout(number, ["add 2", "done"], 1.0, progress=[0.5, 1.0], count=3),
        rollout(number, ["add 2", "add 2", "add 2", "done"], 1.0),
        rollout(number, ["add 1", "done"], 0.0, progress=[0.0, 0.0]),
        rollout(number, ["add 1", "add 1", "add 1", "done"], 0.0, count=2),
    ]


def write(folder, rows):
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(row.plain()) for row in rows]
    (folder / ROLLOUTS_FILE).write_text("".join(line + "\n" for line in lines))
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return write_mini_checkpoint(tmp_path_factory.mktemp("base"), seed=5)


@pytest.fixture(scope="module")
def rollouts(tmp_path_factory):
    rows = [row for number in range(16) for row in four(number)]
    return write(tmp_path_factory.mktemp("rollouts"), rows)


@pytest.fixture(scope="module")
def made(base, rollouts, tmp_path_factory):
    out = tmp_path_factory.mktemp("implicit") / "rm"
    return out, train_implicit(QUICK, rollouts, base, out)


# --- the data -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    root = tmp_path_factory.mktemp("trees")
    build_trees(
        TreesConfig(env="count", tasks=20, simulations=24, chunk=20),
        root,
        root / "trees",
        factory=CountFactory(),
        make_proposer=RandomPolicy,
    )
    return root / "trees"


def test_rollouts_are_finished_episodes_at_most_so_many_a_task(trees, tmp_path):
    manifest = extract_rollouts(RolloutsConfig(per_task=16), trees, tmp_path / "r")
    rows = read_rollouts(tmp_path / "r" / ROLLOUTS_FILE)
    tasks = {row.task["id"]: 0 for row in rows}
    for row in rows:
        tasks[row.task["id"]] += row.count
        assert row.steps[-1][0] == "done" or len(row.steps) == 5
        # The game scores an episode at its end only.
        assert row.progress is None
    assert len(tasks) == 20
    assert max(tasks.values()) == 16
    assert manifest["counts"]["episodes"] == sum(tasks.values())
    assert not manifest["counts"]["progress"]
    again = extract_rollouts(RolloutsConfig(per_task=16), trees, tmp_path / "r")
    assert again == manifest
    other = extract_rollouts(
        RolloutsConfig(per_task=16, seed=1), trees, tmp_path / "other"
    )
    assert other["outputs"] != manifest["outputs"]


def test_rows_come_back_as_written(tmp_path):
    rows = four(0)
    assert read_rollouts(write(tmp_path, rows) / ROLLOUTS_FILE) == rows
    messages = rows[1].trajectory.turns
    assert [turn.observation for turn in messages] == [
        "see: 0",
        "see: 1",
        "see: 2",
        "see: 3",
    ]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"steps": [["one"]]}, "malformed rollout"),
        ({"steps": []}, "0 steps"),
        ({"score": None}, "score=None is no finite"),
        ({"progress": [1.0]}, "1 values of progress"),
        ({"count": 0}, "count 0"),
        ({"serializer": "agentrm-v0"}, "'agentrm-v0'.*'agentrm-v1'"),
    ],
)
def test_a_bad_row_is_named_by_its_line(tmp_path, change, named):
    good = four(0)[0].plain()
    lines = [json.dumps(good), json.dumps({**good, **change})]
    (tmp_path / ROLLOUTS_FILE).write_text("\n".join(lines))
    with pytest.raises(CheckpointError, match=rf"rollouts\.jsonl:2: .*{named}"):
        read_rollouts(tmp_path / ROLLOUTS_FILE)


def test_pairs_are_of_one_task_and_capped(base):
    rows = [row for number in range(3) for row in four(number)]
    pairs = pair_units(range(12), rows, gap=0.5, per_task=3, seed=0)
    assert len(pairs) == 9
    for pair in pairs:
        better, worse = (rows[n] for n in pair.numbers)
        assert better.task == worse.task
        assert better.score > worse.score
    assert pairs == pair_units(range(12), rows, gap=0.5, per_task=3, seed=0)
    assert not pair_units(range(12), rows, gap=1.1, per_task=3, seed=0)


def test_an_episode_beyond_the_context_is_read_in_several_texts(base):
    tokens = ChatTokens(AutoTokenizer.from_pretrained(base))
    long = rollout(0, [f"add {i} to what you see" for i in range(9)], 1.0)
    whole = encode_rollout(tokens, long, 512)
    assert len(whole.texts) == 1
    assert len(whole.spans) == 9
    cut = encode_rollout(tokens, long, 200)
    assert len(cut.texts) > 1
    assert max(map(len, cut.texts)) <= 200
    for (a, start, end), (b, first, last) in zip(whole.spans, cut.spans, strict=True):
        assert whole.texts[a][start:end] == cut.texts[b][first:last]
    assert isinstance(encode_rollout(tokens, long, 20), str)


# --- the loss -----------------------------------------------------------------------


def trainer_of(base, objective, *, offset=0.25, **options):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(base)
    model = adapt(model, "CAUSAL_LM", rank=4, alpha=8, quantised=False)
    for name, parameter in model.named_parameters():
        if ".lora_B." in name:
            torch.nn.init.normal_(parameter, std=0.1)
    arguments = options.pop(
        "args", TrainingArguments("unused", use_cpu=True, report_to="none")
    )
    return RatioTrainer(
        objective=objective,
        beta=BETA,
        offset=offset,
        model=model,
        args=arguments,
        **options,
    )


def by_hand(trainer, tokens, row):
    """Rewards of an episode's steps, each step's text through the model alone."""
    encoded = encode_rollout(tokens, row, 512)
    model = trainer.model.eval()
    rewards = []
    for text, start, end in encoded.spans:
        ids = torch.tensor([encoded.texts[text]])
        values = []
        for off in (False, True):
            with torch.inference_mode():
                if off:
                    with model.disable_adapter():
                        logits = model(ids).logits
                else:
                    logits = model(ids).logits
            picked = logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]
            values.append(picked[start - 1 : end - 1].sum().item())
        rewards.append(BETA * (values[0] - values[1]))
    return rewards


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_each_objective_equals_its_sum_by_hand(base, objective):
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokens = ChatTokens(tokenizer)
    rows = four(0) + four(1)
    encoded = {i: encode_rollout(tokens, row, 512) for i, row in enumerate(rows)}
    trainer = trainer_of(base, objective)
    if objective == "dpo":
        units = pair_units(range(8), rows, gap=0.5, per_task=9, seed=0)
    else:
        units = single_units(range(8))
    batch = RatioCollator(tokenizer, rows, encoded)(units)
    trainer.model.eval()
    with torch.inference_mode():
        (found,), _ = trainer.sums(trainer.model, batch)
    rewards = [torch.tensor(by_hand(trainer, tokens, row)) for row in rows]
    assert all(r.abs().max() > 1e-3 for r in rewards)
    wanted = 0.0
    for row, r in zip(rows, rewards, strict=True):
        total = r.sum()
        if objective == "mse":
            loss = (total - row.score) ** 2
        elif objective == "centered":
            loss = (total + 0.25 - row.score) ** 2
        elif objective == "ce":
            loss = functional.binary_cross_entropy_with_logits(
                total, torch.tensor(row.score)
            )
        elif objective == "step" and row.progress is None:
            loss = (total - row.score) ** 2
        elif objective == "step":
            loss = ((r.cumsum(0) - torch.tensor(row.progress)) ** 2).mean()
        else:
            continue
        wanted += row.count * loss.item()
    for pair in units if objective == "dpo" else ():
        a, b = (rewards[n].sum() for n in pair.numbers)
        wanted -= functional.logsigmoid(a - b).item()
    assert found.item() == pytest.approx(wanted, rel=1e-3)
    total = len(units) if objective == "dpo" else sum(row.count for row in rows)
    assert batch["totals"].item() == total


def test_only_the_agents_tokens_count(base):
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokens = ChatTokens(tokenizer)
    row = four(0)[1]
    encoded = encode_rollout(tokens, row, 512)
    batch = RatioCollator(tokenizer, [row], {0: encoded})(single_units([0]))
    for step, (action, _) in enumerate(row.steps):
        mine = batch["input_ids"][batch["owners"] == step]
        assert tokenizer.decode(mine) == f"{action}<|end|>"


@pytest.mark.parametrize("objective", ["centered", "dpo"])
def test_accumulation_does_not_change_the_gradient(base, tmp_path, objective):
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokens = ChatTokens(tokenizer)
    rows = [row for number in range(4) for row in four(number)]
    encoded = {i: encode_rollout(tokens, row, 512) for i, row in enumerate(rows)}
    units = (
        pair_units(range(16), rows, gap=0.5, per_task=4, seed=0)
        if objective == "dpo"
        else single_units(range(16))
    )
    assert len(units) == 16
    logs = []
    for batch, accumulate in ((16, 1), (2, 8)):
        trainer = trainer_of(
            base,
            objective,
            train_dataset=Listed(units, [1] * 16),
            data_collator=RatioCollator(tokenizer, rows, encoded),
            args=TrainingArguments(
                str(tmp_path),
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
            ),
        )
        trainer.train()
        log = trainer.state.log_history[0]
        logs.append((float(log["grad_norm"]), float(log["loss"])))
    assert logs[1] == pytest.approx(logs[0], rel=1e-4)
    assert logs[0][0] > 0


def test_the_figures_by_hand():
    rows = four(0) + four(1)
    sums = [3.0, 5.0, 1.0, 4.0, 4.0, 4.0, 2.0, 2.0]
    predictions = torch.full((8, 4), -100.0)
    for i, (row, value) in enumerate(zip(rows, sums, strict=True)):
        steps = len(row.steps)
        predictions[i, :steps] = value / steps
    measure = judged_rollouts(rows, 0.5)

    class Given:
        label_ids = torch.arange(8)[:, None].numpy()

    Given.predictions = predictions.numpy()
    found = measure(Given)
    # Wrong is one pair of eight: 3 against 4 in the first task.
    assert found["pairs_right"] == 7 / 8
    assert found["pairs"] == 8
    assert found["pick_cumulative"] == 1.0
    assert found["mean_score"] == pytest.approx(4 / 7)
    assert found["corr_sum_score"] > 0.5
    assert found["corr_score_length"] == pytest.approx(0.0)
    assert found["corr_sum_length"] > 0


# --- the stage ----------------------------------------------------------------------


def test_the_adapter_learns_and_length_is_always_told(made):
    out, manifest = made
    counts = manifest["counts"]
    assert counts["chosen"]["pairs_right"] > 0.9
    assert counts["chosen"]["pick_cumulative"] == 1.0
    assert all("corr_sum_length" in e for e in counts["evaluations"])
    card = json.loads((out / "agentrm.json").read_text())
    assert card["kind"] == "implicit"
    assert card["beta"] == BETA
    assert card["offset"] == pytest.approx(4 / 7)
    assert (out / "adapter_model.safetensors").exists()
    assert not (out / "checkpoints").exists()


@pytest.mark.parametrize("read", ["cumulative", "min"])
def test_the_library_scores_as_training_did(made, rollouts, read):
    out, _ = made
    rows = {
        (row.task["id"], tuple(a for a, _ in row.steps)): row
        for row in read_rollouts(rollouts / ROLLOUTS_FILE)
    }
    scored = list(read_jsonl(out / SCORES_FILE))
    assert len(scored) == 4 * len(
        {row.task["id"] for row in rows.values() if unit("val", row.task["id"]) < 0.25}
    )
    model = ImplicitRewardModel(out, beta=BETA, read=read, device="cpu")
    paths = [rows[s["task"]["id"], tuple(s["actions"])].trajectory for s in scored]
    found = [score.value for score in model.score(paths).items]
    combine = sum if read == "cumulative" else min
    wanted = [combine(s["rewards"]) for s in scored]
    assert found == pytest.approx(wanted, abs=1e-4)
    assert max(map(abs, wanted)) > 0.1


@pytest.mark.parametrize("objective", ["mse", "step", "ce", "dpo"])
def test_every_objective_trains(base, rollouts, tmp_path, objective):
    config = QUICK.model_copy(update={"objective": objective})
    manifest = train_implicit(config, rollouts, base, tmp_path / "rm")
    evaluations = manifest["counts"]["evaluations"]
    assert manifest["counts"]["chosen"]["pairs_right"] == max(
        e["pairs_right"] for e in evaluations
    )
    scored = read_jsonl(tmp_path / "rm" / SCORES_FILE)
    assert max(abs(r) for row in scored for r in row["rewards"]) > 0.05
    card = json.loads((tmp_path / "rm" / "agentrm.json").read_text())
    assert card["offset"] == 0.0


class _Killed(Exception):
    pass


def test_a_killed_run_goes_on_to_the_same_rewards(base, rollouts, made, tmp_path):
    out, manifest = made
    steps = manifest["counts"]["steps"]
    at = random.Random(0).randrange(1, steps)

    def kill(done, total, **figures):
        if done >= at and "pairs_right" in figures:
            raise _Killed

    with pytest.raises(_Killed):
        train_implicit(QUICK, rollouts, base, tmp_path / "rm", progress=kill)
    again = train_implicit(QUICK, rollouts, base, tmp_path / "rm")
    assert again["counts"]["steps"] == steps
    left, right = (
        [row["rewards"] for row in read_jsonl(folder / SCORES_FILE)]
        for folder in (tmp_path / "rm", out)
    )
    for one, other in zip(left, right, strict=True):
        assert one == pytest.approx(other, abs=1e-4)


def test_nothing_to_train_on_says_what_is_lacking(base, tmp_path):
    same = [rollout(n, ["add 1", "done"], 1.0) for n in range(16)]
    config = QUICK.model_copy(update={"objective": "dpo"})
    with pytest.raises(ConfigurationError, match="0 units to train by 'dpo'"):
        train_implicit(config, write(tmp_path / "a", same), base, tmp_path / "out")
    config = QUICK.model_copy(update={"max_length": 16})
    with pytest.raises(ConfigurationError, match="the limit is 16"):
        train_implicit(config, write(tmp_path / "b", same), base, tmp_path / "out2")


def test_qlora_without_a_gpu_names_the_remedy(base, rollouts, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    config = QUICK.model_copy(update={"mode": "qlora"})
    with pytest.raises(ConfigurationError, match="mode='lora'"):
        train_implicit(config, rollouts, base, tmp_path)
