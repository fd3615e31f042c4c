"""Which games there are: generated ones, or official ones from a download."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from langchain_agentrm.environments.base import Split
from langchain_agentrm.errors import ConfigurationError, UnknownTaskError
from langchain_agentrm.types import TaskRef
from langchain_agentrm_alfworld._tables import tables
from langchain_agentrm_alfworld._world import World
from langchain_agentrm_alfworld.generate import Generation, generate

__all__ = [
    "DATA_VARIABLE",
    "DEMONSTRATION_SEEDS",
    "NAME",
    "SPLIT_SEEDS",
    "Games",
    "GeneratedGames",
    "OfficialGames",
    "load_world",
    "open_games",
]

NAME = "alfworld"
"""Registry name of the environment."""

DATA_VARIABLE = "ALFWORLD_DATA"
"""Environment variable that names the folder of the official games."""

DEMONSTRATION_SEEDS = range(5_000)
"""Seeds of generated games for imitation, in no split; scenes of the training split."""

SPLIT_SEEDS: Mapping[str, range] = {
    "train": range(100_000, 105_000),
    "dev": range(300_000, 305_000),
    "test": range(400_000, 405_000),
}
"""Seeds of generated games: train, seen scenes (dev), unseen scenes (test)."""

_UNSEEN_SEEDS = range(400_000, 500_000)
_FOLDERS = {"train": "train", "dev": "valid_seen", "test": "valid_unseen"}
_SOLVABLE = re.compile(rb'"solvable"\s*:\s*true')
_GENERATED = "-generated/"
_FILE = "game.tw-pddl"


class Games(Protocol):
    """A collection of games in three splits; hashable, since games are cached by it."""

    def __hash__(self) -> int:
        """Tell collections apart."""
        ...

    def count(self, split: Split, type_: str) -> int:
        """Return how many games of a type a split has."""
        ...

    def nth(self, split: Split, type_: str, i: int) -> TaskRef:
        """Name the i-th of them."""
        ...

    def task(self, type_: str, seed: int) -> TaskRef:
        """Name a game by type and seed.

        Raises:
            UnknownTaskError: If there is none.
        """
        ...

    def content(self, task: TaskRef) -> Mapping[str, Any]:
        """Return what the game's file holds.

        Raises:
            UnknownTaskError: If there is no such game.
        """
        ...


class GeneratedGames:
    """ALFWorld-format generated games; nothing need be downloaded.

    Seeds from 400000 to 499999 take place in unseen scenes, all others in those of the
    training split.

    Args:
        generation: Text grammar: `"move"` or `"put"`.
    """

    def __init__(self, generation: Generation = "move") -> None:
        self.generation = generation

    def count(self, split: Split, type_: str) -> int:
        """Return how many games of a type a split has."""
        _check_type(type_)
        return len(SPLIT_SEEDS[split])

    def nth(self, split: Split, type_: str, i: int) -> TaskRef:
        """Name the i-th of them."""
        return self.task(type_, SPLIT_SEEDS[split][i])

    def task(self, type_: str, seed: int) -> TaskRef:
        """Name a game by type and seed.

        Raises:
            UnknownTaskError: If the type does not exist or the seed is no seed.
        """
        _check_type(type_)
        if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
            msg = f"A generated game has no seed {seed!r}."
            raise UnknownTaskError(msg, remedy="Seeds are whole numbers from 0.")
        id_ = f"{type_}{_GENERATED}trial_G{seed:06d}"
        return TaskRef(env=NAME, type=type_, id=id_, seed=seed)

    def content(self, task: TaskRef) -> Mapping[str, Any]:
        """Generate the game.

        Raises:
            UnknownTaskError: If the task is no generated game.
        """
        if self.task(task["type"], task["seed"])["id"] != task["id"]:
            msg = f"Task {task['id']!r} is no generated game."
            raise UnknownTaskError(
                msg, remedy=f"Set {DATA_VARIABLE} to play official games."
            )
        unseen = task["seed"] in _UNSEEN_SEEDS
        return generate(
            task["type"], task["seed"], unseen=unseen, generation=self.generation
        ).content


class OfficialGames:
    """The official games in a folder that ALFWorld's own download made.

    Left out, as ALFWorld does, are games with movable receptacles, with sliced objects
    and those not marked solvable. A game's seed is a hash of its id.

    Args:
        root: The folder that `ALFWORLD_DATA` names.

    Raises:
        ConfigurationError: If the folder has no such games.
    """

    def __init__(self, root: Path) -> None:
        found = sorted(path.parent for path in root.glob("json_*/valid_unseen"))
        if not found:
            msg = f"{root} has no folder json_*/valid_unseen with ALFWorld's games."
            raise ConfigurationError(
                msg,
                remedy=f"Run alfworld-download, or unset {DATA_VARIABLE} to play "
                "generated games.",
            )
        self._root = found[-1]
        self._ids: dict[str, dict[str, list[str]]] = {}

    def count(self, split: Split, type_: str) -> int:
        """Return how many games of a type a split has."""
        _check_type(type_)
        return len(self._split(split)[type_])

    def nth(self, split: Split, type_: str, i: int) -> TaskRef:
        """Name the i-th of them, in the order of their ids."""
        return _official(type_, self._split(split)[type_][i])

    def task(self, type_: str, seed: int) -> TaskRef:
        """Name a game by type and seed.

        Raises:
            UnknownTaskError: If no game of the type has this seed.
        """
        _check_type(type_)
        for split in _FOLDERS:
            for id_ in self._split(split)[type_]:
                if _seed(id_) == seed:
                    return _official(type_, id_)
        msg = f"No official game of type {type_!r} has the seed {seed!r}."
        raise UnknownTaskError(msg, remedy="Take tasks from factory.tasks(split).")

    def content(self, task: TaskRef) -> Mapping[str, Any]:
        """Read the game's file.

        Raises:
            UnknownTaskError: If there is none.
            ConfigurationError: If it cannot be read.
        """
        # The id comes from a task that anyone may have written, and must not lead
        # outside the folder.
        if re.fullmatch(r"[\w.-]+/[\w.-]+", task["id"]) and ".." not in task["id"]:
            for folder in _FOLDERS.values():
                path = self._root / folder / task["id"] / _FILE
                if path.is_file():
                    return _read(path)
        msg = f"There is no official game {task['id']!r} below {self._root}."
        raise UnknownTaskError(msg, remedy="Take tasks from factory.tasks(split).")

    def _split(self, split: str) -> dict[str, list[str]]:
        known = self._ids.get(split)
        if known is None:
            known = {type_: [] for type_ in tables().types}
            folder = self._root / _FOLDERS[split]
            for path in sorted(folder.glob(f"*/*/{_FILE}")):
                id_ = f"{path.parent.parent.name}/{path.parent.name}"
                type_ = id_.partition("-")[0]
                if type_ not in known or "movable" in id_ or "Sliced" in id_:
                    continue
                if _SOLVABLE.search(path.read_bytes()):
                    known[type_].append(id_)
            self._ids[split] = known
        return known


def open_games(data: str | os.PathLike[str] | None, generation: Generation) -> Games:
    """Open the official games where there are any, else the generated ones.

    Args:
        data: Folder of the official games; None means what `ALFWORLD_DATA` names, and
            `"generated"` none.
        generation: Text grammar of generated games; official ones have their own.

    Raises:
        ConfigurationError: If the folder has no games.
    """
    named = os.environ.get(DATA_VARIABLE) if data is None else os.fspath(data)
    return _open(named or "generated", generation)


@lru_cache(maxsize=8)
def _open(data: str, generation: Generation) -> Games:
    if data == "generated":
        return GeneratedGames(generation)
    return OfficialGames(Path(data))


@lru_cache(maxsize=128)
def _world(games: Games, type_: str, id_: str, seed: int) -> World:
    task = TaskRef(env=NAME, type=type_, id=id_, seed=seed)
    return World(games.content(task))


def load_world(games: Games, task: TaskRef) -> World:
    """Load a game for the native engine; the last 128 are kept.

    Raises:
        UnknownTaskError: If there is no such game.
        ConfigurationError: If its file has rules not known to the native engine.
    """
    return _world(games, task["type"], task["id"], task["seed"])


def _check_type(type_: str) -> None:
    known = tables().types
    if type_ not in known:
        msg = f"ALFWorld has no task type {type_!r}."
        raise UnknownTaskError(msg, remedy=f"Choose one of {list(known)}.")


def _official(type_: str, id_: str) -> TaskRef:
    return TaskRef(env=NAME, type=type_, id=id_, seed=_seed(id_))


def _seed(id_: str) -> int:
    digest = hashlib.blake2s(id_.encode(), digest_size=6).digest()
    return int.from_bytes(digest, "big")


def _read(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        msg = f"{path} is no game file: {error}."
        raise ConfigurationError(msg, remedy="Download it again.") from error
    if not isinstance(content, dict):
        msg = f"{path} is no game file: it holds a {type(content).__name__}."
        raise ConfigurationError(msg, remedy="Download it again.")
    return content
