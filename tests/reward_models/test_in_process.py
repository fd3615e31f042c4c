from __future__ import annotations

import asyncio
import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from langchain_agentrm.errors import CheckpointError, ConfigurationError
from langchain_agentrm.reward_models import AgentRM
from langchain_agentrm.testing.mini_checkpoint import Broken, write_mini_checkpoint
from langchain_agentrm.testing.reward_model import RewardModelConformance
from langchain_agentrm.trajectory import Trajectory, Turn, render


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mini_checkpoint(tmp_path_factory.mktemp("rm"), "reward")


@pytest.fixture(scope="module")
def agent_rm(folder: Path) -> AgentRM:
    return AgentRM(folder, device="cpu")


def path(*actions: str, goal: str = "go to the red ball") -> Trajectory:
    turns = tuple(Turn(f"you see wall number {i}", a) for i, a in enumerate(actions))
    return Trajectory(turns=turns, goal=goal)


class TestKeptPrefix(RewardModelConformance):
    @pytest.fixture
    def reward_model(self, agent_rm: AgentRM) -> AgentRM:
        return agent_rm


class TestPadded(RewardModelConformance):
    @pytest.fixture
    def reward_model(self, folder: Path) -> AgentRM:
        return AgentRM(folder, device="cpu", keep_prefix=False, batch_tokens=300)


def search(steps: int) -> list[list[Trajectory]]:
    past: list[str] = []
    out = []
    for step in range(steps):
        out.append([path(*past, f"{a} {step}") for a in ("go", "turn", "open it")])
        past.append(f"go {step}")
    return out


def test_every_way_equals_the_model_itself(folder: Path) -> None:
    kept = AgentRM(folder, device="cpu")
    tight = AgentRM(folder, device="cpu", batch_tokens=64, prefix_bytes=20_000)
    padded = AgentRM(folder, device="cpu", keep_prefix=False)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    encoded = 0
    for step in search(7):
        expected = []
        for trajectory in step:
            text = tokenizer.apply_chat_template(render(trajectory), tokenize=False)
            ids = tokenizer(text, return_tensors="pt", add_special_tokens=False)
            encoded += ids["input_ids"].shape[1]
            with torch.inference_mode():
                expected.append(float(model(**ids).logits[0, 0]))
        assert max(expected) - min(expected) > 1e-3
        for way in (kept, tight, padded):
            values = [s.value for s in way.score(step).items]
            assert values == pytest.approx(expected, abs=2e-5)
    assert kept.encoded < encoded / 2
    assert padded.encoded == encoded
    assert tight.keeps_prefix
    assert 0 < tight._values.kept_bytes <= 20_000


def test_equal_texts_count_once(agent_rm: AgentRM) -> None:
    one = agent_rm.score([path("go")])
    three = agent_rm.score([path("go")] * 3)
    assert three.usage.input_tokens == one.usage.input_tokens
    assert three.usage.cached_tokens == one.usage.input_tokens
    assert one.usage.input_tokens > 0
    assert one.usage.requests == 1


def test_other_goal_other_score(agent_rm: AgentRM) -> None:
    a, b = agent_rm.score([path("go"), path("go", goal="open the door")]).items
    assert a.value is not None
    assert b.value is not None
    assert abs(a.value - b.value) > 1e-4


def test_long_trajectory_keeps_goal_and_candidate(folder: Path) -> None:
    model = AgentRM(folder, device="cpu", max_length=200)
    long = path(*[f"turn {i}" for i in range(30)])
    ids = model.tokens.chat(render(long), generation_prompt=False)
    assert len(ids) > 512
    batch = model.score([long])
    assert batch.items[0].ok
    assert batch.usage.input_tokens <= 200
    shorter = [f"turn {i}" for i in range(29)]
    a, b = model.score([path(*shorter, "jump"), path(*shorter, "sing")]).items
    assert a.value is not None
    assert b.value is not None
    assert abs(a.value - b.value) > 1e-4
    c, d = (model.score([path(*shorter, "go", goal=g)]).items[0] for g in "xy")
    assert c.value != d.value


def test_one_that_cannot_fit_fails_alone(folder: Path) -> None:
    model = AgentRM(folder, device="cpu", max_length=100)
    fine, bad = model.score([path("go"), path("go " * 200)]).items
    assert fine.ok
    assert bad.error is not None
    assert "limit is 100" in bad.error
    assert "1 turns" in bad.error


