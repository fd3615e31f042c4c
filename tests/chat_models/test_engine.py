from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from langchain_agentrm.chat_models._engine import Answers, Ask, LocalModel
from langchain_agentrm.chat_models._sampling import choose, stream_keys, uniforms
from langchain_agentrm.errors import CheckpointError, ConfigurationError
from langchain_agentrm.testing.mini_checkpoint import write_mini_checkpoint

NEW = 12


def chat(words: int) -> list[dict[str, str]]:
    return [
        {"role": "user", "content": f"{words} balls: " + "red ball, " * words},
        {"role": "assistant", "content": "go forward"},
        {"role": "user", "content": "you see a wall"},
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mini_checkpoint(tmp_path_factory.mktemp("policy"))


@pytest.fixture(scope="module")
def asks() -> list[Ask]:
    sizes = (1, 4, 9, 20, 4, 30)
    sampled = [
        Ask(chat(k), n=n, seed=i, temperature=0.7 + i / 10)
        for i, (k, n) in enumerate(zip(sizes, (3, 1, 2, 5, 3, 1), strict=True))
    ]
    return sampled + [Ask(chat(k), greedy=True) for k in sizes]


@pytest.fixture(scope="module")
def one_by_one(folder: Path, asks: list[Ask]) -> list[Answers]:
    model = LocalModel(folder, device="cpu", keep_prefix=False)
    return [model.generate([a], max_new_tokens=NEW)[0] for a in asks]


def same(got: list[Answers], want: list[Answers]) -> None:
    for a, b in zip(got, want, strict=True):
        assert a.prompt_tokens == b.prompt_tokens
        assert [s.text for s in a.samples] == [s.text for s in b.samples]
        assert [s.tokens for s in a.samples] == [s.tokens for s in b.samples]
        assert [s.logprob for s in a.samples] == pytest.approx(
            [s.logprob for s in b.samples], abs=1e-4
        )


def test_greedy_equals_transformers(folder: Path) -> None:
    model = LocalModel(folder, device="cpu")
    plain = AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    prompts = [chat(k) for k in (1, 7, 25)]
    answers = model.generate([Ask(p, greedy=True) for p in prompts], max_new_tokens=NEW)
    for prompt, answer in zip(prompts, answers, strict=True):
        text = tokenizer.apply_chat_template(
            prompt, tokenize=False, add_generation_prompt=True
        )
        feed = tokenizer(text, return_tensors="pt", add_special_tokens=False)
        start = feed["input_ids"].shape[1]
        ids = plain.generate(**feed, do_sample=False, max_new_tokens=NEW)
        with torch.inference_mode():
            scores = plain(ids).logits[0, start - 1 : -1].log_softmax(-1)
        logprob = scores.gather(-1, ids[0, start:, None]).sum()
        sample = answer.samples[0]
        assert answer.prompt_tokens == start
        assert sample.text == tokenizer.decode(ids[0, start:], skip_special_tokens=True)
        assert sample.tokens == ids.shape[1] - start
        assert sample.logprob == pytest.approx(float(logprob), abs=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"keep_prefix": False},
        {"prefix_bytes": 30_000},
        {"batch_tokens": 150, "chunk_tokens": 100},
    ],
)
def test_batch_equals_one_by_one(
    folder: Path,
    asks: list[Ask],
    one_by_one: list[Answers],
    options: dict[str, int],
) -> None:
    model = LocalModel(folder, device="cpu", **options)  # type: ignore[arg-type]
    same(model.generate(asks, max_new_tokens=NEW), one_by_one)
    same(model.generate(asks[::-1], max_new_tokens=NEW)[::-1], one_by_one)


def test_samples_end_at_different_steps(folder: Path) -> None:
    # With every tenth token an end, rows leave the batch all the time.
    model = LocalModel(folder, device="cpu")
    model._ends = torch.arange(3, 260, 10)
    asks = [Ask(chat(k % 5), n=4, seed=k, temperature=3.0) for k in range(20)]
    many = model.generate(asks, max_new_tokens=30)
    assert len({s.tokens for a in many for s in a.samples}) > 5
    reasons = {s.finish_reason for a in many for s in a.samples}
    assert "stop" in reasons
    same(many, [model.generate([a], max_new_tokens=30)[0] for a in asks])


def test_kept_prefix_saves_tokens(folder: Path) -> None:
    model = LocalModel(folder, device="cpu")
    first = chat(20)
    model.generate([Ask(first, n=5)], max_new_tokens=2)
    whole = model._encoder.encoded
    more = [*first, {"role": "assistant", "content": "left"}, first[0]]
    fresh = LocalModel(folder, device="cpu")
    same(
        model.generate([Ask(more, n=2)], max_new_tokens=4),
        fresh.generate([Ask(more, n=2)], max_new_tokens=4),
    )
    assert whole < fresh._encoder.encoded
    assert model._encoder.encoded - whole < fresh._encoder.encoded - whole + 32
    model.forget()
    before = model._encoder.encoded
    model.generate([Ask(more, n=2)], max_new_tokens=4)
    assert model._encoder.encoded - before == fresh._encoder.encoded


def test_equal_prompts_are_encoded_once(folder: Path) -> None:
    one, many = (LocalModel(folder, device="cpu") for _ in range(2))
    one.generate([Ask(chat(9))], max_new_tokens=2)
    answers = many.generate(
        [Ask(chat(9), n=3, seed=s) for s in range(4)], max_new_tokens=2
    )
    assert many._encoder.encoded == one._encoder.encoded
    assert answers[0].samples != answers[1].samples


