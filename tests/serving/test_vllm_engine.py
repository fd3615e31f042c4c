"""The child process and its protocol, with a module that stands in for vLLM."""

from __future__ import annotations

import os
import shlex
import stat
import sys
import time
from pathlib import Path

import pytest

from langchain_agentrm.errors import (
    CheckpointError,
    ConfigurationError,
    RewardModelError,
)
from langchain_agentrm.reward_models import vllm_engine
from langchain_agentrm.reward_models._vllm.python import find_vllm
from langchain_agentrm.reward_models.vllm_engine import VLLMEngineRewardModel
from langchain_agentrm.testing.mini_checkpoint import write_mini_checkpoint
from langchain_agentrm.testing.reward_model import RewardModelConformance
from langchain_agentrm.trajectory import Trajectory, Turn

FAKE = Path(__file__).with_name("fake_vllm")
# Ids that the stand-in obeys; bytes are tokens, and these stand for none in plain text.
FAIL, DIE, SLEEP, NAN = 250, 251, 252, 253


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """A Python whose vLLM is the stand-in."""
    file = tmp_path_factory.mktemp("python") / "python"
    path = shlex.quote(str(FAKE))
    file.write_text(
        f'#!/bin/sh\nPYTHONPATH={path} exec {shlex.quote(sys.executable)} "$@"\n'
    )
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return file


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_mini_checkpoint(tmp_path_factory.mktemp("rm"), "reward", hidden=128)


@pytest.fixture(scope="module")
def shared(python, folder):
    with VLLMEngineRewardModel(folder, vllm_python=python) as model:
        yield model


@pytest.fixture
def model(python, folder):
    with VLLMEngineRewardModel(folder, vllm_python=python, answer_seconds=1.5) as made:
        yield made


def asked(*actions):
    return [
        Trajectory(turns=(Turn("a wall", action),), goal="go", group="g")
        for action in actions
    ]


@pytest.fixture
def obeyed(monkeypatch):
    """Puts an id that the stand-in obeys into the texts of one action."""

    def put(action, token):
        real = vllm_engine.fitted

        def fitted(tokens, trajectory, limit):
            text = real(tokens, trajectory, limit)
            if trajectory.turns[-1].action != action:
                return text
            return type(text)((*text.ids, token), text.dropped)

        monkeypatch.setattr(vllm_engine, "fitted", fitted)

    return put


class TestConformance(RewardModelConformance):
    @pytest.fixture
    def reward_model(self, shared):
        return shared


def test_the_stand_in_is_found_and_not_the_package_s_own_module(python, shared):
    # The child is run by path: the folder it lies in has a vllm.py too.
    assert find_vllm(python).cpu
    assert find_vllm(python).version == "0.0.0"
    assert shared._engine.ready["version"] == "0.0.0"
    assert shared.max_length == 512


def test_values_tokens_and_cache_are_counted_once(shared):
    batch = shared.score(asked("left", "right", "left"))
    assert batch.items[0].value == batch.items[2].value
    assert batch.usage.requests == 2
    assert batch.usage.cached_tokens == 32
    lengths = [8 * batch.items[i].value for i in (0, 1)]
    assert batch.usage.input_tokens == sum(lengths)


def test_a_nan_fails_alone(shared, obeyed):
    obeyed("bad", NAN)
    items = shared.score(asked("good", "bad", "better")).items
    assert [score.ok for score in items] == [True, False, True]
    assert "nan" in items[1].error


@pytest.mark.parametrize(
    ("token", "says"),
    [
        (FAIL, "no luck with this text"),
        (DIE, "ended with exit code 5"),
        (SLEEP, "no answer in"),
    ],
)
def test_a_failure_is_an_error_and_the_next_call_starts_again(
    model, obeyed, token, says
):
    expected = model.score(asked("good")).items[0].value
    obeyed("bad", token)
    pid = model.pid
    with pytest.raises(RewardModelError, match=says) as caught:
        model.score(asked("good", "bad"))
    assert caught.value.retryable
    assert "noise" in str(caught.value)
    assert model.pid is None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert model.score(asked("good")).items[0].value == expected
    assert model.starts == 2


def test_a_model_that_does_not_load_is_an_error_with_its_words(python, folder):
    with pytest.raises(RewardModelError, match="13 is no length"):
        VLLMEngineRewardModel(folder, vllm_python=python, max_length=13)


def test_options_reach_vllm(python, folder):
    with VLLMEngineRewardModel(
        folder, vllm_python=python, options={"max_model_len": 99}
    ) as model:
        assert model.max_length == 99


def test_closing_ends_the_child_and_what_it_wrote(python, folder):
    model = VLLMEngineRewardModel(folder, vllm_python=python)
    pid, work = model.pid, model._work
    model.close()
    model.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert not work.exists()
    with pytest.raises(ConfigurationError, match="closed"):
        model.score(asked("left"))


def test_a_forgotten_model_ends_its_child(python, folder):
    import gc

    model = VLLMEngineRewardModel(folder, vllm_python=python)
    pid, work = model.pid, model._work
    del model
    gc.collect()
    until = time.monotonic() + 10
    while work.exists() or Path(f"/proc/{pid}").exists():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_bad_input_is_refused_before_vllm_starts(python, folder, tmp_path):
    with pytest.raises(ConfigurationError, match="max_length=0"):
        VLLMEngineRewardModel(folder, vllm_python=python, max_length=0)
    other = write_mini_checkpoint(
        tmp_path / "other", "reward", broken="other_serializer", hidden=128
    )
    with pytest.raises(CheckpointError, match="agentrm-v0"):
        VLLMEngineRewardModel(other, vllm_python=python)
    policy = write_mini_checkpoint(tmp_path / "policy", "policy", hidden=128)
    with pytest.raises(CheckpointError):
        VLLMEngineRewardModel(policy, vllm_python=python)
