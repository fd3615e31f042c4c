"""Starting servers: vLLM for a reward model, supervised; parts load when asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_agentrm.serving._parity import (
        ParityRow,
        parity,
        sample_trajectories,
    )
    from langchain_agentrm.serving.vllm import VLLMServer

__all__ = ["ParityRow", "VLLMServer", "parity", "sample_trajectories"]

_HOMES = {
    "ParityRow": "_parity",
    "VLLMServer": "vllm",
    "parity": "_parity",
    "sample_trajectories": "_parity",
}


def __getattr__(name: str) -> Any:
    """Load a part when it is asked for: comparing scores needs torch."""
    if name in _HOMES:
        module = import_module(f"langchain_agentrm.serving.{_HOMES[name]}")
        return getattr(module, name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
