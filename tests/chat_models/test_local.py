from __future__ import annotations

from pathlib import Path

import pytest
from langchain_core.messages import HumanMessage
from pydantic import ValidationError

from langchain_agentrm.chat_models import ChatLocal
from langchain_agentrm.errors import CheckpointError, PolicyError
from langchain_agentrm.testing.mini_checkpoint import write_mini_checkpoint


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_mini_checkpoint(tmp_path_factory.mktemp("policy")))


def test_invoke_counts_and_repeats(folder: str) -> None:
    model = ChatLocal(path=folder, seed=3, max_tokens=6, device="cpu")
    one, two = (model.invoke("go to the ball") for _ in range(2))
    assert one.content == two.content
    usage = one.usage_metadata
    assert usage is not None
    assert usage["input_tokens"] == len("go to the ball") + 3
    assert 1 <= usage["output_tokens"] <= 6
    assert one.response_metadata["finish_reason"] in {"stop", "length"}


async def test_async_equals_sync(folder: str) -> None:
    model = ChatLocal(path=folder, seed=3, max_tokens=6, device="cpu")
    assert (await model.ainvoke("hi")).content == model.invoke("hi").content


def test_unseeded_calls_differ(folder: str) -> None:
    model = ChatLocal(path=folder, max_tokens=12, device="cpu")
    assert len({str(model.invoke("hi").content) for _ in range(4)}) > 1


def test_n_and_logprobs(folder: str) -> None:
    model = ChatLocal(
        path=folder, n=3, seed=1, logprobs=True, max_tokens=6, device="cpu"
    )
    result = model.generate([[HumanMessage("hi")], [HumanMessage("you")]])
    messages = [g.message for g in result.generations[0]]  # type: ignore[union-attr]
    assert len(messages) == 3
    assert len({m.content for m in messages}) > 1
    assert all(m.response_metadata["logprobs"]["total"] < 0 for m in messages)
    assert [bool(m.usage_metadata["input_tokens"]) for m in messages] == [
        True,
        False,
        False,
    ]
    total = result.llm_output["token_usage"]["total_tokens"]  # type: ignore[index]
    assert total == sum(
        g.message.usage_metadata["total_tokens"]  # type: ignore[union-attr]
        for prompt in result.generations
        for g in prompt
    )


def test_call_options_win_over_fields(folder: str) -> None:
    model = ChatLocal(path=folder, seed=1, max_tokens=4, device="cpu")
    greedy = model.bind(temperature=0, max_tokens=8)
    assert greedy.invoke("hi").content == greedy.invoke("hi", seed=9).content
    assert greedy.invoke("hi").usage_metadata["output_tokens"] > 4


def test_stop_cuts_the_text(folder: str) -> None:
    model = ChatLocal(path=folder, temperature=0, max_tokens=12, device="cpu")
    text = str(model.invoke("hi").content)
    cut = model.invoke("hi", stop=[text[3]])
    assert cut.content == text[: text.index(text[3])]
    assert cut.response_metadata["finish_reason"] == "stop"


def test_models_of_one_path_share_weights(folder: str) -> None:
    one = ChatLocal(path=folder, device="cpu")
    two = ChatLocal(path=folder, device="cpu", temperature=0.5)
    assert one.local_model is two.local_model


def test_too_long_prompt_names_the_lengths(folder: str) -> None:
    model = ChatLocal(path=folder, device="cpu")
    with pytest.raises(PolicyError, match=r"603 tokens and the context of .* 512"):
        model.invoke("x" * 600)


def test_bad_settings_are_refused(folder: str, tmp_path: Path) -> None:
    with pytest.raises(ValidationError):
        ChatLocal(path=folder, temperature=-1)
    with pytest.raises(CheckpointError, match="absent"):
        ChatLocal(path=str(tmp_path / "absent"))
