from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from langchain_agentrm.errors import CheckpointError, ConfigurationError
from langchain_agentrm.reward_models._checkpoint.steps import (
    StepTokens,
    mark_steps,
    step_positions,
    tokens_for,
)
from langchain_agentrm.reward_models._texts import fitted
from langchain_agentrm.reward_models.layout import read_layout
from langchain_agentrm.trajectory import Trajectory, Turn
from tests.reward_models import layouts

CHAT = [
    {"role": "user", "content": "one"},
    {"role": "assistant", "content": "go"},
    {"role": "user", "content": "two <extra_0> \n"},
    {"role": "assistant", "content": "stop"},
]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerBase:
    folder = layouts.qwen_prm(tmp_path_factory.mktemp("prm"))
    return AutoTokenizer.from_pretrained(folder)


def test_only_actions_are_marked() -> None:
    marked = mark_steps(CHAT, "#")
    assert [m["content"] for m in marked] == ["one", "go#", "two <extra_0> \n", "stop#"]
    assert CHAT[1]["content"] == "go"


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 3), max_size=30),
    st.lists(st.integers(0, 3), min_size=1, max_size=3),
)
def test_positions_are_ends_of_the_step(ids: list[int], step: list[int]) -> None:
    found = step_positions(ids, step)
    for place in range(len(ids)):
        here = ids[place + 1 - len(step) : place + 1] if place + 1 >= len(step) else []
        assert (place in found) == (here == step)


def test_no_step_token_no_position() -> None:
    assert step_positions([1, 2], []) == []


@pytest.mark.parametrize("step", ["<extra_0>", "\n", " and so on"])
def test_every_action_ends_with_a_step(
    tokenizer: PreTrainedTokenizerBase, step: str
) -> None:
    tokens = StepTokens(tokenizer, step)
    ids = tokens.chat(CHAT, generation_prompt=False)
    places = tokens.positions(ids)
    assert len(places) == 2
    for place, action in zip(places, ("go", "stop"), strict=True):
        before = tokenizer.decode(list(ids[: place + 1]))
        assert before.endswith(action + step)
    plain = tokenizer.apply_chat_template(mark_steps(CHAT, step), tokenize=False)
    assert tokenizer.decode(list(ids)) == plain


def test_a_step_token_in_an_observation_is_no_step(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    tokens = StepTokens(tokenizer, "<extra_0>")
    ids = tokens.chat(CHAT, generation_prompt=False)
    assert len(step_positions(ids, tokens.step_ids)) == 3
    assert len(tokens.positions(ids)) == 2


def test_places_that_were_forgotten_are_found_again(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    tokens = StepTokens(tokenizer, "\n")
    ids = tokens.chat(CHAT, generation_prompt=False)
    places = tokens.positions(ids)
    tokens._places.clear()
    assert tokens.positions(ids) != places
    assert tokens.chat(CHAT, generation_prompt=False) == ids
    assert tokens.positions(ids) == places


def test_ids_from_elsewhere_are_searched(tokenizer: PreTrainedTokenizerBase) -> None:
    tokens = StepTokens(tokenizer, "<extra_0>")
    assert tokens.positions((1, 260, 9, 260)) == (1, 3)


def test_private_characters_in_a_text_do_no_harm(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    odd = "a\ue000" + "\ue0000\ue001" + "\ue0001\ue001"
    chat = [{"role": "user", "content": odd}, {"role": "assistant", "content": odd}]
    tokens = StepTokens(tokenizer, "<extra_0>")
    ids = tokens.chat(chat, generation_prompt=False)
    assert len(tokens.positions(ids)) == 1
    assert tokenizer.decode(list(ids)).count(odd) == 2


def test_a_prefix_stays_a_prefix(tokenizer: PreTrainedTokenizerBase) -> None:
    tokens = StepTokens(tokenizer, "\n")
    turns = tuple(Turn(f"wall {i}.", f"go {i}") for i in range(4))
    texts = [fitted(tokens, Trajectory(turns[:n], goal="x"), 500) for n in (2, 3, 4)]
    places = [tokens.positions(text.ids) for text in texts]
    assert [len(p) for p in places] == [2, 3, 4]
    assert places[2][:3] == places[1]
    assert texts[2].ids[: len(texts[1].ids)] == texts[1].ids


def test_a_template_that_hides_actions_is_refused(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    before = tokenizer.chat_template
    tokenizer.chat_template = "{{ messages[-1]['content'] }}"
    try:
        with pytest.raises(ConfigurationError, match="1 of 2 actions"):
            StepTokens(tokenizer, "\n").chat(CHAT, generation_prompt=False)
    finally:
        tokenizer.chat_template = before


def test_an_empty_step_token_is_refused(tokenizer: PreTrainedTokenizerBase) -> None:
    with pytest.raises(CheckpointError, match="step_token=TEXT"):
        StepTokens(tokenizer, "")


def test_tokens_follow_the_layout(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    steps = tokens_for(tokenizer, read_layout(layouts.token_prm(tmp_path / "a")))
    assert isinstance(steps, StepTokens)
    assert steps.step_ids == (202,)
    plain = tokens_for(tokenizer, read_layout(layouts.trl(tmp_path / "b")))
    assert not isinstance(plain, StepTokens)
