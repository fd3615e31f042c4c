"""Every reward model that training makes, in a suite."""

from __future__ import annotations

import importlib.util
import json
import math

import pytest
import yaml
from typer.testing import CliRunner

from langchain_agentrm.cli.eval import app
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.evaluation.suite_config import RewardModelChoice, make_config

pytest.importorskip("torch", reason="models need torch")
pytest.importorskip("peft", reason="an adapter needs peft: [train]")
pytest.importorskip("accelerate", reason="the trainer needs accelerate: [train]")
if importlib.util.find_spec("langchain_agentrm_mini_models") is None:
    pytest.skip("the embedded models are not installed", allow_module_level=True)
if importlib.util.find_spec("langchain_agentrm_babyai") is None:
    pytest.skip("BabyAI is not installed", allow_module_level=True)

from langchain_agentrm.embedded import embedded_models
from langchain_agentrm.evaluation._block import Installed
from langchain_agentrm.reward_models import AgentRM, ImplicitRewardModel
from langchain_agentrm.reward_models.factory import reward_model
from langchain_agentrm.training.implicit import ImplicitConfig, train_implicit
from langchain_agentrm.training.rollouts import ROLLOUTS_FILE, Rollout
from langchain_agentrm.trajectory import Trajectory, Turn

BETA = 0.3
SEEN = "a wall 1 step forward"


def rollout(number, actions, score):
    task = {"env": "babyai", "type": "GoToObj", "id": f"t{number}", "seed": number}
    steps = [(action, SEEN) for action in actions]
    return Rollout(task, "go to the red ball", SEEN, steps, score)


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    root = tmp_path_factory.mktemp("implicit")
    rows = [
        row.plain()
        for n in range(16)
        for row in (
            rollout(n, ["turn left", "go forward"], 1.0),
            rollout(n, ["turn right"], 0.0),
        )
    ]
    (root / ROLLOUTS_FILE).write_text("".join(json.dumps(r) + "\n" for r in rows))
    settings = ImplicitConfig(
        epochs=1.0,
        batch_size=8,
        accumulate=1,
        lr=1e-2,
        beta=BETA,
        evaluations=1,
        val_share=0.25,
    )
    base = embedded_models("babyai").policy
    train_implicit(settings, root, base, root / "rm")
    return root / "rm"


def trajectories():
    seen = ("a red ball 2 steps forward", SEEN)
    return [
        Trajectory(
            (Turn(SEEN, "turn left"), Turn(first, action)), goal="go to the red ball"
        )
        for first in seen
        for action in ("go forward", "turn right")
    ]


def values(model):
    return [score.value for score in model.score(trajectories()).items]


def test_an_adapter_scores_with_the_beta_of_its_training(adapter):
    made = Installed().reward_model(
        RewardModelChoice(model=str(adapter), kind="implicit")
    )
    wanted = values(ImplicitRewardModel(adapter, beta=BETA))
    assert values(made) == pytest.approx(wanted, abs=1e-5)
    assert any(abs(x) > made.resolution for x in wanted)


def test_the_other_part_makes_no_difference_to_a_kept_model():
    folder = str(embedded_models("babyai").reward_model)
    whole, acts, sees = (
        values(Installed().reward_model(RewardModelChoice(model=folder, keep=keep)))
        for keep in ("all", "action", "observation")
    )
    assert whole == values(AgentRM(folder))
    assert len(set(whole)) == 4
    assert acts[:2] == pytest.approx(acts[2:])
    assert acts[0] != pytest.approx(acts[1])
    assert sees[0] == pytest.approx(sees[1])
    assert sees[0] != pytest.approx(sees[2])


def test_a_suite_runs_them_by_a_file(adapter, tmp_path):
    env = {"env": "babyai", "episodes": 2, "groups": ["held_in"], "types": ["GoToObj"]}
    settings = {
        "environments": [env],
        "reward_models": {
            "whole": {"keep": "all"},
            "acts": {"keep": "action"},
            "ratio": {"model": str(adapter), "kind": "implicit"},
            "ratio-acts": {"model": f"implicit:{adapter}", "keep": "action"},
        },
        "methods": ["best-of-3", "beam-2x2"],
    }
    path = tmp_path / "suite.yaml"
    path.write_text(yaml.safe_dump(settings))
    out = tmp_path / "out"
    words = ["run", str(path), "--out", str(out), "--workers", "1"]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    rows = [json.loads(x) for x in (out / "episodes.jsonl").read_text().splitlines()]
    assert {r["rm"] for r in rows} == set(settings["reward_models"])
    assert not any(r["failure"] for r in rows)
    pools = [json.loads(x) for x in (out / "pools.jsonl").read_text().splitlines()]
    for pool in pools:
        found = pool["values"]
        assert all(math.isfinite(x) for some in found.values() for x in some)
        for one, other in (("whole", "acts"), ("ratio", "ratio-acts")):
            assert found[one] != pytest.approx(found[other])
    # The digest holds a resumed run to the adapter, however it was named.
    models = json.loads((out / "manifest.json").read_text())["inputs"]
    assert models["ratio"] == models["ratio-acts"] != models["acts"]


def test_an_adapter_is_no_model_with_a_head_and_the_other_way_round(adapter):
    with pytest.raises(ConfigurationError, match="implicit:") as error:
        reward_model(str(adapter))
    assert "kind: implicit" in str(error.value)
    folder = embedded_models("babyai").reward_model
    with pytest.raises(ConfigurationError, match="without a reference"):
        reward_model(f"implicit:{folder}")
    with pytest.raises(ConfigurationError, match="base_url"):
        reward_model(f"implicit:{adapter}", base_url="http://h")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"keep": "thought"}, "keep='thought'"),
        ({"model": "implicit:x", "kind": "judge"}, "is of kind 'implicit'"),
    ],
)
def test_what_no_model_can_be_is_named(change, named):
    data = {"environments": [{"env": "e"}], "reward_models": {"r": change}}
    with pytest.raises(ConfigurationError, match=r"reward_models\.r") as error:
        make_config(data, where="suite.yaml")
    assert named in str(error.value)
