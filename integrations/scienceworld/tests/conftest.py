from __future__ import annotations

import pytest


@pytest.fixture(scope="session", autouse=True)
def _end_java():
    """End the Java processes with the tests, and not at some later moment."""
    yield
    from langchain_agentrm_scienceworld import factory

    factory.close()
