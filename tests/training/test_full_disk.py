"""A disk that is full: nothing finished is lost, and running again goes on.

Files are really refused: the kernel is told that none may grow beyond a size, so that
a write fails in the middle as it does where no room is left.
"""

from __future__ import annotations

import errno
import json
import random
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from langchain_agentrm import _files
from langchain_agentrm.errors import CheckpointError
from langchain_agentrm.evaluation.analysis import (
    SCORED_FILE,
    OfflineConfig,
    analyse_offline,
)
from langchain_agentrm.evaluation.suite import EPISODES_FILE, run_suite
from langchain_agentrm.reward_models import FunctionRewardModel
from langchain_agentrm.training._config import silent
from langchain_agentrm.training.audit import AuditConfig, audit_labels
from langchain_agentrm.training.demos import DemosConfig, collect_demos
from langchain_agentrm.training.dialogues import DialoguesConfig, convert_dialogues
from langchain_agentrm.training.keep import KeepConfig, keep_part
from langchain_agentrm.training.pool import PoolConfig, build_pool
from langchain_agentrm.training.rollouts import RolloutsConfig, extract_rollouts
from langchain_agentrm.training.samples import SamplesConfig, extract_samples
from langchain_agentrm.training.store import TreeStore
from langchain_agentrm.training.trees import STORE_FILE, TreesConfig, build_trees
from tests.evaluation.suites import Game, config
from tests.training.game import CountFactory, RandomPolicy
from tests.training.test_bad_rows import demo, lines, rollout

resource = pytest.importorskip("resource", reason="the limit on a file is POSIX's")


