"""Hold each environment against its bare engine, and write docs/fidelity.md.

`make fidelity` runs it. Each integration's `tests/parity.py` plays the same actions in
ours and in the engine and writes one record to docs/data; the table is made of the
records. The exit status is 1 if anything differed or a comparison did not run.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from _page import write_part

from langchain_agentrm._files import read_json

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Comparison:
    """One environment's comparison.

    Attributes:
        name: Folder of the integration.
        episodes: Episodes that are asked for.
        apart: Whether it needs the environment that holds the official engines.
    """

    name: str
    episodes: int
    apart: bool = False


COMPARISONS = (
    Comparison("webshop", 200),
    Comparison("babyai", 50),
    Comparison("pddl", 50, apart=True),
    Comparison("scienceworld", 50),
    Comparison("alfworld", 500, apart=True),
)


def run(comparison: Comparison, engines: str, data: Path) -> bool:
    """Run one comparison in a process of its own.

    Args:
        comparison: Which one.
        engines: Python of the environment that holds the official engines.
        data: Folder of the records.

    Returns:
        Whether it ran to its end without a difference.
    """
    out = data / f"fidelity_{comparison.name}.json"
    # An old record must not stand in for a comparison that did not run.
    out.unlink(missing_ok=True)
    script = ROOT / "integrations" / comparison.name / "tests" / "parity.py"
    command = [engines if comparison.apart else sys.executable, str(script)]
    command += ["--episodes", str(comparison.episodes), "--out", str(out)]
    return subprocess.run(command, check=False, cwd=ROOT).returncode == 0


def row(record: dict[str, Any]) -> list[str]:
    """One line of the table."""
    counted = f"{record['episodes']:,} episodes, {record['steps']:,} steps"
    if "purchases" in record["details"]:
        counted += f", {record['details']['purchases']:,} purchases"
    versions = (f"{name} {number}" for name, number in record["versions"].items())
    return [
        record["environment"],
        record["engine"],
        record["compared"],
        counted,
        str(record["differences"]),
        ", ".join(versions),
        f"{record['date']}, seed {record['seed']}, {record['seconds']:.0f} s",
    ]


def write_page(page: Path, data: Path, seconds: float | None) -> bool:
    """Put the table of all records into the page.

    Args:
        page: The page, with the two marks.
        data: Folder of the records.
        seconds: What the whole run took; None if only the page is made.

    Returns:
        Whether every record is there and without a difference.
    """
    head = ["environment", "held against", "what had to be equal", "compared"]
    head += ["differences", "versions", "run"]
    rows = [head, ["---"] * len(head)]
    whole = True
    for comparison in COMPARISONS:
        path = data / f"fidelity_{comparison.name}.json"
        if not path.exists():
            print(f"{path} is missing: the comparison did not finish.")
            whole = False
            continue
        record = read_json(path)
        whole = whole and record["differences"] == 0
        rows.append(row(record))
    lines = ["| " + " | ".join(cells) + " |" for cells in rows]
    if seconds is not None:
        date = datetime.now(UTC).date().isoformat()
        took = f"`make fidelity` on {date}, {seconds / 60:.0f} minutes in all."
        lines = [took, "", *lines]
    write_part(page, "fidelity", lines)
    return whole


def main() -> int:
    """Run the comparisons and write the page; 1 if anything differed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--engines",
        default=sys.executable,
        help="Python of the environment with TextWorld and pddlgym",
    )
    parser.add_argument("--out", type=Path, default=ROOT / "docs")
    parser.add_argument("--only", nargs="*", help="names of the comparisons to run")
    parser.add_argument("--page", action="store_true", help="make the page alone")
    given = parser.parse_args()
    began = time.monotonic()
    data = given.out / "data"
    wanted = [c for c in COMPARISONS if given.only is None or c.name in given.only]
    equal = True
    for comparison in () if given.page else wanted:
        equal = run(comparison, given.engines, data) and equal
    whole = not given.page and wanted == list(COMPARISONS)
    seconds = time.monotonic() - began if whole else None
    return int(not (write_page(given.out / "fidelity.md", data, seconds) and equal))


if __name__ == "__main__":
    sys.exit(main())
