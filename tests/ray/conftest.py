"""A Ray cluster of several nodes on this machine: `make test-ray`."""

from __future__ import annotations

import importlib.util
import os
import sys

import pytest


@pytest.fixture(scope="session")
def ray_python():
    """The Python that holds Ray; skips without one."""
    named = os.environ.get("AGENTRM_RAY_PYTHON")
    if named:
        return named
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed; run: pip install 'langchain-agentrm[ray]'")
    return sys.executable
