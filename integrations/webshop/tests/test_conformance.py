from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from langchain_agentrm.environments import registry
from langchain_agentrm.testing.environment import EnvironmentConformance
from langchain_agentrm_webshop import WebShopFactory
from langchain_agentrm_webshop.catalogue import Files


@pytest.fixture(scope="module")
def odd_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("odd")
    record = Path(__file__).parent / "fidelity" / "record.json.gz"
    Files(*json.loads(gzip.decompress(record.read_bytes()))["files"]).write(folder)
    return str(folder)


class Common(EnvironmentConformance):
    @pytest.fixture
    def tasks(self, factory):
        return factory.tasks("train", factory.types("all"), limit=5)

    @pytest.fixture
    def some_actions(self):
        return [
            "search[coffee shoes gluten free]",
            "search[women's dress in navy]",
            "click[next >]",
            "click[buy now]",
            "click[nothing]",
        ]


class TestWebShop(Common):
    @pytest.fixture
    def factory(self):
        return WebShopFactory()


class TestEtoStyle(Common):
    @pytest.fixture
    def factory(self):
        return WebShopFactory(style="eto", tagger="rule", human=False)


class TestOddProducts(Common):
    """The catalogue of the fidelity record, whose options hold brackets and buttons."""

    @pytest.fixture
    def factory(self, odd_folder):
        return WebShopFactory(data=odd_folder, human=False)

    def test_whatever_is_listed_on_any_page_applies(self, factory):
        for task in factory.tasks("test", factory.types("all"), 40):
            env = factory.make()
            env.reset(task)
            actions = factory.demonstrate(task)
            for _, action in actions.steps if actions else ():
                assert all(env.fork().step(a).info["valid"] for a in env.actions())
                env.step(action)


def test_the_distribution_registers_it() -> None:
    assert "webshop" in registry.available()
    factory = registry.get("webshop")
    assert factory.types("held_in") == ["beauty", "electronics", "fashion"]
    assert factory.types("held_out") == ["garden"]
    assert factory.types("dev") == ["grocery"]
