from __future__ import annotations

import json
import math
import random
import shutil
import statistics
import sys
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Gemma2Config,
    Gemma2ForCausalLM,
    MistralConfig,
    MistralForCausalLM,
)

from langchain_agentrm.errors import CheckpointError, ConfigurationError
from langchain_agentrm.reward_models.implicit import ImplicitRewardModel
from langchain_agentrm.testing.mini_checkpoint import (
    CHAT_TEMPLATE,
    write_mini_checkpoint,
)
from langchain_agentrm.testing.reward_model import RewardModelConformance
from langchain_agentrm.trajectory import Trajectory, Turn, render
from langchain_agentrm.types import Score

BETA = 0.05


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mini_checkpoint(tmp_path_factory.mktemp("policy"), seed=1)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mini_checkpoint(tmp_path_factory.mktemp("reference"), seed=2)


@pytest.fixture(scope="module")
def model(policy: Path, reference: Path) -> ImplicitRewardModel:
    return ImplicitRewardModel(policy, reference, device="cpu")


def path(*actions: str, goal: str = "go to the red ball") -> Trajectory:
    turns = tuple(Turn(f"you see wall number {i}", a) for i, a in enumerate(actions))
    return Trajectory(turns=turns, goal=goal)


def log_probs(folder: Path, ids: list[int]) -> list[float]:
    lm = AutoModelForCausalLM.from_pretrained(folder).eval()
    with torch.inference_mode():
        logits = lm(torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
    picked = logits.gather(1, torch.tensor(ids[1:])[:, None])[:, 0]
    return [math.nan, *picked.tolist()]


def by_hand(policy: Path, reference: Path, trajectory: Trajectory) -> list[float]:
    """Log-ratios by step, of the whole text, spans found by the special tokens."""
    tokenizer = AutoTokenizer.from_pretrained(policy)
    text = tokenizer.apply_chat_template(render(trajectory), tokenize=False)
    ids = tokenizer.encode(text, add_special_tokens=False)
    opener, end = tokenizer.convert_tokens_to_ids(["<|assistant|>", "<|end|>"])
    one, other = log_probs(policy, ids), log_probs(reference, ids)
    ratios: list[float] = []
    for i, token in enumerate(ids):
        if token == opener:
            stop = ids.index(end, i)
            ratios.append(sum(one[j] - other[j] for j in range(i + 1, stop + 1)))
    return ratios


def values(model: ImplicitRewardModel, trajectories: list[Trajectory]) -> list[float]:
    return [s.value or math.nan for s in model.score(trajectories).items]


def encoded(model: ImplicitRewardModel) -> int:
    return sum(side.encoded for side in model._sides)


class TestShared(RewardModelConformance):
    @pytest.fixture
    def reward_model(self, model: ImplicitRewardModel) -> ImplicitRewardModel:
        return model


class TestPadded(RewardModelConformance):
    @pytest.fixture
    def reward_model(self, policy: Path, reference: Path) -> ImplicitRewardModel:
        return ImplicitRewardModel(
            policy, reference, device="cpu", prefix_bytes=0, batch_tokens=300
        )


class TestMean(RewardModelConformance):
    @pytest.fixture
    def reward_model(self, policy: Path, reference: Path) -> ImplicitRewardModel:
        return ImplicitRewardModel(policy, reference, device="cpu", read="mean")


@pytest.mark.parametrize(
    "options",
    [{}, {"prefix_bytes": 0}, {"prefix_bytes": 60_000}, {"batch_tokens": 64}],
    ids=["shared", "padded", "pool too small", "small passes"],
)
def test_every_way_equals_the_whole_sequence(
    policy: Path, reference: Path, options: dict[str, int]
) -> None:
    model = ImplicitRewardModel(policy, reference, device="cpu", **options)
    past: list[str] = []
    for step in range(5):
        batch = [path(*past, f"{a} {step}") for a in ("go", "turn", "open it")]
        expected = [BETA * sum(by_hand(policy, reference, t)) for t in batch]
        assert max(expected) - min(expected) > 1e-2
        assert values(model, batch) == pytest.approx(expected, abs=1e-5)
        past.append(f"go {step}")


def test_any_search_in_any_order_equals_cold_and_alone(
    policy: Path, reference: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = "langchain_agentrm.reward_models._implicit.logprobs"
    monkeypatch.setattr(f"{module}._POSITIONS", 40)
    monkeypatch.setattr(f"{module}._LOGITS", 260 * 7)
    draw = random.Random(0)
    warm = ImplicitRewardModel(
        policy, reference, device="cpu", max_length=300, prefix_bytes=300_000
    )
    seen: dict[tuple[str, ...], Score] = {}
    for _ in range(25):
        batch: list[tuple[str, ...]] = []
        for _ in range(draw.randint(1, 6)):
            start = draw.choice([(), *seen])
            more = draw.choices(["go", "turn left", "stop it", "x" * 30], k=2)
            batch.append((*start, *more[: draw.randint(1, 2)])[:9])
        items = warm.score([path(*actions) for actions in batch]).items
        for actions, score in zip(batch, items, strict=True):
            if actions in seen:
                assert score == seen[actions]
            seen[actions] = score
    assert any(score.signals.get("dropped_turns") for score in seen.values())
    cold = ImplicitRewardModel(
        policy, reference, device="cpu", max_length=300, prefix_bytes=0
    )
    for actions in draw.sample(list(seen), 40):
        cold.forget()
        score = cold.score([path(*actions)]).items[0]
        assert score.value == pytest.approx(seen[actions].value, abs=1e-5)
        assert score.signals == pytest.approx(dict(seen[actions].signals), abs=1e-5)


def test_a_batch_that_memory_does_not_hold_is_split(
    policy: Path, reference: Path
) -> None:
    model = ImplicitRewardModel(policy, reference, device="cpu", prefix_bytes=0)
    batch = [path("go", a) for a in ("left", "right", "up", "down", "on")]
    expected = values(model, batch)
    model.forget()
    rows: list[int] = []

    def tight(_module, _args, fields) -> None:
        rows.append(len(fields["input_ids"]))
        if rows[-1] > 2:
            raise torch.OutOfMemoryError

    body = model._sides[0]._body
    body.register_forward_pre_hook(tight, with_kwargs=True)
    assert values(model, batch) == pytest.approx(expected, abs=1e-6)
    assert rows == [5, 2, 2, 1]


@pytest.mark.parametrize(
    ("read", "read_out"),
    [
        ("last", lambda r: r[-1]),
        ("cumulative", sum),
        ("mean", statistics.fmean),
        ("min", min),
    ],
)
def test_read_outs(policy: Path, reference: Path, read, read_out) -> None:
    model = ImplicitRewardModel(policy, reference, device="cpu", read=read, beta=0.5)
    trajectory = path("go", "turn left", "stop here")
    ratios = by_hand(policy, reference, trajectory)
    assert len(ratios) == 3
    assert len({round(r, 3) for r in ratios}) == 3
    score = model.score([trajectory]).items[0]
    assert score.value == pytest.approx(0.5 * read_out(ratios), abs=1e-5)
    assert score.signals == pytest.approx({"step_reward": 0.5 * ratios[-1]}, abs=1e-5)
    assert model.comparable == ("global" if read == "mean" else "depth")


def test_a_search_grows_with_its_new_tokens_only(policy: Path, reference: Path) -> None:
    folders = [
        write_mini_checkpoint(folder.parent / f"long-{folder.name}", context=4096)
        for folder in (policy, reference)
    ]
    model = ImplicitRewardModel(*folders, device="cpu")
    distinct: set[tuple[int, ...]] = set()
    naive = 0
    past: list[str] = []
    for step in range(20):
        batch = [path(*past, f"{a} {step}") for a in ("go", "turn", "open it")]
        assert all(s.ok for s in model.score(batch).items)
        for trajectory in batch:
            ids = model.tokens.chat(render(trajectory), generation_prompt=False)
            naive += len(ids)
            distinct.update(ids[:n] for n in range(1, len(ids) + 1))
        past.append(f"turn {step}")
    assert encoded(model) == 2 * len(distinct)
    assert encoded(model) < naive / 5
    assert len(model._steps) == 60


def test_a_known_step_is_not_read_again(model: ImplicitRewardModel) -> None:
    model.forget()
    first = model.score([path("go", "turn")])
    text = len(model.tokens.chat(render(path("go", "turn")), generation_prompt=False))
    assert first.usage.requests == 2
    assert first.usage.input_tokens == 2 * text
    assert first.usage.cached_tokens == 0
    again = model.score([path("go", "turn"), path("go")])
    assert again.usage.tokens == 0
    assert again.items[0] == first.items[0]
    sibling = model.score([path("go", "stop")]).usage
    assert 0.5 * sibling.input_tokens < sibling.cached_tokens < sibling.input_tokens
    model.forget()
    assert model.score([path("go", "turn")]).usage == first.usage


def test_cold_and_warm_agree_past_the_context(policy: Path, reference: Path) -> None:
    warm = ImplicitRewardModel(policy, reference, device="cpu", max_length=160)
    cold = ImplicitRewardModel(
        policy, reference, device="cpu", max_length=160, prefix_bytes=0
    )
    past: list[str] = []
    scores = []
    for step in range(12):
        past.append(f"go to {step}")
        scores.append(warm.score([path(*past)]).items[0])
    dropped = [s.signals.get("dropped_turns", 0) for s in scores]
    assert dropped == sorted(dropped)
    assert dropped[0] == 0
    assert dropped[-1] >= 4
    score = cold.score([path(*past)]).items[0]
    assert score.value == pytest.approx(scores[-1].value, abs=1e-5)
    assert score.signals == pytest.approx(dict(scores[-1].signals), abs=1e-5)
    rewards = [s.signals["step_reward"] for s in scores]
    assert score.value == pytest.approx(sum(rewards), abs=1e-5)


def test_too_long_is_that_candidates_error(policy: Path, reference: Path) -> None:
    model = ImplicitRewardModel(policy, reference, device="cpu", max_length=100)
    good, bad, after = model.score(
        [path("go"), path("go " * 60), path("go " * 60, "turn")]
    ).items
    assert good.ok
    assert "turn 1 of 1: it has 2" in (bad.error or "")
    assert "the limit is 100" in (bad.error or "")
    assert (after.error or "").startswith("turn 1 of 2")


def test_no_turns_is_an_error(model: ImplicitRewardModel) -> None:
    empty, good = model.score([Trajectory(turns=()), path("go")]).items
    assert empty.error == "the trajectory has no turns"
    assert good.ok


@pytest.mark.parametrize("prefix_bytes", [0, 1 << 24])
def test_nan_stays_with_its_candidate(
    policy: Path, reference: Path, prefix_bytes: int
) -> None:
    model = ImplicitRewardModel(
        policy, reference, device="cpu", prefix_bytes=prefix_bytes
    )
    poison = model.tokens.encode("~")[0]
    body = model._sides[0]._body
    with torch.no_grad():  # the head is tied, so a row of the embedding alone
        body.embed_tokens.register_forward_hook(
            lambda _, args, out: out.masked_fill(
                (args[0] == poison)[..., None], torch.nan
            )
        )
    batch = [path("go", a) for a in ("left", "~ oh", "right", "up")]
    for _ in range(2):
        items = model.score(batch).items
        assert [s.ok for s in items] == [True, False, True, True]
        assert items[1].error == "turn 2 of 2: its log-ratio is nan"
    kept = [s.value for s in items if s.ok]
    clean = ImplicitRewardModel(policy, reference, device="cpu")
    expected = [s.value for s in clean.score(batch).items]
    assert kept == pytest.approx([expected[0], *expected[2:]], abs=1e-5)


def test_log_ratio_of_a_model_in_half_precision(policy: Path, reference: Path) -> None:
    exact = ImplicitRewardModel(policy, reference, device="cpu")
    half = ImplicitRewardModel(policy, reference, device="cpu", dtype="bfloat16")
    batch = [path("go", a) for a in ("left", "right", "up")]
    assert values(half, batch) == pytest.approx(values(exact, batch), abs=0.1)
    assert half.resolution > exact.resolution


@pytest.fixture(scope="module")
def adapter(policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    peft = pytest.importorskip("peft", reason="LoRA adapters are read by peft")
    base = AutoModelForCausalLM.from_pretrained(policy)
    config = peft.LoraConfig(
        r=4, lora_alpha=64, target_modules="all-linear", init_lora_weights=False
    )
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of transformers, in peft
        torch.manual_seed(5)
        adapted = peft.get_peft_model(base, config)
    folder = tmp_path_factory.mktemp("adapter")
    adapted.save_pretrained(folder)
    merged = adapted.merge_and_unload()
    merged.save_pretrained(folder / "merged")
    AutoTokenizer.from_pretrained(policy).save_pretrained(folder / "merged")
    return folder


@pytest.mark.parametrize("prefix_bytes", [0, 1 << 24])
def test_adapter_on_and_off_equals_two_folders(
    adapter: Path, policy: Path, prefix_bytes: int
) -> None:
    switched = ImplicitRewardModel(adapter, device="cpu", prefix_bytes=prefix_bytes)
    apart = ImplicitRewardModel(adapter / "merged", policy, device="cpu")
    given = ImplicitRewardModel(adapter, policy, device="cpu")
    assert switched._sides[0]._body is switched._sides[1]._body
    for step in range(3):
        past = [f"go {i}" for i in range(step)]
        batch = [path(*past, a) for a in ("left", "turn right", "up")]
        expected = values(apart, batch)
        assert max(map(abs, expected)) > 1e-2
        assert values(switched, batch) == pytest.approx(expected, abs=1e-5)
        assert values(given, batch) == pytest.approx(expected, abs=1e-5)


def test_adapter_without_safetensors(adapter: Path, tmp_path: Path) -> None:
    shutil.copy(adapter / "adapter_config.json", tmp_path)
    with pytest.raises(CheckpointError, match=r"has no adapter_model\.safetensors"):
        ImplicitRewardModel(tmp_path, device="cpu")


def test_adapter_needs_peft(
    policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    shutil.copytree(policy, tmp_path / "base")
    fields = {"peft_type": "LORA", "base_model_name_or_path": str(tmp_path / "base")}
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps(fields), encoding="utf-8")
    (folder / "adapter_model.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match="peft is not installed"):
        ImplicitRewardModel(folder, device="cpu")


def retemplated(folder: Path, out: Path, template: str) -> Path:
    shutil.copytree(folder, out)
    (out / "chat_template.jinja").write_text(template, encoding="utf-8")
    config = out / "tokenizer_config.json"
    fields = json.loads(config.read_text(encoding="utf-8"))
    fields.pop("chat_template", None)
    config.write_text(json.dumps(fields), encoding="utf-8")
    return out


def test_a_template_that_writes_earlier_turns_anew_is_refused(
    policy: Path, reference: Path, tmp_path: Path
) -> None:
    template = CHAT_TEMPLATE.replace(
        "<|assistant|>{{ m['content'] }}",
        "<|assistant|>{% if loop.last %}thought: {% endif %}{{ m['content'] }}",
    )
    one = retemplated(policy, tmp_path / "one", template)
    other = retemplated(reference, tmp_path / "other", template)
    with pytest.raises(CheckpointError, match="writes message 3 of 7 anew"):
        ImplicitRewardModel(one, other, device="cpu")


def test_turns_written_anew_only_for_some_content_are_an_error(
    policy: Path, reference: Path, tmp_path: Path
) -> None:
    template = CHAT_TEMPLATE.replace(
        "<|assistant|>{{ m['content'] }}",
        "<|assistant|>{{ m['content'] if loop.last else "
        "m['content'].split('</think>')[-1] }}",
    )
    one = retemplated(policy, tmp_path / "one", template)
    other = retemplated(reference, tmp_path / "other", template)
    model = ImplicitRewardModel(one, other, device="cpu")
    plain, first, second = model.score(
        [
            path("go", "left"),
            path("<think>a</think>go"),
            path("<think>a</think>go", "b"),
        ]
    ).items
    assert plain.ok
    assert first.ok
    assert "turn 2 of 2: the chat template writes an earlier turn anew" in (
        second.error or ""
    )


def test_blanks_after_the_end_of_a_turn_are_the_templates(
    policy: Path, reference: Path, tmp_path: Path
) -> None:
    template = CHAT_TEMPLATE.replace("<|end|>", "<|end|>{{ '\\n' }}")
    one = retemplated(policy, tmp_path / "one", template)
    other = retemplated(reference, tmp_path / "other", template)
    model = ImplicitRewardModel(one, other, device="cpu")
    trajectory = path("go", "left\n")
    assert values(model, [trajectory]) == pytest.approx(
        [BETA * sum(by_hand(one, other, trajectory))], abs=1e-5
    )
    ids = model.tokens.chat(render(trajectory), generation_prompt=False)
    (ask,) = model._steps.plan([path("go", "left\n ")]).asks
    assert ids[-1] == model.tokens.encode("\n")[0]
    assert ask.ids[ask.spans[0][1] - 1] == 3


def test_different_tokens_are_refused_with_the_first_difference(
    policy: Path, reference: Path, tmp_path: Path
) -> None:
    template = CHAT_TEMPLATE.replace("<|user|>{{", "<|user|> {{")
    other = retemplated(reference, tmp_path / "other", template)
    with pytest.raises(CheckpointError, match=r"token 2 is \d+ 'f' for the policy and"):
        ImplicitRewardModel(policy, other, device="cpu")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"read": "sum"}, "read='sum' is no read-out"),
        ({"beta": 0.0}, r"beta=0\.0 does not work"),
        ({"beta": math.nan}, "beta=nan does not work"),
        ({"max_length": 0}, "max_length=0 does not work"),
        ({"batch_tokens": 0}, "batch_tokens=0 does not work"),
    ],
)
def test_wrong_options(policy: Path, reference: Path, options, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        ImplicitRewardModel(policy, reference, device="cpu", **options)


def test_two_models_are_needed(policy: Path) -> None:
    with pytest.raises(ConfigurationError, match="without a reference"):
        ImplicitRewardModel(policy, device="cpu")
    with pytest.raises(ConfigurationError, match="the same folder"):
        ImplicitRewardModel(policy, policy.parent / policy.name, device="cpu")


def test_a_policy_of_another_rendering_is_refused(
    reference: Path, tmp_path: Path
) -> None:
    other = write_mini_checkpoint(tmp_path, broken="other_serializer")
    with pytest.raises(CheckpointError, match="says serializer 'agentrm-v0'"):
        ImplicitRewardModel(other, reference, device="cpu")


def test_a_model_that_gives_nan_is_refused(
    policy: Path, reference: Path, tmp_path: Path
) -> None:
    broken = shutil.copytree(reference, tmp_path / "broken")
    weights = load_file(broken / "model.safetensors")
    weights["model.norm.weight"][0] = torch.nan
    save_file(weights, broken / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match="broken' gives values that are not fin"):
        ImplicitRewardModel(policy, broken, device="cpu")


def test_a_template_without_a_system_role(
    policy: Path, reference: Path, tmp_path: Path
) -> None:
    template = CHAT_TEMPLATE.replace(
        "{%- for m in messages -%}",
        "{%- for m in messages -%}"
        "{%- if m['role'] == 'system' -%}"
        "{{ raise_exception('no system') }}{%- endif -%}",
    )
    one = retemplated(policy, tmp_path / "one", template)
    other = retemplated(reference, tmp_path / "other", template)
    model = ImplicitRewardModel(one, other, device="cpu")
    plain = ImplicitRewardModel(policy, reference, device="cpu")
    assert values(model, [path("go", "left")]) == values(plain, [path("go", "left")])
    with pytest.raises(ConfigurationError, match="no system"):
        model.score([Trajectory(turns=path("go").turns, instruction="rules")])


@pytest.mark.filterwarnings("ignore")
def test_a_reward_model_is_no_policy(reference: Path, tmp_path: Path) -> None:
    wrong = write_mini_checkpoint(tmp_path / "rm", "reward")
    with pytest.raises(CheckpointError, match=r"lacks the weights lm_head\.weight"):
        ImplicitRewardModel(wrong, reference, device="cpu")


def other_architecture(folder: Path, source: Path, name: str) -> Path:
    shared = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "initializer_range": 0.3,
        "vocab_size": 260,
        "pad_token_id": 0,
        "bos_token_id": None,
        "eos_token_id": 3,
    }
    if name == "mistral":
        lm = MistralForCausalLM(MistralConfig(**shared, sliding_window=16))
    else:
        extra = {"head_dim": 8, "final_logit_softcapping": 2.0, "sliding_window": 16}
        lm = Gemma2ForCausalLM(Gemma2Config(**shared, **extra))
    lm.save_pretrained(folder)
    AutoTokenizer.from_pretrained(source).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("name", ["mistral", "gemma2"])
