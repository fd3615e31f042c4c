"""What verifiers of actions bring: the selector with and without them, task by task.

Runs `AgentRMSelector` in the graph of `create_beam_search`, first with a preference
model alone, then with a `RewardAgent` that puts verifiers before it; widths, seeds and
tasks are the same. Writes `docs/data/verifiers.json`, and the table between its marks
in `docs/evidence.md` where they stand.

BabyAI has the embedded policy and reward model. Maze has a policy that walks at random,
through walls too, and a preference that only knows where the goal lies: a stand-in for
models that do not know the rules.
"""

from __future__ import annotations

import os
import platform
import random
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from _page import write_part
from langchain_core.messages import AIMessage, BaseMessage
from transformers.utils import logging

from langchain_agentrm._files import read_json, write_json
from langchain_agentrm.chat_models.factory import chat_model
from langchain_agentrm.embedded import embedded_models
from langchain_agentrm.environments import registry
from langchain_agentrm.graphs import create_beam_search
from langchain_agentrm.metrics import bootstrap, mean, paired_bootstrap
from langchain_agentrm.reward_agent import (
    AdmissibleActionVerifier,
    RepeatedActionVerifier,
    RewardAgent,
    Verifier,
)
from langchain_agentrm.reward_models.base import RewardModel
from langchain_agentrm.reward_models.factory import reward_model
from langchain_agentrm.reward_models.function import FunctionRewardModel
from langchain_agentrm.testing.scripted import ScriptedPolicy
from langchain_agentrm.trajectory import Trajectory
from langchain_agentrm.types import TaskRef

ALONE = "preference alone"
VERIFIERS: Mapping[str, Sequence[type[Verifier]]] = {
    ALONE: (),
    "+ repeated": (RepeatedActionVerifier,),
    "+ admissible": (AdmissibleActionVerifier,),
    "+ admissible, repeated": (AdmissibleActionVerifier, RepeatedActionVerifier),
}
MOVES = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}


@dataclass(frozen=True, slots=True)
class Case:
    """One environment with the models that play it."""

    env: str
    tasks: Sequence[TaskRef]
    policy: Any
    preference: RewardModel
    widths: Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Episode:
    """What the selector came to on one task."""

    task: str
    score: float
    steps: int
    repeats: int


def main(
    env: Annotated[str, typer.Argument(help="babyai or maze.")],
    out: Annotated[Path, typer.Option(help="Docs folder.")] = Path("docs"),
    tasks: Annotated[int, typer.Option(min=1, help="Test tasks.")] = 120,
    first: Annotated[
        int, typer.Option(min=0, help="Test tasks passed over, as others looked there.")
    ] = 3000,
) -> None:
    """Run every set of verifiers on one environment, write figures and table."""
    torch.set_num_threads(1)
    logging.disable_progress_bar()
    began = time.perf_counter()
    rows = _rows(CASES[env](first, tasks))
    asked = f"{env} --tasks {tasks} --first {first}"
    run = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": f"python benchmarks/verifiers.py {asked}",
        "seconds": round(time.perf_counter() - began, 1),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "packages": {
            p: version(p) for p in ("langchain-agentrm", "langgraph", "torch")
        },
        "seed": 0,
        "temperature": 1.0,
        "rows": rows,
    }
    target = out / "data" / "verifiers.json"
    runs = read_json(target) if target.exists() else {}
    runs = dict(sorted({**runs, env: run}.items()))
    write_json(target, runs)
    table = _table(runs)
    write_part(out / "evidence.md", "verifiers", table)
    print("\n".join(table))
    print(f"Wrote {target} in {run['seconds']} s")


def _babyai(first: int, limit: int) -> Case:
    factory = registry.get("babyai")
    policy, reward = embedded_models("babyai")
    return Case(
        "babyai",
        factory.tasks("test", factory.types("held_out"), first + limit)[first:],
        chat_model(str(policy)),
        reward_model(str(reward)),
        ((1, 5), (5, 2)),
    )


def _maze(first: int, limit: int) -> Case:
    return Case(
        "maze",
        registry.get("maze").tasks("test", limit=first + limit)[first:],
        ScriptedPolicy(answers=_wander, n=1),
        FunctionRewardModel(lambda some: [_nearness(t) for t in some]),
        ((1, 5),),
    )


CASES: Mapping[str, Callable[[int, int], Case]] = {"babyai": _babyai, "maze": _maze}


def _wander(messages: list[BaseMessage], rng: random.Random) -> str:
    del messages
    return f"Action: move {rng.choice(list(MOVES))}"


