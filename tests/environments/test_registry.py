from __future__ import annotations

from importlib.metadata import EntryPoint
from types import SimpleNamespace

import pytest

from langchain_agentrm.environments import registry
from langchain_agentrm.environments.base import EnvironmentSpec
from langchain_agentrm.errors import ConfigurationError, UnknownTaskError


class Factory:
    spec = EnvironmentSpec()

    def __init__(self, name="mine"):
        self.name = name

    def types(self, group):
        return []

    def tasks(self, split, types=None, limit=None):
        return []

    def task(self, type_, seed):
        return {"env": self.name, "type": type_, "id": "", "seed": seed}

    def make(self):
        raise AssertionError


INSTALLED = Factory("installed")
NOT_A_FACTORY = SimpleNamespace(name="odd")


@pytest.fixture(autouse=True)
def _empty(monkeypatch):
    monkeypatch.setattr(registry, "_registered", {})
    monkeypatch.setattr(registry, "_loaded", {})


@pytest.fixture
def install(monkeypatch):
    def put(**values):
        def found(*, group):
            assert group == "langchain_agentrm.environments"
            return [EntryPoint(n, v, group) for n, v in values.items()]

        monkeypatch.setattr(registry, "entry_points", found)

    put()
    return put


@pytest.fixture
def here(monkeypatch):
    import sys

    module = SimpleNamespace(factory=INSTALLED, other=NOT_A_FACTORY, cls=Factory)
    monkeypatch.setitem(sys.modules, "some_distribution", module)
    return "some_distribution"


def test_installed_factories_are_found_and_loaded_once(install, here) -> None:
    install(installed=f"{here}:factory")
    assert registry.available() == ["installed"]
    assert registry.get("installed") is INSTALLED
    assert registry.get("installed") is INSTALLED


def test_listing_loads_nothing(install) -> None:
    install(broken="no_such_module_at_all:factory", also="b:c")
    assert registry.available() == ["also", "broken"]


def test_unknown_name_lists_what_there_is_and_how_to_get_it(install, here) -> None:
    install(installed=f"{here}:factory")
    registry.register(Factory())
    with pytest.raises(UnknownTaskError) as caught:
        registry.get("webshop")
    text = str(caught.value)
    assert "'webshop'" in text
    assert "['installed', 'mine']" in text
    assert "pip install langchain-agentrm-webshop" in text


def test_a_broken_distribution_is_named(install) -> None:
    install(broken="no_such_module_at_all:factory")
    with pytest.raises(ConfigurationError, match=r"'broken'.*no_such_module_at_all"):
        registry.get("broken")


@pytest.mark.parametrize("attribute", ["other", "cls"])
def test_an_entry_point_must_be_a_factory(install, here, attribute) -> None:
    install(odd=f"{here}:{attribute}")
    with pytest.raises(ConfigurationError, match=r"'odd' is no environment factory"):
        registry.get("odd")


def test_registered_factories_come_first(install, here) -> None:
    install(installed=f"{here}:factory")
    assert registry.get("installed") is INSTALLED
    mine = Factory("installed")
    registry.register(mine)
    assert registry.get("installed") is mine
    assert registry.available() == ["installed"]
    registry.unregister("installed")
    assert registry.get("installed") is INSTALLED


def test_a_name_is_taken_once(install) -> None:
    first, second = Factory(), Factory()
    registry.register(first)
    registry.register(first)
    with pytest.raises(ConfigurationError, match="'mine' is registered already"):
        registry.register(second)
    assert registry.get("mine") is first
    registry.register(second, replace=True)
    assert registry.get("mine") is second


def test_only_factories_can_be_registered() -> None:
    with pytest.raises(ConfigurationError, match="no environment factory"):
        registry.register(NOT_A_FACTORY)
    with pytest.raises(ConfigurationError, match="no environment factory"):
        registry.register(Factory)


def test_only_registered_ones_can_be_unregistered(install) -> None:
    with pytest.raises(UnknownTaskError, match="'mine'"):
        registry.unregister("mine")
