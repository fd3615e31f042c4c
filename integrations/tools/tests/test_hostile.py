from __future__ import annotations

import pytest

from langchain_agentrm.testing.hostile import check_hostile_actions
from langchain_agentrm_tools import ToolTasksFactory
from langchain_agentrm_tools._grammar import read_arguments

SOME_ACTIONS = [
    "check_valid_actions with Action Input: {}",
    "get_all_values with Action Input: {}",
    'update_cell with Action Input: {"position": "C2", "value": 7}',
    "get_projects with Action Input: {}",
    "loadPaperNet with Action Input: {}",
    'get_latitude_longitude with Action Input: {"name": "Nowhere"}',
    [{"name": "get_user_current_date", "args": {}}],
]


@pytest.mark.parametrize("style", ["text", "calls"])
def test_ten_thousand_hostile_actions(style) -> None:
    factory = ToolTasksFactory(style=style)
    tasks = factory.tasks("train", factory.types("all"), limit=12)
    report = check_hostile_actions(factory, tasks, 10_000, some_actions=SOME_ACTIONS)
    assert report.hostile > 5_000
    assert report.forks > 500


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (r'{"a": "\ud800"}', "\ufffd"),
        (r'{"a": "\ud83d\ude80"}', "\U0001f680"),
        (r'{"a": "x\u0000y", "b": null}', "x\ufffdy"),
        (r'{"a": "\ud83d\ude80 \ude80", "b": null}', "\U0001f680 \ufffd"),
    ],
)
def test_escapes_that_no_text_may_hold_are_replaced(written, read) -> None:
    assert read_arguments(written)["a"] == read
