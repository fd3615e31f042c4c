"""Every installed environment: speed, cost of a fork, tasks, what its expert solves.

`make bench-environments` writes the table of docs/environments.md. Steps are timed
with the list of admissible actions where the engine gives one; a fork is timed after
30 steps and a step is taken in it, so that a copy that is made late is counted. Step
limits are lifted where the environment has an option for it; where it has none, the
fork comes one step before the limit, and the table says after how many. Times are the
processor's where the engine runs in this process, and the clock's where it does not.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path

from _page import write_part
from rich.console import Console
from rich.table import Table

from langchain_agentrm._files import write_json
from langchain_agentrm.environments import registry
from langchain_agentrm.environments._options import options_of, with_options
from langchain_agentrm.environments.base import Environment, EnvironmentFactory
from langchain_agentrm.errors import AgentRMError
from langchain_agentrm.types import TaskRef

DEPTH = 30
NO_LIMIT = {"step_limit": "1000", "move_limit": "100000"}
"""Options that let an episode go on."""
ENDS = {"done", "click[buy now]", "finish", "quit"}
"""What ends an episode by itself, and would leave no walk of `DEPTH` steps."""


@dataclass(frozen=True)
class Row:
    """What was measured of one environment.

    Attributes:
        name: Its registry name.
        forks_by: How it forks.
        step_ms: Median of a step with the action list.
        steps_per_second: One over the mean of it.
        fork_ms: Median of a fork after `fork_at` steps, with the fork's first step.
        fork_at: After how many steps; below 30 where the limit cannot be lifted.
        tasks: Tasks a split; at most `counted` were counted.
        expert_solved: Share of the expert's episodes that succeed.
        expert_score: Its mean score.
        expert_actions: Median of its actions.
        episodes: The expert's episodes.
    """

    name: str
    forks_by: str
    step_ms: float
    steps_per_second: float
    fork_ms: float | None
    fork_at: int | None
    tasks: dict[str, int]
    expert_solved: float | None
    expert_score: float | None
    expert_actions: float | None
    episodes: int


def measure(factory: EnvironmentFactory, episodes: int, seconds: float) -> Row:
    """Measure one environment.

    Args:
        factory: Its registry entry.
        episodes: Episodes of the expert.
        seconds: How long to walk at random.

    Returns:
        The row.
    """
    tasks = factory.tasks("test", limit=episodes)
    known = options_of(factory)
    unlimited = with_options(
        factory, {name: value for name, value in NO_LIMIT.items() if name in known}
    )
    steps, forks, depth = _walk(unlimited, tasks, seconds)
    solved, scores, lengths = _expert(unlimited, tasks)
    return Row(
        name=factory.name,
        forks_by=factory.spec.fork,
        step_ms=1e3 * statistics.median(steps),
        steps_per_second=1 / statistics.fmean(steps),
        fork_ms=1e3 * statistics.median(forks) if forks else None,
        fork_at=depth if forks else None,
        tasks={s: len(factory.tasks(s)) for s in ("train", "dev", "test")},
        expert_solved=statistics.fmean(solved) if solved else None,
        expert_score=statistics.fmean(scores) if scores else None,
        expert_actions=statistics.median(lengths) if lengths else None,
        episodes=len(solved),
    )


def _walk(
    factory: EnvironmentFactory, tasks: list[TaskRef], seconds: float
) -> tuple[list[float], list[float], int]:
    """Walk at random; time steps, and a fork at the end of each walk.

    Returns:
        Seconds of steps, seconds of forks, steps before each fork.
    """
    draw = random.Random(0)
    steps: list[float] = []
    forks: list[float] = []
    until = time.perf_counter() + seconds
    # An engine whose state cannot be copied is another process.
    clock = time.thread_time if factory.spec.fork == "copy" else time.perf_counter
    env = factory.make()
    depth = min(DEPTH, *((env.reset(task).step_limit - 1) for task in tasks))
    try:
        while time.perf_counter() < until or not steps:
            task = draw.choice(tasks)
            env.reset(task)
            script = [] if env.actions() else _script(factory, task)
            for n in range(depth):
                action = _action(env, script, n, draw)
                start = clock()
                transition = env.step(action)
                env.actions()
                steps.append(clock() - start)
                if transition.done:
                    break
            else:
                if factory.spec.fork != "none":
                    forks.append(_fork(env, draw, clock))
            if time.perf_counter() > until and (forks or len(steps) > 10 * DEPTH):
                break
    finally:
        env.close()
    return steps, forks, depth


def _script(factory: EnvironmentFactory, task: TaskRef) -> list[str]:
    """Actions of the expert but its last, which ends the task.

    They are for engines that list no actions, and repeated to make a walk.
    """
    show = getattr(factory, "demonstrate", None)
    shown = show(task) if show is not None else None
    return [action for _, action in shown.steps[:-1]] if shown is not None else []


def _action(env: Environment, script: list[str], n: int, draw: random.Random) -> str:
    listed = [action for action in env.actions() or () if action not in ENDS]
    if listed:
        return draw.choice(listed)
    return script[n % len(script)] if script else "look around"


def _fork(env: Environment, draw: random.Random, clock: Callable[[], float]) -> float:
    listed = env.actions() or ["look around"]
    action = draw.choice(listed)
    start = clock()
    twin = env.fork()
    twin.step(action)
    spent = clock() - start
    twin.close()
    return spent


def _expert(
    factory: EnvironmentFactory, tasks: list[TaskRef]
) -> tuple[list[float], list[float], list[int]]:
    solved: list[float] = []
    scores: list[float] = []
    lengths: list[int] = []
    # Some experts have tasks of their own to show, and some have not.
    show = getattr(factory, "demonstrate", None)
    if show is not None:
        for task in tasks:
            shown = show(task)
            solved.append(float(shown is not None and shown.score >= 1))
            scores.append(shown.score if shown is not None else 0.0)
            if shown is not None:
                lengths.append(len(shown.steps))
    return solved, scores, lengths


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=5.0, help="a walk's time")
    parser.add_argument("--only", default="", help="names, by commas")
    parser.add_argument("--out", type=Path, help="docs folder to write into")
    args = parser.parse_args()
    if args.only and args.out:
        parser.error("--out writes the whole table: leave --only out")
    console = Console(width=120)
    names = args.only.split(",") if args.only else registry.available()
    rows = []
    for name in names:
        try:
            rows.append(measure(registry.get(name), args.episodes, args.seconds))
        except AgentRMError as error:
            console.print(f"{name} is left out: {error}")
            continue
        console.print(f"{name} done")
    lines = [list(map(str, _cells(row))) for row in rows]
    table = Table(*_HEAD)
    for line in lines:
        table.add_row(*line)
    console.print(table)
    if args.out:
        about = {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": "make bench-environments",
            "episodes": args.episodes,
            "seconds": args.seconds,
            "python": platform.python_version(),
            "cores": os.cpu_count(),
            "load_1min": round(os.getloadavg()[0], 2),
            "packages": {
                d.name: d.version
                for d in distributions()
                if d.name.startswith("langchain-agentrm")
            },
        }
        write_json(
            args.out / "data" / "environments.json",
            {**about, "rows": [asdict(row) for row in rows]},
        )
        where = f"{str(about['date'])[:10]}, {about['cores']} cores, load average "
        _write_page(args.out / "environments.md", f"{where}{about['load_1min']}", lines)


_HEAD = (
    "environment",
    "forks by",
    "step, ms",
    "steps/s",
    "fork at 30, ms",
    "train / dev / test",
    "expert solves",
    "mean score",
    "actions",
)


def _cells(row: Row) -> tuple[str, ...]:
    known = row.expert_solved is not None
    return (
        row.name,
        row.forks_by,
        f"{row.step_ms:.3f}",
        f"{row.steps_per_second:,.0f}",
        _fork_cell(row),
        " / ".join(f"{n:,}" for n in row.tasks.values()),
        f"{round((row.expert_solved or 0) * row.episodes)}/{row.episodes}"
        if known
        else "",
        f"{row.expert_score:.2f}" if known else "",
        f"{row.expert_actions:.0f}" if row.expert_actions is not None else "",
    )


def _fork_cell(row: Row) -> str:
    if row.fork_ms is None:
        return ""
    return f"{row.fork_ms:.3f}" + (f" at {row.fork_at}" if row.fork_at != DEPTH else "")


def _write_page(page: Path, when: str, lines: list[list[str]]) -> None:
    rows = [list(_HEAD), ["---"] * len(_HEAD), *lines]
    table = ["| " + " | ".join(row) + " |" for row in rows]
    title = f"`make bench-environments` on {when}."
    write_part(page, "environments", [title, "", *table])


if __name__ == "__main__":
    main()
