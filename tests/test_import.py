from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module

import pytest

import langchain_agentrm

HEAVY = {
    "ctranslate2",
    "langchain",
    "langchain_openai",
    "langgraph",
    "minigrid",
    "numpy",
    "openai",
    "torch",
    "transformers",
    "vllm",
}


def loaded_by(statement: str) -> set[str]:
    """Top-level packages that a statement loads in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", statement],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    lines = [
        line for line in done.stderr.splitlines() if line.startswith("import time")
    ]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines[1:]}


def test_import_loads_nothing_heavy():
    loaded = loaded_by("import langchain_agentrm")
    assert "langchain_agentrm" in loaded
    assert not loaded & (HEAVY | {"langchain_core", "pydantic", "rich", "typer"})


def test_the_check_would_notice_torch():
    assert "json" in loaded_by("import json")


@pytest.mark.parametrize("module", ["types", "search", "metrics", "budgets"])
def test_the_pure_modules_load_nothing_heavy(module):
    loaded = loaded_by(f"import langchain_agentrm.{module}")
    assert not loaded & (HEAVY - {"numpy"})


def test_the_command_line_shows_its_help_without_a_model_library():
    loaded = loaded_by(
        "from langchain_agentrm.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as stop: assert not stop.code"
    )
    assert "typer" in loaded
    assert not loaded & HEAVY


@pytest.mark.parametrize("name", langchain_agentrm.__all__)
def test_every_public_name_resolves(name):
    assert getattr(langchain_agentrm, name) is not None
    assert name in dir(langchain_agentrm)


def test_every_public_name_is_public_where_it_lives():
    for name, module in langchain_agentrm._MODULES.items():
        home = import_module(f"langchain_agentrm.{module}")
        assert name in home.__all__, f"{module}.__all__ lacks {name}"
    assert set(langchain_agentrm._MODULES) == {
        name for name in langchain_agentrm.__all__ if name != "__version__"
    }


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nonsense"):
        _ = langchain_agentrm.nonsense
