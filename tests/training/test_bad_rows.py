"""Bad input, stage by stage: rows, versions, splits, and settings of another run."""

from __future__ import annotations

import json

import pytest

from langchain_agentrm._files import write_manifest
from langchain_agentrm.errors import CheckpointError, ConfigurationError
from langchain_agentrm.evaluation.analysis import OfflineConfig, analyse_offline
from langchain_agentrm.evaluation.report import write_report
from langchain_agentrm.reward_models import FunctionRewardModel
from langchain_agentrm.training.demos import DEMOS_FILE, read_demos
from langchain_agentrm.training.dialogues import (
    TRAJECTORIES_FILE,
    DialoguesConfig,
    convert_dialogues,
    read_trajectories,
)
from langchain_agentrm.training.keep import KeepConfig, keep_part
from langchain_agentrm.training.pool import POOL_FILE
from langchain_agentrm.training.rollouts import ROLLOUTS_FILE, Rollout, read_rollouts
from langchain_agentrm.training.samples import LabelledPath, TaskSamples, read_samples
from langchain_agentrm.training.trees import STORE_FILE, TreesConfig, build_trees
from langchain_agentrm.types import TaskRef
from tests.evaluation.suites import both, write_run
from tests.training.game import CountFactory, RandomPolicy

STEPS = [("add 2", "see: 2"), ("done", "the end")]


def task(number, type_="plain"):
    return TaskRef(env="count", type=type_, id=f"{type_}:{number}", seed=number)


def samples(number, type_="plain"):
    # Each task has a text of its own.
    path = LabelledPath(STEPS, [(0.5, 2), (number / 99, 1)], 1.0, 1)
    return TaskSamples(
        task(number, type_), f"goal: {number}.", "see: 0", [path]
    ).plain()


def rollout(number):
    return Rollout(task(number), "goal: 4.", "see: 0", STEPS, 1.0).plain()


def demo(number):
    steps = [["see: 0", "add 2"], ["see: 2", "done"]]
    row = {"task": task(number), "instruction": "", "goal": "goal: 4."}
    return {
        **row,
        "observation": "see: 0",
        "steps": steps,
        "score": 1.0,
        "success": True,
    }


def trajectory(number):
    said = [("user", "go", False), ("assistant", "add 2", True)]
    messages = [dict(zip(("role", "content", "train"), m, strict=True)) for m in said]
    where = {"id": f"count/{number}/0", "task": "count", "task_id": str(number)}
    return {**where, "split": "train", "messages": messages, "reward": 1.0}


READERS = {
    "samples": ("train.jsonl", samples, read_samples),
    "pool": (POOL_FILE, samples, read_samples),
    "rollouts": (ROLLOUTS_FILE, rollout, read_rollouts),
    "demos": (DEMOS_FILE, demo, lambda p, **o: read_demos(p.parent, **o)),
    "trajectories": (TRAJECTORIES_FILE, trajectory, read_trajectories),
}


