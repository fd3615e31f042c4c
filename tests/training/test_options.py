"""Options of an environment, from the command line into every stage that plays it."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass, replace

import pytest
from typer.testing import CliRunner

from langchain_agentrm._files import read_json
from langchain_agentrm.cli.train import app
from langchain_agentrm.environments import registry
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.training.audit import AuditConfig, audit_labels
from langchain_agentrm.training.cost import estimate_trees
from langchain_agentrm.training.demos import DemosConfig, collect_demos, read_demos
from langchain_agentrm.training.mini import MiniConfig
from langchain_agentrm.training.pool import PoolConfig, build_pool
from langchain_agentrm.training.samples import SamplesConfig, extract_samples
from langchain_agentrm.training.store import TreeStore
from langchain_agentrm.training.trees import STORE_FILE, TreesConfig, build_trees
from tests.training.game import CountFactory, CountGame, RandomPolicy

STYLE = {"style": "loud"}
babyai = pytest.mark.skipif(
    importlib.util.find_spec("langchain_agentrm_babyai") is None,
    reason="the BabyAI environment is not installed",
)
alfworld = pytest.mark.skipif(
    importlib.util.find_spec("langchain_agentrm_alfworld") is None,
    reason="the ALFWorld environment is not installed",
)


class StyledGame(CountGame):
    def __init__(self, style):
        super().__init__()
        self.style = style

    def _reset(self, task):
        start = super()._reset(task)
        return replace(start, goal=f"{start.goal} ({self.style})")

    def _copy(self):
        twin = StyledGame(self.style)
        twin.total = self.total
        return twin


@dataclass
class StyledFactory(CountFactory):
    """The counting game, whose goal says its style."""

    style: str = "plain"

    def __post_init__(self):
        if self.style not in {"plain", "loud"}:
            msg = f"There is no style {self.style!r}."
            raise ConfigurationError(msg, remedy="Use plain or loud.")

    def make(self):
        return StyledGame(self.style)


@pytest.fixture
def styled():
    registry.register(StyledFactory(), replace=True)
    yield
    registry.unregister("count")


def trees_of(folder):
    with TreeStore(folder / STORE_FILE) as store:
        return list(store.trees())


def build(out, **given):
    config = TreesConfig(env="count", tasks=6, simulations=8, chunk=3, **given)
    return build_trees(config, out, out, make_proposer=RandomPolicy)


@pytest.mark.parametrize("kind", [DemosConfig, PoolConfig, TreesConfig, MiniConfig])
def test_settings_without_options_are_those_of_before_there_were_any(kind):
    assert "options" not in kind().plain()
    given = kind(options=STYLE)
    assert given.plain() == {**kind().plain(), "options": STYLE}
    # What a worker or a later run reads back is the same settings.
    assert kind(**json.loads(json.dumps(given.model_dump()))) == given


@pytest.mark.usefixtures("styled")
def test_every_stage_that_plays_makes_the_environment_with_them(tmp_path):
    made = build(tmp_path / "trees", options=STYLE)
    assert made["config"]["options"] == STYLE
    assert {tree.goal for tree in trees_of(tmp_path / "trees")} == {"goal: 4. (loud)"}
    pool = PoolConfig(env="count", tasks=3, options=STYLE)
    build_pool(pool, tmp_path, tmp_path / "pool", make_proposer=RandomPolicy)
    rows = (tmp_path / "pool" / "pool.jsonl").read_text().splitlines()
    assert all("(loud)" in json.loads(row)["goal"] for row in rows)
    config = TreesConfig(env="count", tasks=6, options={"style": "shrill"})
    with pytest.raises(ConfigurationError, match="shrill"):
        estimate_trees(config)
    # The audit plays on from stored states, and so in the environment of the store.
    audit = AuditConfig(states=4, rerolls=2)
    done = audit_labels(
        audit, tmp_path / "trees", "", tmp_path / "audit", make_proposer=RandomPolicy
    )
    assert done["counts"]["states"] >= 4


def test_the_whole_pipeline_hands_them_to_its_stages():
    config = MiniConfig(env="count", options=STYLE, smoke=True)
    for stage in ("demos", "bc", "trees", "pool"):
        assert config.stages()[stage].options == STYLE


@pytest.mark.usefixtures("styled")
def test_other_options_are_refused_where_a_stage_was_begun(tmp_path):
    class Stop(Exception):
        pass

    def stop(done, _total, **_figures):
        if done == 1:
            raise Stop

    config = TreesConfig(env="count", tasks=6, simulations=8, chunk=3, options=STYLE)
    out = tmp_path / "trees"
    with pytest.raises(Stop):
        build_trees(config, out, out, make_proposer=RandomPolicy, progress=stop)
    for given in ({}, {"options": {"style": "plain"}}):
        with pytest.raises(ConfigurationError, match=r"options=\{'style': 'loud'\}"):
            build(out, **given)
    assert build(out, options=STYLE)["counts"]["trees"] == 6
    with pytest.raises(ConfigurationError, match=r"options=\{'style': 'loud'\}"):
        build(out)


@pytest.mark.usefixtures("styled")
def test_one_task_under_two_options_is_not_pooled(tmp_path):
    build(tmp_path / "a")
    build(tmp_path / "b", options=STYLE)
    folders = [tmp_path / "a", tmp_path / "b"]
    with pytest.raises(ConfigurationError, match=r"'style': 'loud'") as error:
        extract_samples(SamplesConfig(val_share=0.5), folders, tmp_path / "out")
    assert "plain:0" in str(error.value)


@pytest.mark.usefixtures("styled")
def test_a_factory_of_ones_own_takes_none(tmp_path):
    config = DemosConfig(env="count", options=STYLE)
    with pytest.raises(ConfigurationError, match="Make the factory with them"):
        collect_demos(config, tmp_path, factory=StyledFactory())


def run(*words):
    done = CliRunner().invoke(app, list(map(str, words)), catch_exceptions=False)
    assert done.exit_code == 0, done.output


@alfworld
def test_from_demonstrations_to_trees_by_the_command_line(tmp_path):
    option = ("--env", "alfworld", "--option", "perturbation=2")
    demos, bc, trees = (tmp_path / name for name in ("demos", "bc", "trees"))
    few = ["--n-per-type", 5, "--set", 'types=["look_at_obj_in_light"]']
    run("demos", *option, "--out", demos, *few)
    settings = read_json(demos / "manifest.json")["config"]
    assert settings["options"] == {"perturbation": "2"}
    acted = [a for _, demo in read_demos(demos) for _, a in demo.steps]
    # What the perturbed grammar says in place of "go to".
    assert any(a.startswith("move to ") for a in acted)
    assert not any(a.startswith("go to ") for a in acted)
    small = ["hidden=16", "layers=1", "epochs=1", "val_share=0.4", "eval_tasks=2"]
    run("bc", *option, "--demos", demos, "--out", bc, *(f"--set={s}" for s in small))
    few = ("--tasks", 3, "--simulations", 1, "--workers", 1)
    run("trees", *option, "--policy", bc, "--out", trees, *few)
    found = trees_of(trees)
    assert len(found) == 3
    assert all("\nmove to RECEPTACLE" in tree.instruction for tree in found)
    for other in ((), ("--option", "perturbation=3")):
        words = ("trees", "--env", "alfworld", *other, "--policy", bc, *few)
        with pytest.raises(
            ConfigurationError, match=r"options=\{'perturbation': '2'\}"
        ):
            run(*words, "--out", trees)


@babyai
@pytest.mark.parametrize(
    ("stage", "more"),
    [
        ("demos", ()),
        ("trees", ("--policy", "p")),
        ("mini", ("--smoke",)),
    ],
)
def test_an_unknown_option_is_refused_with_the_known_ones(tmp_path, stage, more):
    words = (stage, "--out", tmp_path, "--option", "stile=agentboard", *more)
    with pytest.raises(ConfigurationError, match=r"'stile'.*style, labels, prompts"):
        run(*words)
    with pytest.raises(ConfigurationError, match="NAME=VALUE"):
        run(stage, "--out", tmp_path, "--option", "style", *more)
