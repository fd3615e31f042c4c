"""The check itself: it passes what behaves, and names what does not."""

from __future__ import annotations

import itertools
import math
import time
from dataclasses import replace

import pytest

from langchain_agentrm.environments.gymnasium import GymnasiumFactory
from langchain_agentrm.environments.stateful_tools import StatefulToolFactory
from langchain_agentrm.environments.tools import ToolFactory
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.testing._game import ScriptedEnvironment, ScriptedFactory
from langchain_agentrm.testing.hostile import (
    MALFORMED_ACTIONS,
    check_hostile_actions,
    hostile_texts,
)


def lake():
    return GymnasiumFactory(
        "lake",
        "FrozenLake-v1",
        actions={"left": 0, "down": 1, "right": 2, "up": 3},
        describe=lambda place, info: f"You are at {place}.",
        goal="Reach the last cell.",
        step_limit=20,
    )


def echo(text: str) -> str:
    """Say it again."""
    return text


def shared_tools():
    return ToolFactory(
        [echo], {"one": "Say it.", "two": "Say that."}, reversible=["echo"]
    )


def cart_tools():
    def tools(cart):
        def add(item: str) -> str:
            """Put an item into the cart."""
            cart.append(item)
            return f"cart: {cart}"

        return [add]

    return StatefulToolFactory(
        lambda request: [], tools, {"fruit": "Buy an apple.", "drink": "Buy tea."}
    )


CALLS = [
    [{"name": "echo", "args": {"text": "hello"}}],
    [{"name": "add", "args": {"item": "tea"}}],
    [{"name": "add", "args": {"item": "\ud800"}}],
    [{"name": "add", "args": {"item": 3}}, {"name": "echo", "args": {}}],
]


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("make", "some_actions", "n"),
    [
        (shared_tools, CALLS, 10_000),
        (lake, (), 10_000),
        # Each reset and fork makes its tools anew, which is most of the time.
        (cart_tools, CALLS, 500),
        pytest.param(cart_tools, CALLS, 10_000, marks=SLOW),
    ],
)
def test_the_adapters_answer(make, some_actions, n) -> None:
    factory = make()
    tasks = factory.tasks("test", limit=5)
    report = check_hostile_actions(factory, tasks, n, some_actions=some_actions)
    assert report.actions >= n
    assert report.hostile > 0.4 * n
    assert report.forks > 0.04 * n
    assert report.messages > 0.1 * n


def test_texts_are_the_same_for_a_seed_and_of_every_kind() -> None:
    one, two, other = (
        list(itertools.islice(hostile_texts(seed, ["go to red ball 1"]), 3_000))
        for seed in (5, 5, 6)
    )
    assert one == two
    assert one != other
    assert set(MALFORMED_ACTIONS) <= set(one)
    assert any(len(text) >= 10_000 for text in one)
    assert any("{" * 1_000 in text for text in one)
    assert any(0xD800 <= ord(c) < 0xE000 for text in one for c in text)
    assert len(set(one)) > 800


class Faulty(ScriptedEnvironment):
    fault = ""
    ended = False
    seen: list = []  # noqa: RUF012 - shared by all, which is the fault

    def _step(self, action):
        shown = super()._step(action)
        match self.fault:
            case "crash" if "{{" in str(action):
                raise ValueError("too deep")
            case "hang" if "\x00" in str(action):
                time.sleep(5)
            case "nan":
                return replace(shown, score=math.nan)
            case "range":
                return replace(shown, progress=1.5)
            case "surrogate":
                return replace(shown, observation=f"You said {action}")
            case "leak":
                self.seen.append(action)
                return replace(shown, observation=f"{len(self.seen)} actions")
            case "info":
                return replace(shown, info={"cost": math.inf})
        return shown

    def parse(self, message):
        if self.fault == "parse" and len(message.text) > 5_000:
            raise RecursionError("too long")
        return super().parse(message)

    def step(self, action):
        if self.ended and self.fault != "no end":
            raise ConfigurationError("It is over.", remedy="Reset it.")
        shown = super().step(action)
        self.ended = shown.done
        return shown

    def _reset(self, task):
        self.ended = False
        return super()._reset(task)

    def _copy(self):
        twin = super()._copy()
        twin.ended = self.ended
        return twin


class FaultyFactory(ScriptedFactory):
    def __init__(self, fault):
        super().__init__()
        self.kind = type("Kind", (Faulty,), {"fault": fault, "seen": []})

    def make(self):
        return self.kind(self._shared)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("crash", r"ValueError: too deep.*step '"),
        ("hang", "No answer for"),
        ("nan", "score is nan"),
        ("range", r"progress is 1\.5"),
        ("surrogate", "no valid text"),
        ("leak", "A fork changed its parent's future"),
        ("info", "not JSON compliant"),
        ("parse", "RecursionError: too long.*parse of"),
        ("no end", "It was taken"),
    ],
)
def test_a_fault_is_found_and_named(fault, message) -> None:
    sound = FaultyFactory("")
    check_hostile_actions(sound, sound.tasks("test", limit=3), 300)
    factory = FaultyFactory(fault)
    with pytest.raises(AssertionError, match=message):
        check_hostile_actions(
            factory, factory.tasks("test", limit=3), 3_000, step_seconds=1.0
        )