def lines(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    texts = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("".join(text + "\n" for text in texts))
    return path


def changed(row, name, value):
    return {k: v for k, v in row.items() if k != name} | (
        {} if value is None else {name: value}
    )


BAD = [
    *(
        (kind, bad, what)
        for kind in READERS
        for bad, what in (('{"task": ', "no JSON"), ("[1, 2]", ""), ("null", ""))
    ),
    *(
        (kind, ("task", value), what)
        for kind in ("samples", "pool", "rollouts", "demos")
        for value, what in ((None, "lacks 'task'"), ("t", ""), ({"env": "e"}, "type"))
    ),
    ("samples", ("paths", [{"steps": [["one"]]}]), ""),
    ("rollouts", ("steps", [["one"]]), ""),
    ("rollouts", ("score", float("nan")), "score=nan"),
    ("rollouts", ("steps", []), "0 steps"),
    ("demos", ("steps", [["see: 0", 3]]), "no text"),
    ("demos", ("steps", []), "no steps"),
    ("demos", ("score", "1"), "score='1'"),
    ("trajectories", ("task_id", 3), "task_id=3"),
    ("trajectories", ("messages", []), "no list"),
    ("trajectories", ("messages", [{"role": "tool", "content": ""}]), ""),
    ("trajectories", ("messages", [{"role": "user", "content": "x"}]), "'train'"),
]


@pytest.mark.parametrize(("kind", "bad", "what"), BAD)
def test_a_malformed_row_is_named_by_file_and_line_or_left_out(
    tmp_path, caplog, kind, bad, what
):
    name, good, read = READERS[kind]
    row = changed(good(1), *bad) if isinstance(bad, tuple) else bad
    path = lines(tmp_path / name, good(0), row, good(2))
    with pytest.raises(
        CheckpointError, match=rf"{name}:2: malformed .*{what}"
    ) as error:
        read(path)
    assert "on_bad_row=skip" in str(error.value)
    assert read(path, on_bad="skip") == [
        x for n in (0, 2) for x in read(lines(tmp_path / f"{n}" / name, good(n)))
    ]
    assert f"{name}:2" in caplog.text


@pytest.mark.parametrize("kind", ["samples", "pool", "rollouts"])
@pytest.mark.parametrize("change", [{}, {"paths": 3, "steps": 3}])
def test_mixed_serializers_are_refused_and_never_skipped(tmp_path, kind, change):
    name, good, read = READERS[kind]
    other = {**good(1), **change, "serializer": "agentrm-v0"}
    path = lines(tmp_path / name, good(0), other)
    for on_bad in ("refuse", "skip"):
        with pytest.raises(CheckpointError, match=rf"{name}:2.*agentrm-v0.*agentrm-v1"):
            read(path, on_bad=on_bad)


# --- the stages and commands take the flag ------------------------------------------


def folder(at, **files):
    for name, rows in files.items():
        lines(at / f"{name}.jsonl", *rows)
    write_manifest(at, stage="x", config={}, inputs={}, counts={}, seconds=0.0)
    return at


def test_keep_refuses_or_skips(tmp_path):
    rows = [samples(0), "{", samples(1)]
    at = folder(tmp_path / "s", train=rows, val=[samples(2)])
    out = tmp_path / "out"
    with pytest.raises(CheckpointError, match=r"train\.jsonl:2"):
        keep_part(KeepConfig(keep="action"), at, out)
    assert not (out / "manifest.json").exists()
    config = KeepConfig(keep="action", on_bad_row="skip")
    done = keep_part(config, at, out)
    assert done["counts"] == {"train.jsonl": 2, "val.jsonl": 1}
    assert done["config"]["on_bad_row"] == "skip"


def test_offline_refuses_or_skips(tmp_path):
    path = lines(tmp_path / "val.jsonl", samples(0), "{", samples(1))
    model = FunctionRewardModel(lambda ts: [len(t.turns) for t in ts])
    out = tmp_path / "out"

    def go(**given):
        config = OfflineConfig(reward_model="f", **given)
        return analyse_offline(config, path, out, reward_model=model)

    with pytest.raises(CheckpointError, match=r"val\.jsonl:2"):
        go()
    assert not (out / "manifest.json").exists()
    assert go(on_bad_row="skip")["counts"]["states"] == 4


def test_demonstrations_become_dialogues_without_the_bad_ones(tmp_path):
    lines(tmp_path / "demos" / DEMOS_FILE, demo(0), {"task": 1}, demo(2))
    sources = [tmp_path / "demos"]
    with pytest.raises(ConfigurationError, match=r"demos\.jsonl, line 2"):
        convert_dialogues(DialoguesConfig(), sources, tmp_path / "out")
    config = DialoguesConfig(on_bad_row="skip")
    done = convert_dialogues(config, sources, tmp_path / "out")
    assert (done["counts"]["read"], done["counts"]["unusable"]) == (3, 1)
    assert done["counts"]["bad"][0].startswith("demos.jsonl:2: ")
    rows = read_trajectories(tmp_path / "out")
    assert [row["task_id"] for row in rows] == ["plain:0", "plain:2"]


def test_cloning_refuses_or_skips(tmp_path):
    bc = pytest.importorskip("langchain_agentrm.training.bc", reason="needs torch")
    lines(tmp_path / DEMOS_FILE, *(demo(n) for n in range(12)), '{"task"')
    small = {"hidden": 16, "layers": 1, "epochs": 1, "eval_tasks": 0, "val_share": 0.4}
    out = tmp_path / "out"
    with pytest.raises(CheckpointError, match=r"demos\.jsonl:13"):
        bc.clone_policy(bc.CloneConfig(**small), tmp_path, out)
    assert not out.exists()
    config = bc.CloneConfig(**small, on_bad_row="skip")
    done = bc.clone_policy(config, tmp_path, out)
    assert done["counts"]["train"] + done["counts"]["val"] == 12


def test_an_adapter_refuses_or_skips(tmp_path):
    pytest.importorskip("peft", reason="an adapter needs peft: [train]")
    pytest.importorskip("accelerate", reason="the trainer needs accelerate: [train]")
    from langchain_agentrm.testing.mini_checkpoint import write_mini_checkpoint
    from langchain_agentrm.training.implicit import ImplicitConfig, train_implicit

    base = write_mini_checkpoint(tmp_path / "base", seed=5)
    lines(tmp_path / ROLLOUTS_FILE, *map(rollout, range(8)), "{")
    few = {"batch_size": 8, "evaluations": 1, "max_length": 512, "val_share": 0.25}
    out = tmp_path / "out"
    with pytest.raises(CheckpointError, match=r"rollouts\.jsonl:9"):
        train_implicit(ImplicitConfig(**few), tmp_path, base, out)
    # What was refused does not hold the folder to its settings.
    config = ImplicitConfig(**few, on_bad_row="skip")
    counts = train_implicit(config, tmp_path, base, out)["counts"]
    assert counts["distinct"] + counts["val_episodes"] == 8


def test_fine_tuning_refuses_or_skips(tmp_path):
    sft = pytest.importorskip("langchain_agentrm.training.sft", reason="needs [train]")
    from langchain_agentrm.testing.mini_checkpoint import (
        CHAT_TEMPLATE,
        write_mini_checkpoint,
    )

    base = write_mini_checkpoint(tmp_path / "base", seed=5)
    said = "{{ m['content'] }}<|end|>"
    marked = "{% generation %}" + said + "{% endgeneration %}"
    template = tmp_path / "mini.jinja"
    template.write_text(CHAT_TEMPLATE.replace(said, marked, 1))
    lines(tmp_path / TRAJECTORIES_FILE, trajectory(0), {"id": "x"}, trajectory(1))
    few = {"base": str(base), "batch": 2, "epochs": 1, "max_tokens": 256}
    few |= {"template": str(template), "gradient_checkpointing": False}
    out = tmp_path / "out"
    with pytest.raises(CheckpointError, match=r"trajectories\.jsonl:2"):
        sft.fine_tune(sft.FineTuneConfig(**few), tmp_path, out)
    config = sft.FineTuneConfig(**few, on_bad_row="skip")
    assert sft.fine_tune(config, tmp_path, out)["counts"]["rows"] == 2


# --- splits -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    bc = pytest.importorskip("langchain_agentrm.training.bc", reason="needs torch")
    at = tmp_path_factory.mktemp("policy")
    lines(at / "demos" / DEMOS_FILE, *(demo(n) for n in range(12)))
    small = {"hidden": 16, "layers": 1, "epochs": 1, "eval_tasks": 0, "val_share": 0.4}
    bc.clone_policy(bc.CloneConfig(**small), at / "demos", at / "bc")
    return at / "bc"


@pytest.mark.parametrize(
    ("val", "pool", "named"),
    [
        ([samples(1), samples(3)], [samples(9, "dev")], "train and in val.*plain:1"),
        ([samples(3)], [samples(0)], "train and in pool.*plain:0"),
    ],
)
def test_a_reward_model_is_not_trained_on_leaking_splits(
    policy, tmp_path, val, pool, named
):
    from langchain_agentrm.training.rm import RewardConfig, train_reward_model

    at = folder(tmp_path / "s", train=[samples(0), samples(1)], val=val)
    pooled = folder(tmp_path / "p", pool=pool)
    out = tmp_path / "out"
    with pytest.raises(ConfigurationError, match=named):
        train_reward_model(RewardConfig(), at, pooled, policy, out)
    assert not (out / "manifest.json").exists()


def test_nor_a_large_one(policy, tmp_path):
    pytest.importorskip("accelerate", reason="the trainer needs accelerate: [train]")
    from langchain_agentrm.training.explicit import ExplicitConfig, train_explicit

    at = folder(tmp_path / "s", train=[samples(0), samples(1)], val=[samples(1)])
    with pytest.raises(ConfigurationError, match=r"train and in val.*plain:1"):
        train_explicit(ExplicitConfig(), at, policy, tmp_path / "out")
    lines(at / "train.jsonl", samples(0), "{")
    with pytest.raises(CheckpointError, match=r"train\.jsonl:2"):
        train_explicit(ExplicitConfig(), at, policy, tmp_path / "out")


# --- a tree store of another run ----------------------------------------------------


def stopped(out, **given):
    class Stop(Exception):
        pass

    def stop(done, _total, **_figures):
        if done == 1:
            raise Stop

    config = TreesConfig(env="count", tasks=8, simulations=4, chunk=4, **given)
    with pytest.raises(Stop):
        build_trees(
            config, out, out, factory=CountFactory(), make_proposer=RandomPolicy,
            progress=stop,
        )  # fmt: skip


@pytest.mark.parametrize("labeller", ["rollouts", "mcts", "agentrm"])
@pytest.mark.parametrize(
    "change", [{"temperature": 0.3}, {"simulations": 5}, {"seed": 1}, {"split": "dev"}]
)
def test_a_tree_store_of_other_settings_is_refused_and_left_as_it_was(
    tmp_path, labeller, change
):
    stopped(tmp_path, labeller=labeller)
    before = (tmp_path / STORE_FILE).read_bytes()
    settings = {"env": "count", "tasks": 8, "simulations": 4, "chunk": 4}
    config = TreesConfig(**{**settings, "labeller": labeller, **change})
    with pytest.raises(
        ConfigurationError, match=rf"trees\.sqlite.*{next(iter(change))}"
    ):
        build_trees(
            config,
            tmp_path,
            tmp_path,
            factory=CountFactory(),
            make_proposer=RandomPolicy,
        )
    assert (tmp_path / STORE_FILE).read_bytes() == before


# --- rows of an evaluation ----------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "bad", "named"),
    [
        ("episodes", "7", "is a int"),
        ("episodes", {"score": None}, "no 'score'"),
        ("episodes", {"score": "high"}, "score='high'"),
        ("episodes", {"score": float("nan")}, "score=nan"),
        ("episodes", {"task_id": 3}, "task_id=3"),
        ("pools", {"draws": None}, "no 'draws'"),
        ("pools", {"values": [1]}, "values=\\[1\\]"),
        ("pools", "[", "no JSON"),
    ],
)
def test_a_report_is_not_made_of_malformed_rows(tmp_path, file, bad, named):
    rows = both(4, 0.2, 0.6)
    words = ("policy", "env", "task_id", "type", "group", "seed")
    pool = {k: rows[0][k] for k in words} | {"draws": [], "values": {}}
    run = write_run(tmp_path / "run", rows, pools=[pool])
    path = run / f"{file}.jsonl"
    kept = path.read_text()
    if isinstance(bad, dict):
        ((name, value),) = bad.items()
        bad = changed(json.loads(kept.splitlines()[0]), name, value)
    lines(path, *kept.splitlines(), bad)
    where = rf"{len(kept.splitlines()) + 1} of .*{file}\.jsonl.*{named}"
    with pytest.raises((ConfigurationError, CheckpointError), match=where):
        write_report([run], tmp_path / "out")
    assert not (tmp_path / "out").exists()
