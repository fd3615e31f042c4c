"""Chat models of this package, loaded when first asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_agentrm.chat_models.agentrm import ChatAgentRM
    from langchain_agentrm.chat_models.local import ChatLocal

__all__ = ["ChatAgentRM", "ChatLocal"]


def __getattr__(name: str) -> Any:
    """Load a public name's module."""
    if name == "ChatAgentRM":
        from langchain_agentrm.chat_models.agentrm import ChatAgentRM

        return ChatAgentRM
    if name == "ChatLocal":
        from langchain_agentrm.chat_models.local import ChatLocal

        return ChatLocal
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
