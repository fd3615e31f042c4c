"""The cost of a search step beside what it stands on: `make bench`."""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from _chat_subjects import beam_step, root_step
from _graph_subjects import STEPS, graph_run
from _measure import Case, held, measure, show, write
from _server import running


def _cases(url: str, loop: asyncio.AbstractEventLoop) -> list[Case]:
    limits = {16: (1.05, 1.6), 64: (1.1, 1.5)}
    out: list[Case] = []
    for word, make in (("root step", root_step), ("4 beams", beam_step)):
        for n, limit in limits.items():
            name = f"{word}, {n} candidates"
            out.append(Case(name, make(url, n, loop), n, {"AgentRM": limit}))
    for sqlite, cpu in ((False, 4.0), (True, 2.0)):
        name = f"graph step, W1=W2=5, {'SQLite' if sqlite else 'no saver'}"
        ours = {"AgentRM": (None, cpu)}
        out.append(Case(name, graph_run(sqlite=sqlite), STEPS, ours))
    return out


def main() -> None:
    """Measure, print, write; exit code 1 if a limit was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--latency", type=float, default=0.2, help="seconds a request")
    parser.add_argument("--out", type=Path, help="where to write JSON")
    args = parser.parse_args()
    if importlib.util.find_spec("its_hub") is None:
        print("its_hub is left out: it is not installed (pip install 'its_hub[lm]').")
    rows: list[dict[str, Any]] = []
    loop = asyncio.new_event_loop()
    with running(args.latency) as url:
        for case in _cases(url, loop):
            rows += measure(case, args.rounds)
    loop.close()
    show(rows)
    if args.out:
        write(
            args.out,
            rows,
            command="make bench",
            rounds=args.rounds,
            latency=args.latency,
        )
    sys.exit(not all(map(held, rows)))


if __name__ == "__main__":
    main()
