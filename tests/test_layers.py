"""Imports point downward only; who may import whom is written down here."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "langchain_agentrm"

# Lowest first. A module may import what stands below its own line, and its own package.
LAYERS = [
    {"types", "errors", "_version"},
    {"budgets", "metrics", "events", "trajectory", "_files", "embedded"},
    {"_asking", "_conversation"},
    {"_checkpoint", "_prefix", "_token_tree", "_tokens"},
    {"_tree_encoder"},
    {"sampling", "search", "reward_models", "environments"},
    # State holds what a search's rounds produce, as channels; search stays pure.
    {"state", "reward_agent"},
    {"engine", "_session", "_nodes", "_traced"},
    {"_choose", "_endings"},
    {"selector", "middleware", "chat_models"},
    {"rollouts"},
    {"graphs"},
    {"trace", "testing"},
    {"serving", "evaluation", "training"},
    {"cli"},
]

# (importer, imported): why it is allowed although the table forbids it.
EXCEPTIONS = {
    ("environments.tools", "search"): "tools are read by the default action grammar",
    ("middleware", "chat_models.agentrm"): "its default strategy is that chat model",
    ("sampling.local", "chat_models._engine"): "the local policy's generator is both",
    ("evaluation", "training"): "it reads what training wrote",
    ("reward_models.factory", "chat_models.factory"): "a judge is a chat model",
}

PURE = ["types", "search", "metrics", "budgets"]
IMPURE_PACKAGES = {"torch", "langgraph", "transformers", "langchain_openai"}

LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def module_name(path: Path) -> str:
    """Dotted name below the package; the package's own file is the empty name."""
    parts = list(path.relative_to(PACKAGE).with_suffix("").parts)
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join(parts)


def imports(source: str) -> set[str]:
    """Dotted names that a source text imports, wherever in the file."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def verdict(importer: str, imported: str) -> str:
    """Say what is wrong with one import inside the package; empty if nothing is."""
    here, there = importer.split(".", maxsplit=1)[0], imported.split(".", maxsplit=1)[0]
    if here == there or LEVEL[there] < LEVEL[here]:
        return ""
    for allowed_importer, allowed in EXCEPTIONS:
        if f"{importer}.".startswith(
            f"{allowed_importer}."
        ) and f"{imported}.".startswith(f"{allowed}."):
            return ""
    return f"{importer} imports {imported}, which is not below it"


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize(
    "path", FILES, ids=lambda p: module_name(p) or "langchain_agentrm"
)
def test_imports_point_downward(path):
    importer = module_name(path)
    if not importer:
        return  # the lazy front door names everything and loads nothing: test_import
    faults = []
    for name in imports(path.read_text()):
        package, _, inner = name.partition(".")
        if package != "langchain_agentrm" or inner in {"", "__version__"}:
            continue
        assert inner.split(".")[0] in LEVEL, (
            f"{importer} imports {inner}, which has no line in LAYERS"
        )
        faults.append(verdict(importer, inner))
    assert not list(filter(None, faults))


def test_every_module_has_a_line():
    names = {module_name(path).split(".")[0] for path in FILES} - {""}
    assert not names - set(LEVEL)


@pytest.mark.parametrize("part", PURE)
def test_pure_modules_import_neither_torch_nor_langgraph(part):
    files = [p for p in FILES if module_name(p).split(".")[0] == part]
    assert files, f"{part} does not exist"
    for path in files:
        roots = {name.partition(".")[0] for name in imports(path.read_text())}
        assert not roots & IMPURE_PACKAGES, path.name


def test_only_cli_and_evaluation_import_training():
    for path in FILES:
        importer = module_name(path)
        if importer.split(".")[0] in {"training", "cli", "evaluation", ""}:
            continue
        for name in imports(path.read_text()):
            assert not name.startswith("langchain_agentrm.training"), importer


def test_the_core_finds_integrations_by_entry_point_only():
    for path in FILES:
        for name in imports(path.read_text()):
            root = name.partition(".")[0]
            assert root == "langchain_agentrm" or not root.startswith(
                "langchain_agentrm_"
            ), path.name


def test_the_check_tells_up_from_down():
    assert verdict("selector", "types.Score") == ""
    assert verdict("types", "selector.AgentRMSelector") != ""
    assert verdict("search.beam", "sampling.base") != ""
    assert verdict("sampling.local", "chat_models._engine.LocalModel") == ""
    assert verdict("sampling.chat", "chat_models._engine.LocalModel") != ""
    assert imports("def f():\n    from a.b import c") == {"a.b.c"}
