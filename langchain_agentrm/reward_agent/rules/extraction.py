"""Rules from the words of a request, without a model."""

from __future__ import annotations

from typing import Literal

from langchain_agentrm.reward_agent.rules._patterns.formats import read_formats
from langchain_agentrm.reward_agent.rules._patterns.keywords import read_keywords
from langchain_agentrm.reward_agent.rules._patterns.literals import (
    read_literals,
    read_options,
)
from langchain_agentrm.reward_agent.rules._patterns.quantities import read_quantities
from langchain_agentrm.reward_agent.rules._patterns.reader import Reader
from langchain_agentrm.reward_agent.rules.dsl import Rule

__all__ = ["BareFrequency", "extract"]

BareFrequency = Literal["exactly", "at_least"]
"""What "the word x should appear 3 times" means."""

_LONGEST = 20_000


def extract(request: str, *, bare_frequency: BareFrequency = "exactly") -> list[Rule]:
    """Read the checkable rules in a request; English only.

    General patterns of English, no model: the same request gives the same rules. What
    cannot be checked on the surface, such as a tone, is left out.

    Args:
        request: What the user asked for; only its first 20,000 characters are read.
        bare_frequency: How a number of times without "at least" or "exactly" is read.
            `"exactly"` is what the words say; IFEval and many labelled data sets mean
            `"at_least"`.

    Returns:
        The rules, each once; none if the request has none.
    """
    reader = Reader.of(request[:_LONGEST])
    read_options(reader)
    read_keywords(reader, bare_frequency)
    read_quantities(reader)
    read_formats(reader)
    read_literals(reader)
    return reader.rules
