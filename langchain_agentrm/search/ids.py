"""Ids and seeds are derived, never drawn: a resumed search is the same search."""

from __future__ import annotations

import hashlib

__all__ = ["derive_seed", "node_id", "root_id"]


def _hash(*parts: str) -> bytes:
    h = hashlib.blake2b(digest_size=8)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        h.update(len(data).to_bytes(4, "big"))
        h.update(data)
    return h.digest()


def root_id(*parts: str) -> str:
    """Id of a search tree's root, from what the search starts with.

    Args:
        *parts: The task's identity, or the conversation's texts.

    Returns:
        16 hexadecimal digits.
    """
    return _hash("root", *parts).hex()


def node_id(parent: str, key: str) -> str:
    """Id of the node that `key` leads to from `parent`."""
    return _hash(parent, key).hex()


def derive_seed(run_seed: int, node: str, draw: int = 0) -> int:
    """Seed of one draw in one node: 31 bits, the same in every run and process."""
    return int.from_bytes(_hash(str(run_seed), node, str(draw))[:4], "big") >> 1
