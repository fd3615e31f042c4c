"""Every Python block of the README and of the documents runs as it is printed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "integrations").glob("*/README.md")),
    *sorted((ROOT / "examples").rglob("README.md")),
]
BLOCK = re.compile(r"^```python([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NO_RUN = re.compile(r" no-run: \S.{9,}")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def blocks(text: str) -> list[tuple[str, str]]:
    """Tag and source of each Python block of a page."""
    return [(match[1], match[2]) for match in BLOCK.finditer(text)]


BLOCKS = [
    pytest.param(source, id=f"{page.relative_to(ROOT)}:{number}")
    for page in PAGES
    for number, (tag, source) in enumerate(blocks(page.read_text()), 1)
    if not tag
]


@pytest.mark.parametrize("source", BLOCKS)
def test_block_runs(source, tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:__main__", "-c", source],
        cwd=tmp_path,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_block_that_does_not_run_says_why(page):
    for tag, source in blocks(page.read_text()):
        assert not tag or NO_RUN.fullmatch(tag), f"```python{tag}"
        compile(source, str(page), "exec")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_to_files(page):
    for target in LINK.findall(page.read_text()):
        if "://" not in target and not target.startswith("mailto:"):
            assert (page.parent / target).exists(), target


def test_the_readme_shows_code_that_runs():
    assert any(not tag for tag, _ in blocks((ROOT / "README.md").read_text()))


def test_tags_are_told_apart():
    assert blocks("```python\nx\n```\n```python no-run: a reason here\ny\n```\n") == [
        ("", "x\n"),
        (" no-run: a reason here", "y\n"),
    ]
    assert not NO_RUN.fullmatch(" no-run")
