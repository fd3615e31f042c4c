"""One part of the state: in training data and in search alike."""

from __future__ import annotations

import asyncio

import pytest
from typer.testing import CliRunner

from langchain_agentrm._files import read_json, write_jsonl, write_manifest
from langchain_agentrm.cli.train import app
from langchain_agentrm.errors import CheckpointError, ConfigurationError
from langchain_agentrm.reward_models import FunctionRewardModel, KeptRewardModel
from langchain_agentrm.testing.reward_model import RewardModelConformance
from langchain_agentrm.training.keep import KeepConfig, keep_part
from langchain_agentrm.training.samples import LabelledPath, TaskSamples, read_samples
from langchain_agentrm.trajectory import Trajectory, Turn
from langchain_agentrm.types import Batch, Score

LABELS = [(0.5, 2), (1.0, 1)]
WANTED = {
    "action": (Turn("-", "go"), Turn("-", "take")),
    "observation": (Turn("a room", "-"), Turn("saw it", "-")),
}


class Seen:
    """Remembers what it is shown."""

    resolution, comparable = 1e-3, "depth"

    def score(self, trajectories):
        self.shown = list(trajectories)
        return Batch([Score.of(0.0) for _ in trajectories])

    async def ascore(self, trajectories):
        return self.score(trajectories)


def write(folder, *names):
    path = LabelledPath([("go", "saw it"), ("take", "done now")], LABELS, 1.0, 1)
    task = {"env": "game", "type": "t", "id": "game-1", "seed": 1}
    samples = TaskSamples(task, "goal: x", "a room", [path], "Rules.")
    for name in names:
        write_jsonl(folder / name, [samples.plain()])
    write_manifest(folder, stage="x", config={}, inputs={}, counts={}, seconds=0.0)
    return folder


@pytest.fixture
def samples(tmp_path):
    return write(tmp_path / "samples", "train.jsonl", "val.jsonl")


@pytest.fixture
def pool(tmp_path):
    return write(tmp_path / "pool", "pool.jsonl")


class TestKept(RewardModelConformance):
    @pytest.fixture
    def reward_model(self):
        inner = FunctionRewardModel(
            lambda ts: [len(t.turns) + len(t.turns[-1].action) / 99 for t in ts]
        )
        return KeptRewardModel(inner, "action")


@pytest.mark.parametrize("keep", WANTED)
def test_a_search_shows_what_training_showed(samples, pool, tmp_path, keep):
    seen = Seen()
    whole = Trajectory(
        (Turn("a room", "go"), Turn("saw it", "take")),
        goal="goal: x",
        instruction="Rules.",
        admissible=("take", "drop"),
        calls=({"name": "take", "args": {}},),
    )
    model = KeptRewardModel(seen, keep)
    assert (model.resolution, model.comparable) == (1e-3, "depth")
    for shown in (model.score, lambda ts: asyncio.run(model.ascore(ts))):
        shown([whole])
        (reduced,) = seen.shown
        assert reduced.turns == WANTED[keep]
        assert reduced.admissible == ()
        assert bool(reduced.calls) == (keep == "action")
        assert (reduced.goal, reduced.instruction) == ("goal: x", "Rules.")
    out = tmp_path / keep
    keep_part(KeepConfig(keep=keep), samples, out, pool=pool)
    for name in ("train.jsonl", "val.jsonl", "pool.jsonl"):
        (task,) = read_samples(out / name)
        (path,) = task.paths
        observed = [task.observation, path.steps[0][1]]
        acted = [action for action, _ in path.steps]
        assert tuple(map(Turn, observed, acted)) == WANTED[keep]
        assert path.labels == LABELS
        assert (task.goal, task.instruction) == ("goal: x", "Rules.")


def test_a_part_that_a_turn_lacks_is_refused():
    with pytest.raises(
        ConfigurationError, match=r"keep='thought'.*action, observation"
    ):
        KeptRewardModel(Seen(), "thought")


def test_the_manifest_holds_settings_and_inputs_and_nothing_that_is_not_used(
    samples, pool, tmp_path
):
    out = tmp_path / "out"
    done = keep_part(KeepConfig(keep="action"), samples, out, pool=pool)
    assert set(done["config"]) == {"keep", "inputs"}
    assert set(done["inputs"]) == {"samples", "pool"}
    assert done["counts"] == {"train.jsonl": 1, "val.jsonl": 1, "pool.jsonl": 1}
    assert keep_part(KeepConfig(keep="action"), samples, out, pool=pool) == done
    with pytest.raises(ConfigurationError, match="keep='action'"):
        keep_part(KeepConfig(keep="observation"), samples, out, pool=pool)


def test_the_command_needs_no_pool_and_takes_held_out_samples(samples, tmp_path):
    write(samples, "held_out.jsonl")
    out = tmp_path / "out"
    words = ["keep", "--samples", samples, "--keep", "action", "--out", out]
    done = CliRunner().invoke(app, list(map(str, words)))
    assert done.exit_code == 0, done.output
    names = {"train.jsonl", "val.jsonl", "held_out.jsonl"}
    assert {p.name for p in out.iterdir()} == {*names, "manifest.json"}
    assert set(read_json(out / "manifest.json")["outputs"]) == names


def test_an_unfinished_folder_is_named(samples, tmp_path):
    with pytest.raises(CheckpointError, match="no finished stage `pool`"):
        keep_part(KeepConfig(keep="action"), samples, tmp_path / "o", pool=tmp_path)
