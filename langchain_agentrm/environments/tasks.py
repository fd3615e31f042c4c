"""What factories of environments share: seeds of the splits, checks, round robin."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from langchain_agentrm.errors import ConfigurationError, UnknownTaskError
from langchain_agentrm.types import TaskRef

__all__ = [
    "DEMONSTRATION_SEEDS",
    "SPLIT_SEEDS",
    "TypeGroup",
    "check_known",
    "check_seed",
    "check_task",
    "demonstration_seeds",
    "given_settings",
    "round_robin",
]

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")

TypeGroup = Literal["held_in", "held_out", "dev", "all"]
"""Groups of task types, by what the training of a reward model may see."""

SPLIT_SEEDS: Mapping[str, range] = {
    "train": range(100_000, 105_000),
    "dev": range(300_000, 305_000),
    "test": range(400_000, 405_000),
}
"""Seeds of generated tasks by split; no seed is in two."""

DEMONSTRATION_SEEDS = range(10_000, 15_000)
"""Seeds of generated tasks for imitation, in no split."""


def round_robin(
    seeds: Mapping[str, Iterable[int]], limit: int | None = None
) -> list[tuple[str, int]]:
    """Take one seed of each type in turn, and go on with the types that have more.

    Args:
        seeds: Seeds by type.
        limit: How many at most.

    Returns:
        Type and seed, in that order.
    """
    return list(islice(_turns(seeds), None if limit is None else max(0, limit)))


def _turns(seeds: Mapping[str, Iterable[int]]) -> Iterable[tuple[str, int]]:
    left = {type_: iter(row) for type_, row in seeds.items()}
    while left:
        for type_, row in list(left.items()):
            seed = next(row, None)
            if seed is None:
                del left[type_]
            else:
                yield type_, seed


def check_known(names: Iterable[str], known: Collection[str], what: str) -> None:
    """Refuse a name that does not exist.

    Args:
        names: Names that a user gave.
        known: Those that exist.
        what: What they name, such as `"maze type"`.

    Raises:
        UnknownTaskError: If one does not exist.
    """
    for name in names:
        if name not in known:
            msg = f"There is no {what} {name!r}."
            raise UnknownTaskError(msg, remedy=f"Choose one of {list(known)}.")


def check_seed(seed: object, what: str) -> int:
    """Return a seed, or refuse it.

    Args:
        seed: What a user gave.
        what: What has seeds, such as `"maze"`.

    Returns:
        The seed.

    Raises:
        UnknownTaskError: If it is no whole number from 0.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        msg = f"A {what} has no seed {seed!r}."
        raise UnknownTaskError(msg, remedy="Seeds are whole numbers from 0.")
    return seed


def check_task(task: TaskRef, name: str) -> None:
    """Refuse another environment's task.

    Args:
        task: The task.
        name: Registry name of the environment that is to load it.

    Raises:
        UnknownTaskError: If the task belongs to another environment.
    """
    if task["env"] != name:
        msg = f"Task {task['id']!r} belongs to environment {task['env']!r}."
        raise UnknownTaskError(msg, remedy="Make that environment instead.")


def demonstration_seeds(
    n_per_type: int, seeds: Sequence[int] = DEMONSTRATION_SEEDS
) -> Sequence[int]:
    """Take seeds for imitation.

    Args:
        n_per_type: How many.
        seeds: Those that there are.

    Returns:
        The first of them.

    Raises:
        ConfigurationError: If there are not that many.
    """
    if not 0 <= n_per_type <= len(seeds):
        msg = f"n_per_type={n_per_type} demonstrations cannot be had."
        raise ConfigurationError(msg, remedy=f"Ask for 0 to {len(seeds)}.")
    return seeds[:n_per_type]


def given_settings(
    kind: type[T], settings: T | None, options: Mapping[str, Any], what: str
) -> T:
    """Take settings as they are, or make them of options.

    Args:
        kind: The dataclass of the settings.
        settings: Settings, or None.
        options: Fields of the settings, instead of them.
        what: What has the options, for messages, such as `"WebShop"`.

    Returns:
        The settings.

    Raises:
        ConfigurationError: If both are given, or an option does not exist.
    """
    known = [field.name for field in fields(kind)]
    if settings is not None and options:
        msg = f"Settings were given, and {sorted(options)} beside them."
        raise ConfigurationError(msg, remedy="Give one or the other.")
    unknown = sorted(set(options) - set(known))
    if unknown:
        msg = f"{what} has no option {unknown[0]!r}."
        raise ConfigurationError(msg, remedy=f"Options: {known}.")
    return kind(**options) if settings is None else settings
