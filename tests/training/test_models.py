from __future__ import annotations

import json
import random

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from langchain_agentrm.errors import CheckpointError, ConfigurationError
from langchain_agentrm.reward_models import AgentRM
from langchain_agentrm.training import _optim
from langchain_agentrm.training._policy import local_policy
from langchain_agentrm.training._values import (
    Group,
    ValueModel,
    pick_best,
    sibling_pairs,
)
from langchain_agentrm.training.bc import CloneConfig, clone_policy
from langchain_agentrm.training.demos import DemosConfig, collect_demos, read_demos
from langchain_agentrm.training.export import export_mini
from langchain_agentrm.training.pool import PoolConfig, build_pool, greedy_score
from langchain_agentrm.training.rm import RewardConfig, train_reward_model
from langchain_agentrm.training.samples import SamplesConfig, extract_samples
from langchain_agentrm.training.tokenizer import PathEncoder, train_tokenizer
from langchain_agentrm.training.trees import TreesConfig, build_trees
from langchain_agentrm.trajectory import Trajectory, Turn, render
from tests.training.game import CountFactory, RandomPolicy

CLONE = CloneConfig(
    hidden=32,
    layers=1,
    heads=2,
    epochs=12,
    batch_tokens=512,
    val_share=0.2,
    eval_tasks=0,
)
REWARD = RewardConfig(epochs=4, batch_tokens=512, evaluations=1)


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """All stages on the counting game; states are labelled by a random policy."""
    root = tmp_path_factory.mktemp("made")
    factory = CountFactory()
    options = {"factory": factory, "make_proposer": RandomPolicy}
    collect_demos(
        DemosConfig(env="count", n_per_type=150), root / "demos", factory=factory
    )
    clone_policy(CLONE, root / "demos", root / "bc", factory=factory)
    build_pool(PoolConfig(env="count", tasks=40), root / "bc", root / "pool", **options)
    build_trees(
        TreesConfig(env="count", tasks=150), root / "bc", root / "trees", **options
    )
    extract_samples(SamplesConfig(val_share=0.2), root / "trees", root / "samples")
    folders = root / "samples", root / "pool", root / "bc"
    train_reward_model(REWARD, *folders, root / "rm")
    return root


def _manifest(folder):
    return json.loads((folder / "manifest.json").read_text())


def test_demos_are_read_as_written(made):
    demos = read_demos(made / "demos")
    assert len(demos) == 150
    task, demo = demos[0]
    assert task["id"] == "plain:-1"
    assert demo.start.goal == "goal: 4."
    assert demo.steps[0][0] == "see: 0"
    assert demo.steps[-1][1] == "done"


def test_encoder_equals_the_chat_template(made):
    tokenizer = AutoTokenizer.from_pretrained(made / "bc")
    encoder = PathEncoder(tokenizer)
    steps = [("add 2", "see: 2"), ("add 1", "see: 3"), ("done", "the end")]
    turns = tuple(
        Turn(seen, action)
        for seen, (action, _) in zip(["see: 0", "see: 2", "see: 3"], steps, strict=True)
    )
    messages = render(Trajectory(turns, goal="goal: 4.", instruction="dropped"))
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    path = encoder.path("goal: 4.", "see: 0", steps)
    assert path.ids == tokenizer.encode(text, add_special_tokens=False)
    for (first, end), (action, _) in zip(path.spans, steps, strict=True):
        assert tokenizer.decode(path.ids[first:end]) == action
        assert path.ids[end] == tokenizer.eos_token_id


def test_encoder_refuses_another_template():
    tokenizer = train_tokenizer(["go to red ball 1"], 300)
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    with pytest.raises(CheckpointError, match="chat template"):
        PathEncoder(tokenizer)


def test_a_position_phrase_is_one_token():
    tokenizer = train_tokenizer(["red ball 1 ahead 2 left 1; box 1 ahead 3"] * 20, 640)
    assert len(tokenizer.encode(" ahead 2 left 1")) == 1
    assert tokenizer.decode(tokenizer.encode("ä 7\n")) == "ä 7\n"


def test_the_policy_learns_the_game(made):
    factory = CountFactory()
    tasks = factory.tasks("dev", ["plain"], 5)
    assert greedy_score(factory, local_policy(made / "bc"), tasks) == 1.0
    losses = [entry["val_loss"] for entry in _manifest(made / "bc")["counts"]["epochs"]]
    assert losses[-1] < 0.6 * losses[0]


class _Stopped(Exception):
    pass


def _stop_when(name, times):
    seen = []

    def progress(done, total, **figures):
        if name in figures:
            seen.append(done)
            if len(seen) == times:
                raise _Stopped

    return progress


def _same_weights(a, b):
    return (a / "model.safetensors").read_bytes() == (
        b / "model.safetensors"
    ).read_bytes()


def test_a_stopped_clone_goes_on_to_the_same_weights(made, tmp_path):
    with pytest.raises(_Stopped):
        clone_policy(
            CLONE, made / "demos", tmp_path / "bc", progress=_stop_when("val", 3)
        )
    assert not (tmp_path / "bc" / "model.safetensors").exists()
    clone_policy(CLONE, made / "demos", tmp_path / "bc")
    assert _same_weights(tmp_path / "bc", made / "bc")
    other = CLONE.model_copy(update={"lr": 0.1})
    with pytest.raises(ConfigurationError, match=r"lr=0\.005"):
        clone_policy(other, made / "demos", tmp_path / "bc")


