"""The reference engine, where it is installed: `make test-slow` with the extra."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.testing.environment import EnvironmentConformance
from langchain_agentrm_alfworld import ALFWorldFactory

INSTALLED = importlib.util.find_spec("textworld") is not None
needs_textworld = pytest.mark.skipif(not INSTALLED, reason="textworld is missing")


@pytest.fixture(autouse=True)
def _generated(monkeypatch):
    monkeypatch.delenv("ALFWORLD_DATA", raising=False)


@pytest.mark.slow
@needs_textworld
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
class TestTextWorld(EnvironmentConformance):
    @pytest.fixture
    def factory(self):
        # Few steps, since every fork is a replay.
        return ALFWorldFactory("agentboard", engine="textworld", step_limit=5)

    @pytest.fixture
    def tasks(self, factory):
        return factory.tasks("test", limit=1)

    @pytest.fixture
    def some_actions(self):
        return ["look", "go to cabinet 1", "dance"]


@pytest.mark.slow
@needs_textworld
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("style", ["eto", "agentboard"])
def test_both_engines_make_the_same_episode(style) -> None:
    native = ALFWorldFactory(style, perturbation=5)
    reference = ALFWorldFactory(style, perturbation=5, engine="textworld")
    kept = list(sys.argv)
    for task in native.tasks("test", limit=6):
        one, two = native.make(), reference.make()
        assert one.reset(task) == two.reset(task)
        shown = native.demonstrate(task)
        assert shown is not None
        for _, action in [("", "look"), ("", "x" * 5_000), *shown.steps]:
            assert one.actions() == two.actions()
            transition = one.step(action)
            assert two.step(action) == transition
            if transition.done:
                break
    assert sys.argv == kept


@pytest.mark.skipif(INSTALLED, reason="textworld is installed")
def test_without_textworld_the_remedy_is_named() -> None:
    factory = ALFWorldFactory(engine="textworld")
    with pytest.raises(ConfigurationError, match=r'engine="textworld".*\[textworld\]'):
        factory.make().reset(factory.tasks("test", limit=1)[0])