def test_nan_becomes_an_error(folder: Path, tmp_path: Path) -> None:
    write_mini_checkpoint(tmp_path, "reward")
    file = tmp_path / "model.safetensors"
    weights = load_file(file)
    weights["score.weight"] = torch.full_like(weights["score.weight"], math.nan)
    save_file(weights, file, metadata={"format": "pt"})
    batch = AgentRM(tmp_path, device="cpu").score([path("go"), path("stop")])
    assert [s.value for s in batch.items] == [None, None]
    assert all("nan" in (s.error or "") for s in batch.items)


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ("no_head", ["no reward head", "ImplicitRewardModel", "head="]),
        ("pad_is_eos", ["<|end|>", "one token early"]),
        ("no_tokenizer", ["tokenizer", "trained with"]),
        ("other_serializer", ["agentrm-v0", "agentrm-v1", "agentrm.json"]),
    ],
)
def test_refused_at_load(tmp_path: Path, broken: Broken, words: list[str]) -> None:
    write_mini_checkpoint(tmp_path, "reward", broken=broken)
    with pytest.raises(CheckpointError) as error:
        AgentRM(tmp_path, device="cpu")
    assert all(word in str(error.value) for word in [*words, str(tmp_path)])


def test_three_outputs_refused(tmp_path: Path) -> None:
    write_mini_checkpoint(tmp_path, "reward")
    file = tmp_path / "model.safetensors"
    weights = load_file(file)
    weights["score.weight"] = weights["score.weight"].repeat(3, 1)
    save_file(weights, file, metadata={"format": "pt"})
    config = json.loads((tmp_path / "config.json").read_text())
    config["id2label"] = {"0": "a", "1": "b", "2": "c"}
    config["label2id"] = {"a": 0, "b": 1, "c": 2}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="3 outputs"):
        AgentRM(tmp_path, device="cpu")


def test_foreign_padding_does_not_matter(tmp_path: Path) -> None:
    write_mini_checkpoint(tmp_path, "reward", broken="pad_is_eos")
    (tmp_path / "agentrm.json").unlink()
    with pytest.warns(UserWarning, match=r"agentrm\.json is missing"):
        foreign = AgentRM(tmp_path, device="cpu", keep_prefix=False)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    texts = [path("go"), path("turn left", "open the door")]
    expected = []
    for text in texts:
        ids = foreign.tokens.chat(render(text), generation_prompt=False)
        with torch.inference_mode():
            hidden = model.model(torch.tensor([ids])).last_hidden_state[0, -1]
            expected.append(float(model.score(hidden)))
    values = [s.value for s in foreign.score(texts).items]
    assert values == pytest.approx(expected, abs=2e-5)


def test_pickled_weights_refused(tmp_path: Path) -> None:
    write_mini_checkpoint(tmp_path, "reward")
    weights = load_file(tmp_path / "model.safetensors")
    torch.save(weights, tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="safetensors"):
        AgentRM(tmp_path, device="cpu")


def test_missing_folder_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nowhere"):
        AgentRM(tmp_path / "nowhere")


def test_unknown_dtype_refused(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="float17"):
        AgentRM(folder, device="cpu", dtype="float17")


def test_negative_limit_refused(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="max_length=-5"):
        AgentRM(folder, device="cpu", max_length=-5)


def test_absent_manifest_warns(tmp_path: Path) -> None:
    write_mini_checkpoint(tmp_path, "reward")
    (tmp_path / "agentrm.json").unlink()
    with pytest.warns(UserWarning, match=r"agentrm\.json is missing"):
        AgentRM(tmp_path, device="cpu")


def test_sliding_windows_are_encoded_whole(tmp_path: Path, folder: Path) -> None:
    write_mini_checkpoint(tmp_path, "reward")
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {
        "model_type": "mistral",
        "architectures": ["MistralForSequenceClassification"],
        "sliding_window": 24,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    model = AgentRM(tmp_path, device="cpu")
    assert not model.keeps_prefix
    steps = search(4)
    many = [s.value for step in steps for s in model.score(step).items]
    alone = [model.score([t]).items[0].value for step in steps for t in step]
    assert many == pytest.approx(alone, abs=2e-5)
    full = AgentRM(folder, device="cpu").score(steps[-1]).items
    assert abs((full[0].value or 0) - (many[-3] or 0)) > 1e-3


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compiled_equals_not_compiled(folder: Path, agent_rm: AgentRM) -> None:
    compiled = AgentRM(folder, device="cpu", compile=True)
    assert compiled.keeps_prefix
    for step in search(4):
        expected = [s.value for s in agent_rm.score(step).items]
        values = [s.value for s in compiled.score(step).items]
        assert values == pytest.approx(expected, abs=2e-5)


def test_many_threads(agent_rm: AgentRM) -> None:
    steps = search(5)
    expected = [[s.value for s in agent_rm.score(step).items] for step in steps]
    agent_rm.forget()

    async def all_at_once() -> list[list[float | None]]:
        batches = await asyncio.gather(*(agent_rm.ascore(s) for s in steps))
        return [[s.value for s in b.items] for b in batches]

    for got, want in zip(asyncio.run(all_at_once()), expected, strict=True):
        assert got == pytest.approx(want, abs=2e-5)