@contextmanager
def no_file_beyond(size):
    """Refuse to let any file grow beyond so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def full_after(chunks):
    """Give a progress report that leaves no more room after so many chunks."""
    with ExitStack() as stack:

        def fill(done, _total, **_figures):
            if done == chunks:
                stack.enter_context(no_file_beyond(100))

        yield fill


def digests(folder):
    """Content by name, without what tells the time."""
    return {
        path.name: _files.file_digest(path)
        for path in folder.iterdir()
        if path.is_file() and path.name != "manifest.json"
    }


# --- single files ---------------------------------------------------------------------


def test_a_file_stays_as_it_was_and_the_error_names_it(tmp_path):
    path = tmp_path / "a.json"
    _files.write_json(path, {"a": 1})
    with (
        no_file_beyond(2000),
        pytest.raises(CheckpointError, match=r"a\.json .*File too large.*Make room"),
    ):
        _files.write_json(path, {"a": "x" * 5000})
    assert _files.read_json(path) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_lines_that_do_not_fit_leave_no_part_behind(tmp_path):
    path = tmp_path / "a.jsonl"
    _files.append_jsonl(path, [{"n": 1}])
    with no_file_beyond(100), pytest.raises(CheckpointError, match=r"a\.jsonl .*room"):
        _files.append_jsonl(path, [{"n": 2, "text": "x" * 50}, {"text": "x" * 50}])
    assert list(_files.read_jsonl(path)) == [{"n": 1}]
    _files.append_jsonl(path, [{"n": 2}])
    assert list(_files.read_jsonl(path)) == [{"n": 1}, {"n": 2}]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_device_without_room_is_told_apart_from_one_that_may_not_be_written():
    with pytest.raises(CheckpointError, match=r"No space left.*Make room"):
        _files.append_jsonl(Path("/dev/full"), [1])
    denied = PermissionError(errno.EACCES, "Permission denied")
    with (
        pytest.raises(CheckpointError, match=r"x .*denied.*may be written to"),
        _files.writing(Path("x")),
    ):
        raise denied


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("PytorchStreamReader failed reading zip archive"),
        FileNotFoundError(errno.ENOENT, "No such file"),
        ValueError("a loss that is no number"),
    ],
)
def test_other_errors_of_a_training_stay_what_they_are(error):
    with pytest.raises(type(error)) as found, _files.writing(Path("x"), room_only=True):
        raise error
    assert found.value is error


# --- stages that write when they are done ---------------------------------------------


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    out = tmp_path_factory.mktemp("trees")
    settings = TreesConfig(env="count", tasks=40, simulations=16, chunk=20)
    build_trees(settings, out, out, factory=CountFactory(), make_proposer=RandomPolicy)
    extract_samples(SamplesConfig(val_share=0.25), out, out / "samples")
    lines(out / "demos" / "demos.jsonl", *map(demo, range(40)))
    return out


def make_demos(_trees, out):
    settings = DemosConfig(env="count", n_per_type=40)
    return collect_demos(settings, out, factory=CountFactory())


def make_dialogues(trees, out):
    return convert_dialogues(DialoguesConfig(), [trees / "demos"], out)


def make_pool(trees, out):
    settings = PoolConfig(env="count", tasks=30)
    return build_pool(
        settings, trees, out, factory=CountFactory(), make_proposer=RandomPolicy
    )


def make_samples(trees, out):
    return extract_samples(SamplesConfig(val_share=0.25), trees, out)


def make_rollouts(trees, out):
    return extract_rollouts(RolloutsConfig(), trees, out)


def make_kept(trees, out):
    return keep_part(KeepConfig(keep="action"), trees / "samples", out)


STAGES = [
    make_demos,
    make_dialogues,
    make_pool,
    make_samples,
    make_rollouts,
    make_kept,
]


@pytest.mark.parametrize("make", STAGES)
def test_a_stage_leaves_no_manifest_and_is_done_by_running_it_again(
    trees, tmp_path, make
):
    whole = tmp_path / "whole" / "out"
    make(trees, whole)
    size = max(path.stat().st_size for path in whole.iterdir())
    out = tmp_path / "full" / "out"
    with (
        no_file_beyond(size // 2),
        # A stage that reads a tree store may fail there: SQLite writes beside it.
        pytest.raises(CheckpointError, match=r"(jsonl|sqlite) could not .*Make room"),
    ):
        make(trees, out)
    assert not (out / "manifest.json").exists()
    assert not list(out.glob(".*"))
    make(trees, out)
    assert digests(out) == digests(whole)


# --- stages that keep what is finished on their way -----------------------------------


@pytest.mark.parametrize("labeller", ["rollouts", "mcts", "agentrm"])
def test_trees_that_were_stored_stay_and_the_others_are_built_later(tmp_path, labeller):
    settings = TreesConfig(
        env="count", tasks=60, simulations=12, chunk=2, labeller=labeller
    )

    def build(out, progress=silent):
        return build_trees(
            settings,
            out,
            out,
            factory=CountFactory(),
            make_proposer=RandomPolicy,
            progress=progress,
        )

    build(tmp_path / "whole")
    out = tmp_path / "full"
    with (
        full_after(7) as fill,
        pytest.raises(CheckpointError, match=r"could not .*Make room"),
    ):
        build(out, fill)
    assert not (out / "manifest.json").exists()
    with TreeStore(out / STORE_FILE) as store:
        assert len(list(store.trees())) == 7 * 2
    build(out)
    both = []
    for name in ("whole", "full"):
        with TreeStore(tmp_path / name / STORE_FILE) as store:
            both.append(list(store.trees()))
    assert both[0] == both[1]


def test_an_audit_goes_on_after_the_chunks_that_it_has(trees, tmp_path):
    def audit(out, progress=silent):
        return audit_labels(
            AuditConfig(states=300, rerolls=4),
            trees,
            "",
            out,
            factory=CountFactory(),
            make_proposer=RandomPolicy,
            progress=progress,
        )

    whole = audit(tmp_path / "whole")["counts"]
    assert (tmp_path / "whole" / "chunk-0001.jsonl").exists()
    out = tmp_path / "full"
    with (
        full_after(1) as fill,
        pytest.raises(CheckpointError, match=r"chunk-0001\.jsonl .*Make room"),
    ):
        audit(out, fill)
    first = (out / "chunk-0000.jsonl").stat().st_mtime_ns
    assert audit(out)["counts"] == whole
    assert (out / "chunk-0000.jsonl").stat().st_mtime_ns == first


def rows(folder):
    # What depends on who was played in the same block is left out.
    shares = {"wall_s", "rm_calls"}
    found = [json.loads(x) for x in (folder / EPISODES_FILE).read_text().splitlines()]
    return [{k: v for k, v in row.items() if k not in shares} for row in found]


def test_a_suite_keeps_its_episodes(tmp_path):
    settings = config(seeds=(0, 1))
    run_suite(settings, tmp_path / "whole", workers=0, parts=Game(), block=2)
    size = (tmp_path / "whole" / EPISODES_FILE).stat().st_size
    out = tmp_path / "full"
    with no_file_beyond(size // 2), pytest.raises(CheckpointError) as error:
        run_suite(settings, out, workers=0, parts=Game(), block=2)
    assert "too large" in str(error.value)
    assert not (out / "manifest.json").exists()
    parts = Game()
    run_suite(settings, out, workers=0, parts=parts, block=2)
    assert rows(out) == rows(tmp_path / "whole")
    played = {step.task for step in parts._factory.log}
    assert len(played) < len({row["task_id"] for row in rows(out)})


def test_offline_scores_stay(trees, tmp_path):
    make_samples(trees, tmp_path / "s")
    path = tmp_path / "s" / "train.jsonl"
    scored = []

    def score(trajectories):
        scored.extend(trajectories)
        return [random.Random(str(t.turns)).random() for t in trajectories]

    def go(out):
        scored.clear()
        settings = OfflineConfig(reward_model="f")
        model = FunctionRewardModel(score)
        return analyse_offline(settings, path, out, reward_model=model)

    go(tmp_path / "whole")
    every = len(scored)
    size = (tmp_path / "whole" / SCORED_FILE).stat().st_size
    out = tmp_path / "full"
    with (
        no_file_beyond(size * 4 // 5),
        pytest.raises(CheckpointError, match=r"scored\.jsonl .*Make room"),
    ):
        go(out)
    assert not (out / "manifest.json").exists()
    go(out)
    assert len(scored) < every
    assert digests(out) == digests(tmp_path / "whole")


# --- training -------------------------------------------------------------------------


def test_a_small_policy_is_trained_after_all(tmp_path):
    bc = pytest.importorskip("langchain_agentrm.training.bc", reason="needs torch")
    lines(tmp_path / "demos.jsonl", *map(demo, range(12)))
    small = {"hidden": 16, "layers": 1, "epochs": 2, "eval_tasks": 0, "val_share": 0.4}

    def clone(out):
        bc.clone_policy(bc.CloneConfig(**small), tmp_path, out)
        return _files.file_digest(out / "model.safetensors")

    whole = clone(tmp_path / "whole")
    # Room for the model, but not for the optimisers beside it; then not even for it.
    size = (tmp_path / "whole" / "model.safetensors").stat().st_size
    for room in (size * 3 // 2, size // 2):
        out = tmp_path / f"full-{room}"
        with no_file_beyond(room), pytest.raises(CheckpointError, match="Make room"):
            clone(out)
        assert not (out / "manifest.json").exists()
        assert clone(out) == whole


def train_rm(trees, root):
    bc = pytest.importorskip("langchain_agentrm.training.bc", reason="needs torch")
    from langchain_agentrm.training.rm import RewardConfig, train_reward_model

    small = bc.CloneConfig(
        hidden=16, layers=1, epochs=1, eval_tasks=0, val_share=0.4, env="count"
    )
    bc.clone_policy(small, trees / "demos", root / "policy")
    make_pool(trees, root / "pool")
    made = (trees / "samples", root / "pool", root / "policy")
    settings = RewardConfig(epochs=1, evaluations=2)
    return lambda out: train_reward_model(settings, *made, out)


def train_value(trees, root):
    for name in ("torch", "accelerate"):
        pytest.importorskip(name, reason="a trainer needs the train extra")
    from langchain_agentrm.testing.mini_checkpoint import write_mini_checkpoint
    from langchain_agentrm.training.explicit import ExplicitConfig, train_explicit

    base = write_mini_checkpoint(root / "base", seed=5)
    settings = ExplicitConfig(
        epochs=1, batch_size=8, accumulate=1, lr=1e-2, evaluations=2, max_length=512
    )
    return lambda out: train_explicit(settings, trees / "samples", base, out)


def fine_tune_all(trees, root):
    for name in ("trl", "datasets"):
        pytest.importorskip(name, reason="fine-tuning needs the train extra")
    from langchain_agentrm.testing.mini_checkpoint import write_mini_checkpoint
    from langchain_agentrm.training.sft import FineTuneConfig, fine_tune
    from tests.training.test_sft import MARKED

    write_mini_checkpoint(root / "base", seed=5)
    (root / "marked.jinja").write_text(MARKED)
    make_dialogues(trees, root / "dialogues")
    settings = FineTuneConfig(
        base=str(root / "base"),
        template=str(root / "marked.jinja"),
        mode="full",
        batch=8,
        per_device=8,
        epochs=1,
        max_tokens=512,
        save_every=2,
        precision="float32",
    )
    return lambda out: fine_tune(settings, root / "dialogues", out)


@pytest.mark.parametrize("stage", [train_rm, train_value, fine_tune_all])
def test_a_training_is_done_by_running_it_again(trees, tmp_path, stage):
    train = stage(trees, tmp_path)
    train(tmp_path / "whole")
    weights = tmp_path / "whole" / "model.safetensors"
    out = tmp_path / "full"
    with (
        no_file_beyond(weights.stat().st_size // 2),
        pytest.raises(CheckpointError, match=r"full.*Make room"),
    ):
        train(out)
    assert not (out / "manifest.json").exists()
    assert not (out / "model.safetensors").exists()
    train(out)
    assert _files.file_digest(out / "model.safetensors") == _files.file_digest(weights)


@pytest.mark.parametrize("part", [2, 30])
def test_a_trainer_names_the_folder_and_goes_on(tmp_path, part):
    pytest.importorskip("torch", reason="needs torch")
    pytest.importorskip("peft", reason="an adapter needs peft: [train]")
    pytest.importorskip("accelerate", reason="the trainer needs accelerate: [train]")
    from langchain_agentrm.testing.mini_checkpoint import write_mini_checkpoint
    from langchain_agentrm.training.implicit import ImplicitConfig, train_implicit

    base = write_mini_checkpoint(tmp_path / "base", seed=5)
    lines(tmp_path / "data" / "rollouts.jsonl", *map(rollout, range(16)))
    settings = ImplicitConfig(
        epochs=1.0,
        batch_size=4,
        accumulate=1,
        lr=1e-2,
        evaluations=2,
        max_length=512,
        val_share=0.25,
    )

    def train(out):
        train_implicit(settings, tmp_path / "data", base, out)
        return _files.file_digest(out / "adapter_model.safetensors")

    whole = train(tmp_path / "whole")
    size = (tmp_path / "whole" / "adapter_model.safetensors").stat().st_size
    out = tmp_path / "full"
    # Too little for the adapter; enough for it, but not for the tokenizer or state.
    room = size // part if part > 2 else size + 1000
    with no_file_beyond(room), pytest.raises(CheckpointError, match=r"full.*Make room"):
        train(out)
    assert not (out / "manifest.json").exists()
    assert train(out) == whole
