"""Where a task's problem comes from, and the worlds that branches share."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from langchain_agentrm.errors import ConfigurationError, UnknownTaskError
from langchain_agentrm_pddl._pddl import read_problem
from langchain_agentrm_pddl._strips import World
from langchain_agentrm_pddl.domains import DOMAINS
from langchain_agentrm_pddl.generate import generate

__all__ = ["FIRST_GENERATED", "official_files", "open_world"]

FIRST_GENERATED = 1_000
"""With a folder of problem files, seeds below this one number its files."""


@lru_cache(maxsize=64)
def open_world(folder: str | None, domain: str, seed: int) -> World:
    """Open a task's world; the last 64 are kept, and branches share them.

    Args:
        folder: Folder of problem files, or None.
        domain: One of the four domains.
        seed: Number of a file, or seed of a generated problem.

    Returns:
        The world.

    Raises:
        UnknownTaskError: If there is no such file.
        ConfigurationError: If the folder or the file is not what it should be.
    """
    rules = DOMAINS[domain]
    if folder is None or seed >= FIRST_GENERATED:
        return World(rules, generate(domain, seed))
    files = official_files(folder, domain)
    if seed >= len(files):
        msg = f"{folder} has no {domain} problem number {seed}."
        raise UnknownTaskError(
            msg,
            remedy=f"Its files are 0 to {len(files) - 1}; generated problems have "
            f"seeds from {FIRST_GENERATED}.",
        )
    path = files[seed]
    text = path.read_text(encoding="utf-8", errors="replace")
    return World(rules, read_problem(text, rules, str(path)))


@lru_cache(maxsize=32)
def official_files(folder: str, domain: str) -> tuple[Path, ...]:
    """List a domain's problem files in AgentBoard's order, by name.

    Raises:
        ConfigurationError: If there are none.
    """
    found = tuple(sorted((Path(folder) / domain).glob("*.pddl")))
    if not found:
        msg = f"{folder} has no problem files {domain}/*.pddl."
        raise ConfigurationError(
            msg, remedy="Name AgentBoard's environment/pddl_env/pddlgym/pddl folder."
        )
    return found
