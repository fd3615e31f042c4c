from __future__ import annotations

import pytest

from langchain_agentrm.testing.hostile import check_hostile_actions
from langchain_agentrm_webshop import WebShopFactory


@pytest.mark.parametrize(
    "options", [{}, {"style": "eto", "tagger": "rule", "human": False}], ids=["", "eto"]
)
def test_ten_thousand_hostile_actions(options) -> None:
    factory = WebShopFactory(**options)
    tasks = factory.tasks("train", factory.types("all"), limit=12)
    report = check_hostile_actions(factory, tasks, 10_000)
    assert report.hostile > 5_000
    assert report.forks > 500