def _nearness(trajectory: Trajectory) -> float:
    """Minus the distance to the goal if no wall stood in the way."""
    last = trajectory.turns[-1]
    goal, here = [
        (int(row), int(column))
        for row, column in re.findall(r"position (\d+), (\d+)", last.observation)
    ]
    down, right = MOVES[last.action.split()[-1]]
    return -float(abs(goal[0] - here[0] - down) + abs(goal[1] - here[1] - right))


def _rows(case: Case) -> list[dict[str, Any]]:
    out = []
    for width, each in case.widths:
        base: Sequence[Episode] = ()
        for name, kinds in VERIFIERS.items():
            scorer = case.preference
            if kinds:
                scorer = RewardAgent(scorer, [kind() for kind in kinds])
            print(f"{case.env} {width}x{each} {name}", flush=True)
            episodes = _play(case, scorer, width, each)
            base = base or episodes
            out.append(
                {
                    "env": case.env,
                    "search": f"{width}x{each}",
                    "verifiers": name,
                    "episodes": len(episodes),
                    **_figures(episodes, base),
                }
            )
    return out


def _play(case: Case, scorer: RewardModel, width: int, each: int) -> list[Episode]:
    """Run the selector's graph on every task."""
    graph = create_beam_search(
        case.policy,
        scorer,
        case.env,
        beam_width=width,
        expansions=each,
        temperature=1.0,
        on_reward_error="raise",
    ).compile()
    out = []
    for task in case.tasks:
        done = graph.invoke({"task": task}, {"recursion_limit": 1000})
        result = done["result"]
        out.append(
            Episode(
                task["id"],
                result["episode_score"],
                len(result["actions"]),
                _repeats(done["messages"]),
            )
        )
    return out


def _repeats(messages: Sequence[BaseMessage]) -> int:
    """How many actions had been taken before on the same observation."""
    turns = [
        (str(before.text), str(message.text))
        for before, message in pairwise(messages)
        if isinstance(message, AIMessage)
    ]
    return len(turns) - len(set(turns))


def _figures(
    episodes: Sequence[Episode], base: Sequence[Episode]
) -> dict[str, float | int]:
    low, high = bootstrap({e.task: [e.score] for e in episodes})
    delta, delta_low, delta_high = paired_bootstrap(_cells(episodes), _cells(base))
    pairs = list(zip(episodes, base, strict=True))
    figures = {
        "success": mean([e.score for e in episodes]),
        "ci_low": low,
        "ci_high": high,
        "delta": delta,
        "delta_low": delta_low,
        "delta_high": delta_high,
        "steps": mean([float(e.steps) for e in episodes]),
        "repeats": mean([float(e.repeats) for e in episodes]),
    }
    return {
        **{k: round(v, 4) for k, v in figures.items()},
        "better": sum(new.score > old.score for new, old in pairs),
        "worse": sum(new.score < old.score for new, old in pairs),
    }


def _cells(episodes: Sequence[Episode]) -> Any:
    return {e.task: {0: e.score} for e in episodes}


def _table(runs: Mapping[str, Any]) -> list[str]:
    told = [
        f"`{run['command']}` on {run['date'][:10]}, seed {run['seed']}, temperature "
        f"{run['temperature']}, one thread, {run['seconds']:.0f} s."
        for run in runs.values()
    ]
    return [
        *told,
        (
            "File `data/verifiers.json`. Success in %, 95 % intervals by bootstrap "
            "over tasks; differences are paired by task, to the preference alone at "
            "the same widths. Better and worse: tasks whose score changed. Repeats: "
            "actions of the chosen path that had been taken before on the same "
            "observation."
        ),
        "",
        (
            "| environment | W1xW2 | reward | episodes | success | difference | better "
            "| worse | steps | repeats |"
        ),
        "|---|---|---|---|---|---|---|---|---|---|",
        *(_line(row) for run in runs.values() for row in run["rows"]),
    ]


def _line(row: Mapping[str, Any]) -> str:
    success, low, high = (100 * row[k] for k in ("success", "ci_low", "ci_high"))
    delta, less, more = (100 * row[k] for k in ("delta", "delta_low", "delta_high"))
    change = f"{delta:+.1f} [{less:+.1f}, {more:+.1f}]"
    if row["verifiers"] == ALONE:
        change = ""
    return (
        f"| {row['env']} | {row['search']} | {row['verifiers']} | {row['episodes']} "
        f"| {success:.1f} [{low:.1f}, {high:.1f}] | {change} | {row['better']} "
        f"| {row['worse']} | {row['steps']:.1f} | {row['repeats']:.1f} |"
    )


if __name__ == "__main__":
    typer.run(main)
