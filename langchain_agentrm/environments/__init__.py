"""Environments: the seam, and how they are found."""

from __future__ import annotations

from langchain_agentrm.environments.base import (
    Demonstration,
    Environment,
    EnvironmentFactory,
    EnvironmentSpec,
    Split,
    Start,
    digest,
)
from langchain_agentrm.environments.registry import available, get, register

__all__ = [
    "Demonstration",
    "Environment",
    "EnvironmentFactory",
    "EnvironmentSpec",
    "Split",
    "Start",
    "available",
    "digest",
    "get",
    "register",
]
