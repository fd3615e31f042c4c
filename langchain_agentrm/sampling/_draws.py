"""Which calls draw n candidates, and what to do when the server refuses some.

The decisions are one generator: it yields the calls to make at once and is sent what
came of them. So the sync and the async side share them, and neither is built on the
other.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from langchain_core.outputs import ChatResult

__all__ = ["Abilities", "Draws", "Meter", "Outcome", "derive", "draw", "refuses"]

Outcome = ChatResult | Exception
Call = dict[str, Any]
Draws = Generator[list[Call], list[Outcome], list[ChatResult]]

_log = logging.getLogger(__name__)

_REFUSED = {400, 422}
_MAX_SEED = 0x7FFFFFFF


@dataclass(slots=True)
class Abilities:
    """What the policy's server is known to take; corrected by what it answers."""

    many: bool
    seeds: bool


@dataclass(slots=True)
class Meter:
    """Requests made for one proposal request, whatever became of them."""

    requests: int = 0


def derive(seed: int, index: int) -> int:
    """Seed of one of several single draws: 31 bits, which every server takes."""
    data = f"{seed}:{index}".encode()
    return int.from_bytes(hashlib.blake2s(data, digest_size=4).digest(), "big") >> 1


def refuses(outcome: Outcome, option: str) -> bool:
    """Tell whether a call failed because the server does not take `option`."""
    if not isinstance(outcome, Exception):
        return False
    if isinstance(outcome, TypeError):
        return f"unexpected keyword argument '{option}'" in str(outcome)
    if getattr(outcome, "status_code", None) not in _REFUSED:
        return False
    if getattr(outcome, "param", None) == option:
        return True
    # A quoted error body holds line ends as a backslash and an n: not a mention of `n`.
    # Some servers give their reason in a body that the error's text leaves out.
    text = f"{outcome} {getattr(outcome, 'body', None) or ''}"
    found = re.search(rf"(?<![\w\\]){re.escape(option)}(?!\w)", text)
    return found is not None


def draw(
    n: int, seed: int | None, options: Call, abilities: Abilities, meter: Meter
) -> Draws:
    """Draw n candidates in as few waves of calls as the server allows.

    Args:
        n: How many.
        seed: Seed of the request, or None to leave seeds alone.
        options: Options that every call carries.
        abilities: What is known of the server; updated.
        meter: Counts the calls.

    Yields:
        Calls to make at once; their outcomes are to be sent back in the same order.

    Returns:
        The results, of at least one call.

    Raises:
        Exception: The first error, if no call succeeded.
    """
    results: list[ChatResult] = []
    refused = False
    if n > 1 and abilities.many:
        whole = None if seed is None else seed & _MAX_SEED
        calls: list[Call] = [{**options, "n": n}]
        (outcome,) = yield from _send(calls, [whole], abilities, meter)
        if isinstance(outcome, ChatResult):
            results.append(outcome)
            # One choice means that `n` was not read; a few mean a cap or a filter.
            if len(outcome.generations) == 1:
                abilities.many = False
        elif refuses(outcome, "n"):
            refused = True
        else:
            raise outcome
    have = sum(len(r.generations) for r in results)
    if have >= n:
        return results
    seeds = [_single(seed, i, n) for i in range(have, n)]
    outcomes = yield from _send([options] * (n - have), seeds, abilities, meter)
    arrived = [o for o in outcomes if isinstance(o, ChatResult)]
    if refused and arrived:
        # Only now is it sure that `n` was what the server minded.
        abilities.many = False
    results += arrived
    failed = [o for o in outcomes if isinstance(o, Exception)]
    if not results:
        raise failed[0]
    if failed:
        _log.warning("%d of %d draws failed; first: %s", len(failed), n, failed[0])
    return results


def _single(seed: int | None, index: int, n: int) -> int | None:
    if seed is None:
        return None
    return seed & _MAX_SEED if n == 1 else derive(seed, index)


def _send(
    calls: list[Call], seeds: list[int | None], abilities: Abilities, meter: Meter
) -> Generator[list[Call], list[Outcome], list[Outcome]]:
    """Make calls; those whose seed is refused are made again without it."""
    sent = [
        c if s is None or not abilities.seeds else {**c, "seed": s}
        for c, s in zip(calls, seeds, strict=True)
    ]
    meter.requests += len(sent)
    outcomes = list((yield sent))
    again = [
        i
        for i, outcome in enumerate(outcomes)
        if sent[i] is not calls[i] and refuses(outcome, "seed")
    ]
    if again:
        meter.requests += len(again)
        repeated = yield [calls[i] for i in again]
        for i, outcome in zip(again, repeated, strict=True):
            outcomes[i] = outcome
        if any(isinstance(o, ChatResult) for o in repeated):
            abilities.seeds = False
    return outcomes