def test_a_stopped_reward_model_goes_on_to_the_same_weights(made, tmp_path):
    folders = made / "samples", made / "pool", made / "bc"
    with pytest.raises(_Stopped):
        train_reward_model(
            REWARD, *folders, tmp_path / "rm", progress=_stop_when("dev", 2)
        )
    train_reward_model(REWARD, *folders, tmp_path / "rm")
    assert _same_weights(tmp_path / "rm", made / "rm")
    keys = ("step", "val_mse", "best_of_n")
    histories = [
        [
            tuple(entry[key] for key in keys)
            for entry in _manifest(folder)["counts"]["evaluations"]
        ]
        for folder in (tmp_path / "rm", made / "rm")
    ]
    assert histories[0] == histories[1]


def test_reward_model_tells_good_from_bad(made):
    counts = _manifest(made / "rm")["counts"]
    chosen = counts["chosen"]
    assert chosen["val_mse"] < 0.8 * chosen["val_variance"]
    pool = _manifest(made / "pool")["counts"]
    assert chosen["best_of_n"] > pool["mean"] + 0.1
    assert chosen["best_of_n"] == max(e["best_of_n"] for e in counts["evaluations"])
    model = AgentRM(made / "rm")

    def value(*actions):
        total, turns = 0, []
        for action in actions:
            turns.append(Turn(f"see: {total}", action))
            total += 0 if action == "done" else int(action[-1])
        (score,) = model.score([Trajectory(tuple(turns), goal="goal: 4.")]).items
        return score.value

    assert value("add 2", "add 2", "done") > value("add 2", "done") + 0.3


def test_the_library_reads_the_values_that_training_saw(made):
    tokenizer = AutoTokenizer.from_pretrained(made / "rm")
    model = AutoModelForSequenceClassification.from_pretrained(made / "rm")
    paths = [
        PathEncoder(tokenizer).path("goal: 4.", "see: 0", steps)
        for steps in (
            [("add 2", "see: 2"), ("done", "")],
            [("done", "")],
            [("add 1", "see: 1"), ("add 1", "see: 2"), ("add 2", "see: 4")],
        )
    ]
    values = ValueModel(model.eval())
    rows, places = [p.ids for p in paths], [[p.spans[-1][1]] for p in paths]
    with torch.inference_mode():
        ours = values.read(rows, places).tolist()
    turns = [
        (Turn("see: 0", "add 2"), Turn("see: 2", "done")),
        (Turn("see: 0", "done"),),
        (Turn("see: 0", "add 1"), Turn("see: 1", "add 1"), Turn("see: 2", "add 2")),
    ]
    scores = AgentRM(made / "rm").score([Trajectory(t, goal="goal: 4.") for t in turns])
    assert [s.value for s in scores.items] == pytest.approx(ours, abs=1e-5)


def test_values_of_every_prefix_come_in_the_order_of_labels(made):
    tokenizer = AutoTokenizer.from_pretrained(made / "rm")
    model = AutoModelForSequenceClassification.from_pretrained(made / "rm")
    values, encoder = ValueModel(model.eval()), PathEncoder(tokenizer)
    groups = []
    for shift in (0, 1):
        group = Group()
        for length in (3, 1, 2):
            steps = [("add 1", f"see: {shift + k}") for k in range(length)]
            path = encoder.path("goal: 4.", f"see: {shift}", steps)
            row = len(group.ids)
            group.ids.append(path.ids)
            group.ends.append([end for _, end in path.spans])
            group.labels += [(row, k, 0.1 * k, ()) for k in range(length) if k != 1]
        groups.append(group)
    with torch.inference_mode():
        found, wanted = values.labelled(groups)
        single = [
            values.read([g.ids[row]], [[g.ends[row][k]]]).item()
            for g in groups
            for row, k, _, _ in g.labels
        ]
    assert found.tolist() == pytest.approx(single, abs=1e-5)
    labels = [value for g in groups for _, _, value, _ in g.labels]
    assert wanted.tolist() == pytest.approx(labels)


def test_sibling_pairs_and_choice_by_hand():
    group = Group(
        ids=[[1], [2]],
        ends=[[0], [0]],
        labels=[(0, 0, 0.9, ()), (1, 0, 0.2, ()), (1, 1, 1.0, ("a",))],
        scores=[0.0, 1.0],
        counts=[2, 1],
    )
    assert sibling_pairs([group, group], 0.3) == [(0, 1), (3, 4)]
    assert pick_best([group], [[0.1, 0.2]]) == (1.0, 1.0)
    assert pick_best([group], [[0.3, 0.2]]) == (0.0, 0.0)


def test_batches_hold_everything_once_within_the_limit():
    rng = random.Random(0)
    lengths = [rng.randrange(5, 90) for _ in range(200)]
    batches = _optim.pack(lengths, 300, rng)
    assert sorted(i for batch in batches for i in batch) == list(range(200))
    assert all(len(b) * max(lengths[i] for i in b) <= 300 for b in batches)
    whole = _optim.pack([500], 300, rng)
    assert whole == [[0]]


def test_export_is_half_the_size_and_keeps_the_order(made, tmp_path):
    folders = export_mini(made / "bc", made / "rm", tmp_path)
    for name, source in (("policy", "bc"), ("rm", "rm")):
        small = (folders[name] / "model.safetensors").stat().st_size
        assert small < 0.6 * (made / source / "model.safetensors").stat().st_size
        assert _manifest(folders[name])["inputs"]["weights"]
    turns = [(Turn("see: 0", a),) for a in ("add 2", "add 1", "done")]
    paths = [Trajectory(t, goal="goal: 4.") for t in turns]
    before, after = (
        [s.value for s in AgentRM(folder).score(paths).items]
        for folder in (made / "rm", folders["rm"])
    )
    assert after == pytest.approx(before, abs=0.02)


def test_a_policy_without_weights_cannot_be_exported(tmp_path):
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        export_mini(tmp_path / "a", tmp_path / "b", tmp_path / "out")