def test_models_with_windows_read_whole_texts(
    policy: Path, tmp_path: Path, name: str
) -> None:
    one = other_architecture(tmp_path / "one", policy, name)
    other = other_architecture(tmp_path / "other", policy, name)
    model = ImplicitRewardModel(one, other, device="cpu")
    assert not model.keeps_prefix
    batch = [path("go", "turn left", a) for a in ("stop", "go on")]
    expected = [BETA * sum(by_hand(one, other, t)) for t in batch]
    assert values(model, batch) == pytest.approx(expected, abs=1e-5)


def test_a_body_that_does_not_share_is_found_at_load(
    policy: Path, reference: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "langchain_agentrm.reward_models._implicit.logprobs.can_keep_prefix",
        lambda config: True,
    )
    one = other_architecture(policy.parent / "window-one", policy, "mistral")
    other = other_architecture(policy.parent / "window-other", policy, "mistral")
    with pytest.warns(UserWarning, match="gives other values where beginnings are"):
        model = ImplicitRewardModel(one, other, device="cpu")
    assert not model.keeps_prefix


def test_a_head_that_is_not_all_is_found_at_load(
    policy: Path, reference: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "langchain_agentrm.reward_models._implicit.logprobs.LogProbs._scaled",
        lambda self, logits: logits,
    )
    one = other_architecture(policy.parent / "cap-one", policy, "gemma2")
    with pytest.raises(CheckpointError, match=r"The head of .* alone does not give"):
        ImplicitRewardModel(one, reference, device="cpu")
