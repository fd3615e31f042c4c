"""How the tool tasks are played."""

from __future__ import annotations

import os
from dataclasses import dataclass

from langchain_agentrm.errors import ConfigurationError

__all__ = ["STYLES", "Settings"]

STYLES = ("text", "calls")


@dataclass(frozen=True, slots=True)
class Settings:
    """Options of the environment.

    Attributes:
        style: `"text"`, where the instruction lists the functions and actions are
            `NAME with Action Input: {...}`, or `"calls"`, where the functions are
            offered as tools. Both kinds of action are read in both styles.
        data: Folder with AgentBoard's labels and data; None means the folder that the
            environment variable `TOOLS_DATA` names, if any.
        prompts: AgentRM's published prompt folder; None means an instruction in our own
            words.

    Raises:
        ConfigurationError: If there is no such style.
    """

    style: str = "text"
    data: str | None = None
    prompts: str | None = None

    def __post_init__(self) -> None:
        """Check the style."""
        if self.style not in STYLES:
            msg = f"The tool tasks have no style {self.style!r}."
            raise ConfigurationError(msg, remedy=f"Choose one of {list(STYLES)}.")

    @property
    def folder(self) -> str | None:
        """The data folder that counts now."""
        return self.data or os.environ.get("TOOLS_DATA") or None
