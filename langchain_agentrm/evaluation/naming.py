"""Names of methods, such as `best-of-8` or `beam-5x2`, and what they ask for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from langchain_agentrm.errors import ConfigurationError

__all__ = ["FORMS", "Kind", "Method", "parse_method"]

Kind = Literal[
    "greedy",
    "random",
    "vote",
    "likelihood",
    "finished-first",
    "oracle",
    "best",
    "best-greedy",
    "beam",
    "random-beam",
]

FORMS = (
    "greedy, random-of-N, vote-of-N, likelihood-of-N, finished-first-of-N, "
    "random-beam-W1xW2, best-of-N, best-of-greedy+K, beam-W1xW2, oracle-of-N"
)
_POOLED = ("random", "likelihood", "finished-first", "oracle", "best", "best-greedy")
_GUIDED = ("best", "best-greedy", "beam")
_MOST = 4096

_NAME = re.compile(
    r"(?P<greedy>greedy)"
    r"|(?P<kind>random|vote|likelihood|finished-first|oracle|best)-of-(?P<n>\d+)"
    r"|best-of-greedy\+(?P<k>\d+)"
    r"|(?P<beam>beam|random-beam)-(?P<w1>\d+)x(?P<w2>\d+)"
)


@dataclass(frozen=True, slots=True)
class Method:
    """What a method's name says.

    Attributes:
        name: The name.
        kind: How it picks.
        n: Episodes sampled, or draws a step of a vote; 0 for beams and greedy.
        w1: Beam width; 0 where there are no beams.
        w2: Expansions a beam; 0 where there are no beams.
    """

    name: str
    kind: Kind
    n: int = 0
    w1: int = 0
    w2: int = 0

    @property
    def guided(self) -> bool:
        """Whether a reward model decides."""
        return self.kind in _GUIDED

    @property
    def pooled(self) -> bool:
        """Whether it picks among sampled episodes."""
        return self.kind in _POOLED

    @property
    def control(self) -> bool:
        """Whether it is a rival without a reward model; the oracle is none."""
        return not self.guided and self.kind not in {"greedy", "oracle"}


def parse_method(name: str) -> Method:
    """Read a method's name.

    Args:
        name: One of the forms in `FORMS`, its numbers from 1 to 4096.

    Returns:
        What it asks for.

    Raises:
        ConfigurationError: If the name has no such form.
    """
    found = _NAME.fullmatch(name)
    if found is None:
        raise _refusal(name)
    numbers = [int(found[g]) for g in ("n", "k", "w1", "w2") if found[g]]
    if any(not 1 <= number <= _MOST for number in numbers):
        raise _refusal(name)
    if found["greedy"]:
        return Method(name, "greedy")
    if found["k"]:
        return Method(name, "best-greedy", n=int(found["k"]))
    if found["beam"] == "beam":
        return Method(name, "beam", w1=int(found["w1"]), w2=int(found["w2"]))
    if found["beam"]:
        return Method(name, "random-beam", w1=int(found["w1"]), w2=int(found["w2"]))
    kinds: dict[str, Kind] = {
        "random": "random",
        "vote": "vote",
        "likelihood": "likelihood",
        "finished-first": "finished-first",
        "oracle": "oracle",
        "best": "best",
    }
    return Method(name, kinds[found["kind"]], n=int(found["n"]))


def _refusal(name: str) -> ConfigurationError:
    return ConfigurationError(
        f"Unknown method {name!r}.",
        remedy=f"The forms are {FORMS}, with numbers from 1 to {_MOST}.",
    )
