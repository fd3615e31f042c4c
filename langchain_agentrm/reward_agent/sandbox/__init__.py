"""Sandboxes for code that a model wrote; none of it ever runs in this process."""

from __future__ import annotations

from langchain_agentrm.reward_agent.sandbox.bubblewrap import BubblewrapSandbox
from langchain_agentrm.reward_agent.sandbox.layered import LayeredSandbox
from langchain_agentrm.reward_agent.sandbox.monty import MontySandbox
from langchain_agentrm.reward_agent.sandbox.selftest import best_sandbox, self_test
from langchain_agentrm.reward_agent.sandbox.types import (
    Fault,
    Limits,
    Outcome,
    Sandbox,
)

__all__ = [
    "BubblewrapSandbox",
    "Fault",
    "LayeredSandbox",
    "Limits",
    "MontySandbox",
    "Outcome",
    "Sandbox",
    "best_sandbox",
    "self_test",
]