def test_shared_beginnings_are_encoded_once(folder: Path) -> None:
    model = LocalModel(folder, device="cpu", keep_prefix=True)
    base = tuple(range(10, 210))
    asks = [Ask((*base, 10 + i), greedy=True) for i in range(5)]
    answers = model.generate(asks, max_new_tokens=3)
    assert model._encoder.encoded < 200 + 5 * 16
    alone = LocalModel(folder, device="cpu", keep_prefix=False)
    same(answers, [alone.generate([a], max_new_tokens=3)[0] for a in asks])


def test_draws_do_not_depend_on_n(folder: Path) -> None:
    model = LocalModel(folder, device="cpu")
    two, five = (
        model.generate([Ask(chat(2), n=n, seed=5)], max_new_tokens=8)[0].samples
        for n in (2, 5)
    )
    assert [s.text for s in two] == [s.text for s in five[:2]]
    assert len({s.text for s in five}) > 1
    other = model.generate([Ask(chat(2), n=2, seed=6)], max_new_tokens=8)[0].samples
    assert [s.text for s in other] != [s.text for s in two]


def test_draws_follow_the_distribution() -> None:
    rows = 20_000
    logits = torch.tensor([0.0, 1.0, 2.0, -1e9]).expand(rows, -1)
    keys = np.concatenate([stream_keys(seed, 100) for seed in range(200)])
    flags = torch.zeros(rows, dtype=torch.bool)
    for step, temperature in ((0, 1.0), (3, 0.5)):
        token, logprob = choose(
            logits, uniforms(keys, step), torch.full((rows,), temperature), flags
        )
        share = torch.bincount(token, minlength=4) / rows
        want = (logits[0] / temperature).softmax(-1)
        assert torch.allclose(share, want, atol=0.015)
        expected = logits[0].log_softmax(-1)[token]
        assert torch.allclose(logprob, expected, atol=1e-5)


def test_seeds_beyond_64_bits_and_below_zero_differ() -> None:
    seeds = (0, 1, -1, 1 << 64, (1 << 64) + 1, 1 << 63)
    keys = [int(stream_keys(s, 1)[0]) for s in seeds]
    assert len(set(keys)) == len(seeds)


def test_context_bounds_prompt_and_answer(tmp_path: Path) -> None:
    write_mini_checkpoint(tmp_path, context=64)
    model = LocalModel(tmp_path, device="cpu")
    fits, tight, over = (tuple(range(4, 4 + n)) for n in (20, 60, 64))
    a, b, c = model.generate(
        [Ask(p, n=2, greedy=True) for p in (fits, tight, over)], max_new_tokens=8
    )
    assert max(s.tokens for s in b.samples) <= 4
    assert len(a.samples) == 2
    assert c.samples == []
    assert "64" in (c.error or "")


@pytest.mark.parametrize(
    ("ask", "new", "words"),
    [
        (Ask([5], n=0), 4, "n=0"),
        (Ask([5], temperature=0.0), 4, "temperature 0.0"),
        (Ask([5]), 0, "max_new_tokens is 0"),
    ],
)
def test_requests_that_cannot_work(
    folder: Path, ask: Ask, new: int, words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        LocalModel(folder, device="cpu").generate([ask], max_new_tokens=new)


def test_nothing_asked(folder: Path) -> None:
    assert LocalModel(folder, device="cpu").generate([], max_new_tokens=4) == []


def test_sliding_windows_go_the_plain_way(tmp_path: Path, folder: Path) -> None:
    write_mini_checkpoint(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {
        "model_type": "mistral",
        "architectures": ["MistralForCausalLM"],
        "sliding_window": 20,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    model = LocalModel(tmp_path, device="cpu", batch_tokens=400)
    assert not model.keeps_prefix
    asks = [Ask(chat(k), n=2, seed=k) for k in (1, 5, 12)]
    asks += [Ask(chat(k), greedy=True) for k in (1, 5, 12)]
    many = model.generate(asks, max_new_tokens=NEW)
    same(many, [model.generate([a], max_new_tokens=NEW)[0] for a in asks])
    full = LocalModel(folder, device="cpu").generate(asks, max_new_tokens=NEW)
    assert full[-1].samples[0].logprob != pytest.approx(many[-1].samples[0].logprob)


def test_threads_share_a_model(
    folder: Path, asks: list[Ask], one_by_one: list[Answers]
) -> None:
    model = LocalModel(folder, device="cpu")
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda a: model.generate([a], max_new_tokens=NEW)[0], asks))
    same(got, one_by_one)


def test_no_tokenizer_refused(tmp_path: Path) -> None:
    write_mini_checkpoint(tmp_path, broken="no_tokenizer")
    with pytest.raises(CheckpointError, match="no tokenizer"):
        LocalModel(tmp_path, device="cpu")


def test_own_code_is_not_run(tmp_path: Path) -> None:
    write_mini_checkpoint(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["model_type"] = "mine"
    config["auto_map"] = {
        "AutoConfig": "mine.Mine",
        "AutoModelForCausalLM": "mine.Mine",
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(CheckpointError):
        LocalModel(tmp_path, device="cpu")
    assert not (tmp_path / "ran").exists()
