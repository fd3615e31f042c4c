"""vLLM's engine in a child process, over a value head that had to be converted."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from langchain_agentrm._checkpoint import load_tokenizer
from langchain_agentrm._tokens import ChatTokens
from langchain_agentrm.errors import CheckpointError, RewardModelError
from langchain_agentrm.reward_models.vllm_engine import VLLMEngineRewardModel
from langchain_agentrm.serving import sample_trajectories
from langchain_agentrm.testing.mini_checkpoint import write_mini_checkpoint
from langchain_agentrm.testing.reward_model import RewardModelConformance
from langchain_agentrm.trajectory import render
from tests.vllm.checkpoints import trl_value_head, trl_values

pytestmark = pytest.mark.vllm


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return trl_value_head(tmp_path_factory.mktemp("trl"))


@pytest.fixture(scope="module")
def engine(vllm_python, folder):
    with VLLMEngineRewardModel(folder, vllm_python=vllm_python) as model:
        yield model


@pytest.fixture(scope="module")
def trajectories():
    # Bytes are tokens here: more turns would not fit.
    return sample_trajectories(states=4)


class TestConformance(RewardModelConformance):
    @pytest.fixture
    def reward_model(self, engine):
        return engine


def test_a_converted_value_head_gives_its_own_values(engine, folder, trajectories):
    tokens = ChatTokens(load_tokenizer(folder))
    texts = [tokens.chat(render(t), generation_prompt=False) for t in trajectories]
    expected = trl_values(folder, [list(ids) for ids in texts])
    for _ in range(2):
        batch = engine.score(trajectories)
        got = [score.value for score in batch.items]
        assert max(abs(a - b) for a, b in zip(got, expected, strict=True)) < 1e-4
        assert batch.usage.input_tokens == sum(map(len, texts))
    assert batch.usage.cached_tokens > 0.7 * batch.usage.input_tokens


def test_a_text_that_does_not_fit_fails_alone(engine, trajectories):
    longest = sample_trajectories(states=2, candidates=1)[-1]
    turn = type(longest.turns[-1])("a wall. " * 200, "go forward")
    huge = type(longest)(
        turns=(turn,), goal=longest.goal, instruction="", search_id="x", group="x"
    )
    items = engine.score([trajectories[0], huge, trajectories[1]]).items
    assert [score.ok for score in items] == [True, False, True]
    assert "512" in items[1].error


def test_a_killed_engine_comes_back(engine, trajectories):
    before = engine.score(trajectories).items
    starts = engine.starts
    os.kill(engine.pid, signal.SIGKILL)
    while engine.pid is not None:
        time.sleep(0.01)
    after = engine.score(trajectories).items
    assert engine.starts == starts + 1
    for old, new in zip(before, after, strict=True):
        assert abs(old.value - new.value) < 1e-4


def test_an_engine_that_dies_in_a_call_is_an_error(engine, trajectories):
    pid = engine.pid
    os.kill(pid, signal.SIGSTOP)  # so that the call is under way when it dies
    killer = threading.Timer(0.5, os.kill, [pid, signal.SIGKILL])
    killer.start()
    with pytest.raises(RewardModelError, match="ended with exit code -9") as caught:
        engine.score(trajectories)
    killer.join()
    assert caught.value.retryable
    assert engine.pid is None


def test_an_option_that_vllm_refuses_is_an_error_with_its_words(vllm_python, folder):
    with pytest.raises(RewardModelError, match="max_model_len"):
        VLLMEngineRewardModel(folder, vllm_python=vllm_python, max_length=100_000)


def test_a_plain_language_model_is_refused(vllm_python, tmp_path):
    policy = write_mini_checkpoint(tmp_path / "policy", "policy", hidden=128)
    with pytest.raises(CheckpointError, match=r"score\.weight|language model"):
        VLLMEngineRewardModel(policy, vllm_python=vllm_python)
