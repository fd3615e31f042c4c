"""Proposers: candidates for all beams of a step, each token counted once."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_agentrm.sampling.base import Proposer
    from langchain_agentrm.sampling.chat import ChatProposer
    from langchain_agentrm.sampling.local import LocalProposer

__all__ = ["ChatProposer", "LocalProposer", "Proposer"]

_MODULES = {"ChatProposer": "chat", "LocalProposer": "local", "Proposer": "base"}


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
