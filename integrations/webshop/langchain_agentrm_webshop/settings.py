"""What an environment of WebShop is made with."""

from __future__ import annotations

import os
from dataclasses import dataclass

from langchain_agentrm.errors import ConfigurationError

__all__ = ["STYLES", "Settings"]

STYLES = ("agentrm", "eto")


@dataclass(frozen=True, slots=True)
class Settings:
    """Options of the environment; two equal ones share catalogue and index.

    Attributes:
        data: Folder of the official files; None takes that of WEBSHOP_DATA, and if that
            is not set either, a generated catalogue.
        human: Goals written by people; otherwise made-up ones.
        products: How many entries of the product file to read; None means all.
        seed: Seed of prices drawn from a range and of price limits.
        tagger: Who finds the nouns of titles: `"auto"`, `"rule"`, `"spacy"`
            or `"spacy:MODEL"`.
        style: `"agentrm"`: a page's text, actions on the last line. `"eto"`: what the
            ETO benchmark sends and takes.
        step_limit: Actions after which the episode ends.
        prompts: AgentRM's published prompt folder, whose instruction and example then
            take the place of ours.
        indices: Folder with ETO's `train_indices.json` and `test_indices.json`, which
            then are the splits.
        show_attributes: Whether a product's attributes can be looked at.

    Raises:
        ConfigurationError: If a value is none of those listed.
    """

    data: str | None = None
    human: bool = True
    products: int | None = None
    seed: int = 0
    tagger: str = "auto"
    style: str = "agentrm"
    step_limit: int = 10
    prompts: str | None = None
    indices: str | None = None
    show_attributes: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if self.style not in STYLES:
            msg = f"WebShop has no style {self.style!r}."
            raise ConfigurationError(msg, remedy=f"Choose one of {list(STYLES)}.")
        if self.step_limit < 1:
            msg = f"step_limit={self.step_limit} leaves no action."
            raise ConfigurationError(msg, remedy="Give at least 1; WebShop's is 10.")

    @property
    def folder(self) -> str | None:
        """Where the official files are; None for a generated catalogue."""
        return self.data or os.environ.get("WEBSHOP_DATA") or None
