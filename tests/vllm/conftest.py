"""A real vLLM, from an environment of its own: `make test-vllm` makes it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENVIRONMENT = ROOT / ".venv-vllm"


@pytest.fixture(scope="session")
def vllm_python():
    """The Python that holds vLLM; skips, with the installer's reason, without one."""
    named = os.environ.get("AGENTRM_VLLM_PYTHON")
    if named:
        return named
    skipped = ENVIRONMENT.with_name(f"{ENVIRONMENT.name}.skipped")
    if skipped.is_file():
        pytest.skip(skipped.read_text().strip())
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        pytest.skip(f"{ENVIRONMENT} is not there; run: make test-vllm")
    return str(python)
