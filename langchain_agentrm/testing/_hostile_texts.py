"""Malformed texts and tool calls, made from a seed."""

from __future__ import annotations

import json
import random
import string
from collections.abc import Iterator, Sequence

from langchain_agentrm.types import Action

__all__ = ["MALFORMED_ACTIONS", "hostile_calls", "hostile_texts"]

MALFORMED_ACTIONS: tuple[str, ...] = (
    "",
    " \t\r\n ",
    "\x00",
    "go\x00to",
    "\ud800 lone \udfff",
    "x" * 10_240,
    "{" * 200 + "}" * 200,
    '{"name": "done", "args": {"a": {"b": [1, {"c": null}]}}}',
    "pusť 打开 🚪 to the \uff52\uff45\uff44 ball \u202e\u0301",
    "first line\nsecond line",
    "%s %n {0} ${HOME} `id` ; rm -rf --",
    "\\u0000 \\x00 \x1b[31m",
)
"""Texts that a policy may send and that no engine may die of."""

_LONG = 10_240
_BRACKETS = (("{", "}"), ("[", "]"), ("(", ")"), ("<", ">"), ("⟨", "⟩"))
_ODD = "\x00\x07\x08\x1b\x7f\x85\xa0\xad\u0301\u200b\u200d\u2028\u202e\ufeff\U0001f6aa"
_ALPHABETS = (
    string.printable,
    "".join(chr(i) for i in range(32)),
    "áßłøžДعشहि打开門한ｒｅｄ",
    _ODD,
    "\ud800\udbff\udc00\udfff",
    "0123456789.-+eE",
    "[]{}()<>:;,.\"'`\\/|%$#@!*",
)
_PHRASES = (
    "Action:",
    "Action: Action: ",
    "Thought: I\nAction:\n",
    "None",
    "nan",
    "-1",
    "9" * 400,
    "1e309",
    "../../../../etc/passwd",
    "'; DROP TABLE tasks; --",
    "__import__('os').system('true')",
    "{0.__class__.__mro__}",
    "%(a)s%n%s%d",
    "<|im_end|><|endoftext|></s>[INST]",
    "(?:(a+)+)+$" + "a" * 40 + "!",
    "a" * 5_000 + "!",
    "[" * 3_000,
    '{"a":' * 1_500 + "1" + "}" * 1_500,
    "\n" * 3_000 + "look",
    "look\nlook\nlook",
    "quit",
    "restart",
    "save",
    "restore",
    "undo",
    "help",
)
_ARGUMENTS: tuple[object, ...] = (
    None,
    "",
    "x" * 2_000,
    -1,
    10**30,
    float("nan"),
    float("inf"),
    [],
    {},
    [[[[[]]]]],
    {"a": {"a": {"a": {}}}},
    "\ud800",
    "\x00",
    True,
)


def hostile_texts(seed: int, real: Sequence[str] = ()) -> Iterator[str]:
    """Yield malformed texts without end, the same for the same seed.

    Blank and long ones, nested brackets, control characters, lone surrogates, foreign
    letters, calls as JSON, format strings and code; and real actions that were cut,
    doubled, broken by a line or by one odd character.

    Args:
        seed: Seed of the choices.
        real: Actions to be spoiled. A list may change while texts are taken.

    Yields:
        One text after another.
    """
    rng = random.Random(seed)  # noqa: S311 - a test's choices, not a secret
    makers = (_random_text, _long_text, _nested, _call, _spoiled, _spoiled)
    while True:
        draw = rng.random()
        if draw < 0.15:
            yield rng.choice(MALFORMED_ACTIONS)
        elif draw < 0.3:
            yield rng.choice(_PHRASES)
        else:
            yield rng.choice(makers)(rng, real)


def hostile_calls(rng: random.Random, text: str) -> Action:
    """Make tool calls with odd names and arguments."""
    names = ("finish", "done", "search", "click", "step", "", text[:40] or "x")
    return [
        {
            "name": rng.choice(names),
            "args": {
                rng.choice(("a", "answer", "", text[:20])): rng.choice(_ARGUMENTS)
                for _ in range(rng.randint(0, 3))
            },
        }
        for _ in range(rng.randint(1, 2))
    ]


def _random_text(rng: random.Random, real: Sequence[str]) -> str:
    del real
    letters = rng.choice(_ALPHABETS)
    return "".join(rng.choice(letters) for _ in range(rng.randint(1, 80)))


def _long_text(rng: random.Random, real: Sequence[str]) -> str:
    piece = rng.choice([*real, "go ", "\u6253", "\ud800", "\n", "a b ", "Action: "])
    return (piece or " ") * (_LONG // max(1, len(piece)) + 1)


def _nested(rng: random.Random, real: Sequence[str]) -> str:
    left, right = rng.choice(_BRACKETS)
    inner = rng.choice([*real, "", "x"])
    depth = rng.choice((1, 2, 30, 1_000))
    closed = rng.choice((0, depth, depth - 1, depth + 1))
    return f"{left * depth}{inner}{right * closed}"


def _call(rng: random.Random, real: Sequence[str]) -> str:
    name = rng.choice([*real, "finish", "search", "click", "x"])
    value = rng.choice(_ARGUMENTS)
    shapes = (
        json.dumps({"name": name, "args": {"a": value}}),
        f"{name} with Action Input: {value!r}",
        f"{name} with Action Input: {json.dumps({'answer': value})}",
        f"{name}[{value}]",
        f"{name}({value!r})",
        f"Action: {name} {value}",
        f"```json\n{json.dumps(value)}\n```",
    )
    return rng.choice(shapes)


def _spoiled(rng: random.Random, real: Sequence[str]) -> str:
    text = rng.choice(real) if real else "go to red ball 1"
    place = rng.randint(0, len(text))
    odd = rng.choice([*_ODD, "\n", "\r\n", "\t", "  ", ".", ",", "\ud800", "{", "\\"])
    ways = (
        text[:place],
        text[place:],
        f"{text[:place]}{odd}{text[place:]}",
        f"{text} {text}",
        f"{text}\n{text}",
        f"{text}. {text}",
        text.swapcase(),
        text.replace(" ", "  "),
        text[::-1],
        f"Action: {text}",
        f"{text} " + "x" * 4_096,
        " ".join(rng.sample(text.split(), len(text.split()))),
    )
    return rng.choice(ways)
