"""Story files in a folder, and which of them the interpreter can score."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

from langchain_agentrm.errors import ConfigurationError

__all__ = ["AGENTBOARD", "DEV", "VARIABLE", "Story", "load_jericho", "stories"]

VARIABLE = "JERICHO_GAMES"
"""Environment variable that names the folder of story files."""

AGENTBOARD: tuple[str, ...] = (
    "905",
    "acorncourt",
    "afflicted",
    "balances",
    "dragon",
    "jewel",
    "library",
    "omniquest",
    "reverb",
    "snacktime",
    "zenon",
    "zork1",
    "zork2",
    "zork3",
    "detective",
    "night",
    "pentari",
    "weapon",
    "huntdark",
    "loose",
)
"""AgentBoard's twenty games, in the order of its labels."""

DEV: tuple[str, ...] = ("awaken", "inhumane", "moonlit", "partyfoul", "temple")
"""Games for choosing a checkpoint: short ones that AgentBoard does not use."""

_SUFFIX = re.compile(r"\.z[1-8]", re.IGNORECASE)
_HEADER = 64
_STATUS_LINE = 3
_TIMED = 0b10


@dataclass(frozen=True, slots=True)
class Story:
    """A story file.

    Attributes:
        name: Its name without suffix, which is the task type.
        path: Where it lies.
        known: Whether Jericho knows where this very file keeps its score.
        walkthrough: Jericho's solution of it; empty where it has none.
    """

    name: str
    path: str
    known: bool
    walkthrough: tuple[str, ...]


def load_jericho() -> Any:
    """Import Jericho.

    Raises:
        ConfigurationError: If it is not installed.
    """
    try:
        return import_module("jericho")
    except ImportError as error:
        msg = f"The interpreter cannot be imported: {error}."
        raise ConfigurationError(
            msg,
            remedy="pip install langchain-agentrm-jericho; building Jericho takes gcc "
            "and make.",
        ) from error


def stories(folder: str | None) -> Mapping[str, Story]:
    """List the story files of a folder that can be scored, by name.

    These are the files that Jericho knows by their checksum, and those of version 3
    with a score in their status line, whose place the format fixes.

    Args:
        folder: The folder; None means the one that `JERICHO_GAMES` names.

    Returns:
        The stories in the order of their names; none without a folder.

    Raises:
        ConfigurationError: If the folder does not exist or Jericho is missing.
    """
    folder = folder or os.environ.get(VARIABLE)
    if not folder:
        return {}
    if not Path(folder).is_dir():
        msg = f"There is no folder of story files {folder}."
        raise ConfigurationError(msg, remedy=f"Set games= or {VARIABLE} to a folder.")
    found: dict[str, Story] = {}
    for path in sorted(Path(folder).iterdir()):
        if _SUFFIX.fullmatch(path.suffix) and path.is_file():
            stat = path.stat()
            story = _story(str(path), stat.st_mtime_ns, stat.st_size)
            if story is not None:
                found.setdefault(story.name, story)
    return found


@lru_cache(maxsize=1024)
def _story(path: str, changed: int, size: int) -> Story | None:
    del changed, size
    data = Path(path).read_bytes()
    if len(data) < _HEADER:
        return None
    # Jericho's table is keyed by this checksum; nothing rests on its strength.
    checksum = hashlib.md5(data, usedforsecurity=False).hexdigest()
    entry = load_jericho().defines.BINDINGS_DICT.get(checksum)
    if entry is None:
        shows_score = data[0] == _STATUS_LINE and not data[1] & _TIMED
        return Story(Path(path).stem, path, False, ()) if shows_score else None
    walkthrough = tuple(entry.get("walkthrough", "").split("/"))
    return Story(Path(path).stem, path, True, tuple(x for x in walkthrough if x))
