"""Who says which words of a title are nouns.

The reward compares the nouns of two titles. The official engine asks spaCy's
`en_core_web_sm`, which no package index carries under that name; where it is not
installed, a rule stands in. Which one did is in the result of a purchase.
"""

from __future__ import annotations

import importlib.util
import re
import threading
from functools import lru_cache
from typing import Any, Protocol

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm_webshop._not_nouns import NOT_NOUNS

__all__ = ["OFFICIAL_MODEL", "RuleTagger", "SpacyTagger", "Tagger", "get_tagger"]

OFFICIAL_MODEL = "en_core_web_sm"

# Much as spaCy cuts: at hyphens, slashes and brackets, a possessive off its word, and
# initials with their points in one piece.
_TOKEN = re.compile(r"(?:[^\W\d_]\.){2,}|['\u2019]s\b|[^\W_]+|\S")


class Tagger(Protocol):
    """Finds the nouns of a title."""

    name: str

    def nouns(self, title: str) -> tuple[str, ...]:
        """Return common and proper nouns in small letters, repeats kept."""
        ...


class SpacyTagger:
    """The official one.

    Args:
        model: The spaCy model: a package's name or a folder.

    Raises:
        ConfigurationError: If spaCy or the model is not installed.
    """

    def __init__(self, model: str = OFFICIAL_MODEL) -> None:
        try:
            import spacy  # type: ignore[import-not-found,unused-ignore]

            self._tag: Any = spacy.load(model)
        except (ImportError, OSError) as error:
            msg = f"spaCy's model {model!r} cannot be loaded: {error}."
            raise ConfigurationError(
                msg,
                remedy="Install spaCy and run `python -m spacy download "
                f"{OFFICIAL_MODEL}`, or choose tagger='rule'.",
            ) from error
        meta = self._tag.meta
        self.name = f"spacy:{meta['lang']}_{meta['name']}-{meta['version']}"
        self._lock = threading.Lock()

    def nouns(self, title: str) -> tuple[str, ...]:
        """Return common and proper nouns in small letters, repeats kept."""
        with self._lock:
            return tuple(
                token.text.lower()
                for token in self._tag(title)
                if token.pos_ in {"NOUN", "PROPN"}
            )


class RuleTagger:
    """Takes each word of a title for a noun that no list says is none.

    Titles are strings of nouns, so that this comes close to spaCy; the README says how
    close.
    """

    name = "rule"

    def nouns(self, title: str) -> tuple[str, ...]:
        """Return common and proper nouns in small letters, repeats kept."""
        words = (word.lower() for word in _TOKEN.findall(title))
        return tuple(w for w in words if w[0].isalpha() and w not in NOT_NOUNS)


@lru_cache(maxsize=8)
def get_tagger(name: str = "auto") -> Tagger:
    """Return a tagger, the same one each time.

    Args:
        name: `"rule"`; `"spacy"` for spaCy with the official model; `"spacy:MODEL"` for
            another one; `"auto"` for spaCy if it and the official model are installed,
            else the rule.

    Raises:
        ConfigurationError: If there is no such tagger or it is not installed.
    """
    if name == "auto":
        official = all(map(importlib.util.find_spec, ("spacy", OFFICIAL_MODEL)))
        name = "spacy" if official else "rule"
    if name == "rule":
        return RuleTagger()
    kind, _, model = name.partition(":")
    if kind != "spacy":
        msg = f"WebShop has no tagger {name!r}."
        raise ConfigurationError(
            msg, remedy="Choose 'auto', 'rule', 'spacy' or 'spacy:MODEL'."
        )
    return SpacyTagger(model or OFFICIAL_MODEL)
