"""The record of a comparison with a bare engine; `make fidelity` writes one for each.

An integration's `tests/parity.py` plays the same actions in ours and in the official
engine, and notes here what it saw. `benchmarks/fidelity.py` makes the page of them.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from langchain_agentrm._files import write_json

__all__ = ["Parity", "options"]

_SHOWN = 20


@dataclass
class Parity:
    """What was compared, how much of it, and where the two differed.

    Attributes:
        environment: Registry name of ours.
        engine: What ours was held against.
        compared: What had to be equal.
        seed: Seed of the choices.
        settings: What else the run was given.
        packages: Distributions whose versions matter.
        episodes: Episodes played.
        steps: Actions taken in both.
        differences: One line each.
        details: Further figures, by name.
    """

    environment: str
    engine: str
    compared: str
    seed: int
    settings: dict[str, Any]
    packages: tuple[str, ...]
    episodes: int = 0
    steps: int = 0
    differences: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    _began: float = field(default_factory=time.monotonic, repr=False)

    def check(self, where: str, ours: object, theirs: object) -> bool:
        """Note a difference, if there is one.

        Args:
            where: What is compared, and at which step of which task.
            ours: What our environment shows.
            theirs: What the bare engine shows.

        Returns:
            Whether both are equal.
        """
        same = ours == theirs
        if not same:
            self.differences.append(f"{where}: ours {ours!r}, theirs {theirs!r}")
        return same

    def finish(self, out: Path | None, **versions: str) -> int:
        """Write the record and say in one line what was found.

        Args:
            out: Where to; None writes no file.
            **versions: Versions of what is no Python package.

        Returns:
            Exit status: 1 if anything differed, or nothing was compared.
        """
        record = asdict(self)
        for name in ("_began", "packages", "differences"):
            del record[name]
        found = len(self.differences)
        record |= {
            "differences": found,
            "first_differences": self.differences[:_SHOWN],
            "versions": {name: version(name) for name in self.packages}
            | {"python": platform.python_version()}
            | versions,
            "date": datetime.now(UTC).date().isoformat(),
            "seconds": round(time.monotonic() - self._began, 1),
        }
        if out is not None:
            write_json(out, record)
        for line in self.differences[:_SHOWN]:
            sys.stdout.write(f"{line}\n")
        sys.stdout.write(
            f"{self.environment} beside {self.engine}: {self.episodes} episodes, "
            f"{self.steps} steps, {found} differences, {record['seconds']} s\n"
        )
        return int(found > 0 or self.steps == 0)


def options(
    argv: Sequence[str] | None = None, *, episodes: int = 50
) -> argparse.Namespace:
    """Read the options that every comparison has.

    Args:
        argv: Arguments; None means the command's own.
        episodes: How many episodes where none are asked for.

    Returns:
        The options `episodes`, `seed` and `out`.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--episodes", type=int, default=episodes)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="the record's file")
    return parser.parse_args(argv)
