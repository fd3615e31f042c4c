"""What every sandbox must do; inherit and give a `sandbox` fixture."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from langchain_agentrm.reward_agent.sandbox.selftest import self_test
from langchain_agentrm.reward_agent.sandbox.types import Sandbox
from langchain_agentrm.testing._checkers import Hostile, hostile_checkers

__all__ = ["SandboxConformance"]

_SECONDS = 0.5
_GRACE = 4.0
_SECRET = "canary-51ab"  # noqa: S105 - it protects nothing
_NAMES = [h.name for h in hostile_checkers("", "", 0)]
_EMPTY = "def check_following(response):\n    return not response\n"


class SandboxConformance:
    """Pytest suite of the sandbox contract, with every attack that we know.

    Attributes:
        overhead: Seconds that one call may take beyond the time given to the code.

    Example:
        ```python
        import pytest
        from langchain_agentrm.reward_agent.sandbox import MontySandbox
        from langchain_agentrm.testing.sandbox import SandboxConformance


        class TestMine(SandboxConformance):
            @pytest.fixture
            def sandbox(self):
                sandbox = MontySandbox()
                yield sandbox
                sandbox.close()
        ```
    """

    overhead: float = _GRACE

    @pytest.fixture
    def sandbox(self) -> Sandbox:
        """Give the sandbox under test; override it."""
        pytest.fail(f"{type(self).__name__} overrides no `sandbox` fixture.")

    @pytest.fixture
    def listener(self) -> Iterator[socket.socket]:
        """Listen on loopback, where nobody should call."""
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            listening.listen()
            listening.setblocking(False)
            yield listening

    @pytest.mark.parametrize("name", _NAMES)
    def test_holds(
        self,
        sandbox: Sandbox,
        name: str,
        listener: socket.socket,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """An attack reaches nothing, wins nothing, ends in time, and others go on."""
        monkeypatch.setenv("AGENTRM_CANARY", _SECRET)
        canary = tmp_path / "canary"
        attack = self._attack(name, str(canary), listener.getsockname()[1])
        began = time.monotonic()
        (outcome,) = sandbox.check(attack.code, ["hello"], seconds=_SECONDS)
        took = time.monotonic() - began
        assert attack.harmless or outcome.passed is not True, outcome
        assert (outcome.passed is None) == bool(outcome.fault), outcome
        assert took < _SECONDS + self.overhead
        assert not canary.exists()
        with pytest.raises(BlockingIOError):
            listener.accept()
        assert [o.passed for o in sandbox.check(_EMPTY, ["", "x"])] == [True, False]

    def test_self_test(self, sandbox: Sandbox) -> None:
        """It passes the test that a verifier makes before it trusts it."""
        assert self_test(sandbox) == ()

    def test_one_outcome_each_in_order(self, sandbox: Sandbox) -> None:
        """Outcomes belong to their answers, also where one of them raises."""
        code = (
            "def check_following(response):\n"
            "    if response == 'bad':\n        raise ValueError('no good')\n"
            "    return response == 'yes'\n"
        )
        outcomes = sandbox.check(code, ["yes", "bad", "no", "yes"])
        assert [o.passed for o in outcomes] == [True, None, False, True]
        assert outcomes[1].fault == "raised"
        assert "no good" in outcomes[1].error

    def test_nothing_asked(self, sandbox: Sandbox) -> None:
        """No answers, no outcomes."""
        assert sandbox.check(_EMPTY, []) == []

    def test_no_answer_sees_another(self, sandbox: Sandbox) -> None:
        """What a checker keeps is gone with the next answer."""
        code = (
            "seen = []\n"
            "def check_following(response):\n"
            "    seen.append(response)\n    return len(seen) == 1\n"
        )
        assert [o.passed for o in sandbox.check(code, ["a", "b"])] == [True, True]

    def test_chance_is_the_same_each_time(self, sandbox: Sandbox) -> None:
        """Random numbers and the order of sets do not change a verdict."""
        code = (
            "import random\n"
            "def check_following(response):\n"
            "    first = list(set(response.split()))[0]\n"
            "    return random.random() < 0.5 or first < 'm'\n"
        )
        answer = "alpha beta gamma delta omega sigma theta zeta"
        told = {sandbox.check(code, [answer])[0].passed for _ in range(4)}
        assert len(told) == 1

    def test_any_text_arrives_whole(self, sandbox: Sandbox) -> None:
        """Quotes, nulls, accents and long texts reach the checker unchanged."""
        texts = ["'''\"\\", "a\0b", "\u00e9\U0001f600\r\n\u2028", "x" * 300_000]
        for text in texts:
            total = sum(map(ord, text))
            code = (
                "def check_following(response):\n"
                f"    return sum(map(ord, response)) == {total}\n"
            )
            assert sandbox.check(code, [text])[0].passed is True, text[:10]

    def test_threads(self, sandbox: Sandbox) -> None:
        """Several threads may ask at once."""
        codes = [
            f"def check_following(response):\n    return response == '{i}'\n"
            for i in range(6)
        ]
        answers = [str(i) for i in range(6)]
        with ThreadPoolExecutor(3) as pool:
            rows = list(pool.map(lambda code: sandbox.check(code, answers), codes))
        for i, row in enumerate(rows):
            assert [o.passed for o in row] == [i == j for j in range(6)]

    def test_a_checker_that_never_ends_is_given_up(self, sandbox: Sandbox) -> None:
        """A hundred answers do not take a hundred times as long."""
        code = "def check_following(response):\n    while True:\n        pass\n"
        began = time.monotonic()
        outcomes = sandbox.check(code, ["x"] * 100, seconds=0.2)
        assert time.monotonic() - began < 10.0
        assert {o.fault for o in outcomes} == {"timeout"}

    @staticmethod
    def _attack(name: str, canary: str, port: int) -> Hostile:
        attacks = {h.name: h for h in hostile_checkers(canary, _SECRET, port)}
        return attacks[name]
