from __future__ import annotations

import subprocess
import sys

import pytest

from langchain_agentrm.errors import AgentRMError, ConfigurationError
from langchain_agentrm.reward_models.factory import reward_model
from langchain_agentrm.reward_models.judge import JudgeRewardModel
from langchain_agentrm.testing.mini_checkpoint import write_mini_checkpoint
from langchain_agentrm.trajectory import Trajectory, Turn

TWO = [Trajectory((Turn("o", a),), goal="g", group="g") for a in ("a", "b")]


@pytest.mark.parametrize("prefix", ["", "local:"])
def test_a_folder_is_a_checkpoint(tmp_path, prefix):
    folder = write_mini_checkpoint(tmp_path / "rm", "reward")
    model = reward_model(f"{prefix}{folder}", max_length=100)
    assert type(model).__name__ == "AgentRM"
    assert model.max_length == 100
    assert all(s.ok for s in model.score(TWO).items)


def test_a_judge_behind_a_server(openai_server):
    openai_server.script.answer = lambda body, _: "Ranking: 2 > 1"
    model = reward_model("judge:openai:m", base_url=openai_server.url, votes=2)
    assert isinstance(model, JudgeRewardModel)
    assert [s.value for s in model.score(TWO).items] == [0.5, 0.5]
    body = openai_server.requests[0]
    assert body["model"] == "m"
    assert body["temperature"] == 0


def test_a_judges_form_and_temperature(openai_server):
    openai_server.script.answer = lambda body, _: "Grade: 4"
    model = reward_model(
        "judge:pointwise:openai:m", base_url=openai_server.url, temperature=0.7
    )
    assert [s.value for s in model.score(TWO).items] == [0.4, 0.4]
    assert openai_server.requests[0]["temperature"] == 0.7


def test_a_policy_folder_can_judge(tmp_path):
    folder = write_mini_checkpoint(tmp_path / "policy")
    model = reward_model(f"judge:pairwise:{folder}", seed=4)
    assert isinstance(model, JudgeRewardModel)
    assert (model.form, model.seed) == ("pairwise", 4)


def test_a_vllm_server_is_made_without_asking_it(tmp_path):
    folder = write_mini_checkpoint(tmp_path / "rm", "reward")
    model = reward_model(f"vllm:{folder}", base_url="http://127.0.0.1:9")
    assert type(model).__name__ == "VLLMRewardModel"


@pytest.mark.parametrize(
    ("name", "options", "named"),
    [
        ("nothing-here", {}, "nothing-here"),
        ("./nothing/here", {}, "nothing/here"),
        ("", {}, "''"),
        ("vllm:", {}, "'vllm:'"),
        ("vllm:folder", {}, "--base-url"),
        ("judge:", {}, "'judge:'"),
        ("judge:nothing", {}, "nothing"),
        ("judge:openai:m", {"votes": 0}, "votes=0"),
        ("folder", {"base_url": "http://127.0.0.1:9"}, "base_url"),
    ],
)
def test_a_word_that_names_nothing_is_refused(name, options, named):
    with pytest.raises(ConfigurationError, match=named):
        reward_model(name, **options)


def test_a_hub_id_goes_to_the_loader():
    with pytest.raises(AgentRMError, match="nobody/nothing-of-this-name"):
        reward_model("nobody/nothing-of-this-name")


def test_importing_the_factory_loads_no_backend():
    code = (
        "import sys, langchain_agentrm.reward_models.factory,"
        "langchain_agentrm.reward_models.judge,"
        "langchain_agentrm.reward_models.ensemble,"
        "langchain_agentrm.reward_models.calibration,"
        "langchain_agentrm.reward_models.evaluator\n"
        "print(sorted({'torch','transformers','langchain_openai','vllm','numpy',"
        "'langgraph'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
