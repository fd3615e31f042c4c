from __future__ import annotations

from pathlib import Path

import pytest
from langchain_core.messages import (
    AIMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from tokenizers import AddedToken
from transformers import AutoTokenizer

from langchain_agentrm._tokens import ChatTokens, Lru, as_chat
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.testing.mini_checkpoint import write_mini_checkpoint


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mini_checkpoint(tmp_path_factory.mktemp("policy"))


def test_pieces_equal_plain_encoding(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokens = ChatTokens(tokenizer)
    assert tokens.piecewise
    for text in ("", "<|user|>a<|end|>  b <|x|>", "é <pad><pad>\n", "no special"):
        want = tuple(tokenizer.encode(text, add_special_tokens=False))
        assert tokens.encode(text) == want


def test_tokens_that_swallow_spaces_turn_pieces_off(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    eats = AddedToken("<|eat|>", lstrip=True, special=True)
    tokenizer.add_special_tokens({"additional_special_tokens": [eats]})
    tokens = ChatTokens(tokenizer)
    assert not tokens.piecewise
    text = "a  <|eat|>b"
    want = tuple(tokenizer.encode(text, add_special_tokens=False))
    assert tokens.encode(text) == want
    assert tokens.text(tokens.encode("hello")) == "hello"


def test_template_that_refuses_names_the_roles(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = "{{ raise_exception('alternate!') }}"
    with pytest.raises(ConfigurationError, match=r"\[user, tool\]: alternate!"):
        ChatTokens(tokenizer).chat(
            [{"role": "user", "content": "a"}, {"role": "tool", "content": "b"}],
            generation_prompt=True,
        )


def test_messages_become_roles() -> None:
    call = {"name": "open", "args": {"door": 1}, "id": "c", "type": "tool_call"}
    got = as_chat(
        [
            SystemMessage("s"),
            HumanMessage("h"),
            AIMessage("a", tool_calls=[call]),
            ToolMessage("t", tool_call_id="c"),
        ]
    )
    assert [m["role"] for m in got] == ["system", "user", "assistant", "tool"]
    assert got[2]["content"] == 'a\nopen({"door": 1})'
    with pytest.raises(ConfigurationError, match="FunctionMessage"):
        as_chat([FunctionMessage("x", name="f")])


def test_memory_forgets_the_oldest() -> None:
    asked: list[int] = []

    def double(x: int) -> int:
        asked.append(x)
        return 2 * x

    memory = Lru(double, 2)
    assert [memory(k) for k in (1, 2, 1, 3, 1, 2)] == [2, 4, 2, 6, 2, 4]
    assert asked == [1, 2, 3, 2]
